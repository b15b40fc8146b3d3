#include "tests/support/targets_bucket.hpp"

#include "common/contract/names.hpp"
#include "common/nats/bucket.hpp"

#include <stdexcept>

namespace pgpulse::support {

std::unique_ptr<nats::Connection> connect_with_targets_bucket(const std::string& url, int replicas) {
    nats::ConnectOptions options;
    options.url = url;
    auto connection = nats::Connection::open(options);
    if (!connection) throw std::runtime_error(connection.error().text);
    nats::BucketConfig bucket;
    bucket.name = contract::kTargetsBucket;
    bucket.history = 8;
    bucket.replicas = replicas;
    if (const auto made = nats::ensure_bucket(**connection, bucket); !made)
        throw std::runtime_error(made.error().text);
    return std::move(*connection);
}

void put_target(nats::Connection& connection, const contract::TargetDefinition& target) {
    contract::StoredDefinition stored;
    stored.definition = target;
    const auto sent = connection.publish("$KV." + std::string{contract::kTargetsBucket} + "." + target.name,
                                         encode(stored));
    if (!sent) throw std::runtime_error(sent.error().text);
}

}  // namespace pgpulse::support
