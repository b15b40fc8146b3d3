#pragma once

#include "common/nats/bucket.hpp"
#include "common/nats/bucket_keeper.hpp"
#include "common/nats/connection.hpp"
#include "consul-bridge/webhook/cursor.hpp"

#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace pgpulse::consul_bridge::webhook {

/// The cursors of all endpoints, in the bucket `health_webhooks`, which it makes where it is absent. Any thread.
class Cursors {
  public:
    /// `replicas`: of the bucket where this program creates it, 1 to 5.
    Cursors(nats::Connection& connection, int replicas);

    /// What the bucket says of the endpoint; nullopt while it is not read.
    [[nodiscard]] std::optional<std::optional<Cursor>> of(const std::string& key) const;
    /// Stores it without waiting: whether it is stored shows in `of`. May block for about two seconds where NATS is
    /// frozen.
    void put(const std::string& key, const Cursor& cursor);

  private:
    void on_event(const nats::BucketEvent& event);

    nats::Connection& connection_;
    nats::BucketKeeper keeper_;
    mutable std::mutex mutex_;
    bool loaded_ = false;
    std::map<std::string, Cursor> by_key_;
    nats::BucketWatch watch_;
};

}  // namespace pgpulse::consul_bridge::webhook
