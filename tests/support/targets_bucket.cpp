#include "tests/support/targets_bucket.hpp"

#include "common/contract/names.hpp"
#include "common/nats/bucket.hpp"
#include "tests/support/wait_until.hpp"

#include <chrono>
#include <stdexcept>

namespace pgpulse::support {
namespace {

constexpr std::chrono::seconds kMadeWithin{90};

}  // namespace

std::unique_ptr<nats::Connection> connect_with_targets_bucket(const std::string& url, int replicas) {
    nats::ConnectOptions options;
    options.url = url;
    auto connection = nats::Connection::open(options);
    if (!connection) throw std::runtime_error(connection.error().text);
    nats::BucketConfig bucket;
    bucket.name = contract::kTargetsBucket;
    bucket.history = 8;
    bucket.replicas = replicas;
    // Three servers that have just begun elect a leader for it, and a request does not wait that long.
    std::string fault;
    const auto made = [&] {
        const auto found = nats::ensure_bucket(**connection, bucket);
        if (!found) fault = found.error().text;
        return found.has_value();
    };
    if (!wait_until(made, kMadeWithin)) throw std::runtime_error(fault);
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
