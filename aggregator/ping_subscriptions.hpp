#pragma once

#include "aggregator/partitions.hpp"
#include "common/nats/subscription.hpp"

#include <tl/expected.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <string>

namespace pgpulse::aggregator {

/// Subscriptions to the pings of the partitions that this aggregator tallies, so that NATS sends it no others.
class PingSubscriptions {
  public:
    /// `on_message` is called on nats.c's delivery thread.
    PingSubscriptions(nats::Connection& connection, nats::Subscription::OnMessage on_message);

    /// Subscribes to what `ranks` adds and ends what it leaves out. Error: one line; what could not be subscribed to
    /// is tried again with the next call.
    tl::expected<void, std::string> follow(const Ranks& ranks);

    /// Messages that nats.c dropped because the callback did not keep up, since the start.
    [[nodiscard]] std::int64_t dropped() const;

  private:
    nats::Connection& connection_;
    nats::Subscription::OnMessage on_message_;
    std::array<std::unique_ptr<nats::Subscription>, contract::kPartitions> subscriptions_;
    std::int64_t dropped_before_ = 0;  // by subscriptions that ended
};

}  // namespace pgpulse::aggregator
