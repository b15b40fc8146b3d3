#include "consul-bridge/webhook/cursors.hpp"

#include <spdlog/spdlog.h>

namespace pgpulse::consul_bridge::webhook {
namespace {

nats::BucketConfig cursors_bucket(int replicas) {
    nats::BucketConfig config;
    config.name = kBucket;
    config.replicas = replicas;
    return config;
}

}  // namespace

Cursors::Cursors(nats::Connection& connection, int replicas)
    : connection_(connection),
      keeper_(connection, {cursors_bucket(replicas)}),
      watch_(connection, std::string{kBucket}, [this](const nats::BucketEvent& event) { on_event(event); }) {}

std::optional<std::optional<Cursor>> Cursors::of(const std::string& key) const {
    const std::lock_guard lock{mutex_};
    if (!loaded_) return std::nullopt;
    const auto it = by_key_.find(key);
    // In place: an optional made of an empty one would be empty itself.
    if (it == by_key_.end()) return std::optional<std::optional<Cursor>>{std::in_place};
    return std::optional<std::optional<Cursor>>{std::in_place, it->second};
}

void Cursors::put(const std::string& key, const Cursor& cursor) {
    // Where it was not sent it is put again: the bucket does not show it.
    static_cast<void>(nats::put_unacknowledged(connection_, kBucket, key, encode(cursor)));
}

void Cursors::on_event(const nats::BucketEvent& event) {
    const std::lock_guard lock{mutex_};
    switch (event.kind) {
        case nats::BucketEvent::Kind::opened:
            loaded_ = false;
            by_key_.clear();
            break;
        case nats::BucketEvent::Kind::loaded:
            loaded_ = true;
            break;
        case nats::BucketEvent::Kind::removed:
            by_key_.erase(event.key);
            break;
        case nats::BucketEvent::Kind::value:
            if (auto cursor = decode_cursor(event.value)) {
                by_key_.insert_or_assign(event.key, std::move(*cursor));
            } else {
                spdlog::warn("bucket '{}': key '{}' is no cursor and is taken for absent", kBucket,
                             event.key);
                by_key_.erase(event.key);
            }
            break;
    }
}

}  // namespace pgpulse::consul_bridge::webhook
