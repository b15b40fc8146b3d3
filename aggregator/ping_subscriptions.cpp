#include "aggregator/ping_subscriptions.hpp"

namespace pgpulse::aggregator {

PingSubscriptions::PingSubscriptions(nats::Connection& connection, nats::Subscription::OnMessage on_message)
    : connection_(connection), on_message_(std::move(on_message)) {}

tl::expected<void, std::string> PingSubscriptions::follow(const Ranks& ranks) {
    for (unsigned partition = 0; partition < contract::kPartitions; ++partition) {
        auto& subscription = subscriptions_.at(partition);
        const bool wanted = ranks.at(partition) != Rank::none;
        if (wanted == (subscription != nullptr)) continue;
        if (!wanted) {
            dropped_before_ += subscription->dropped();
            subscription.reset();
            continue;
        }
        auto opened =
            nats::Subscription::open(connection_, contract::partition_pings(partition), on_message_);
        if (!opened) return tl::unexpected(opened.error().text);
        subscription = std::move(*opened);
    }
    return {};
}

std::int64_t PingSubscriptions::dropped() const {
    std::int64_t count = dropped_before_;
    for (const auto& subscription : subscriptions_) {
        if (subscription) count += subscription->dropped();
    }
    return count;
}

}  // namespace pgpulse::aggregator
