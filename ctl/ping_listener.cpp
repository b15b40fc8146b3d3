#include "ctl/ping_listener.hpp"

#include "common/contract/names.hpp"
#include "common/runtime/clock.hpp"

#include <algorithm>

namespace pgpulse::ctl {

tl::expected<std::unique_ptr<PingListener>, std::string> PingListener::open(
    nats::Connection& connection, const std::string& target, std::chrono::milliseconds timeout) {
    std::unique_ptr<PingListener> listener{new PingListener};
    PingListener* const self = listener.get();
    auto subscription =
        nats::Subscription::open(connection, contract::ping_subject("*", target),
                                 [self](const nats::Message& message) { self->take(message); });
    if (!subscription) return tl::unexpected(subscription.error().text);
    listener->subscription_ = std::move(*subscription);
    if (const auto called = connection.publish(contract::check_subject(target), {}); !called)
        return tl::unexpected(called.error().text);
    if (const auto flushed = connection.flush(timeout); !flushed) return tl::unexpected(flushed.error().text);
    return listener;
}

void PingListener::take(const nats::Message& message) {
    auto ping = contract::decode_ping(nats::subject_of(message), nats::payload_of(message));
    if (!ping) return;
    const std::lock_guard lock{mutex_};
    const auto found = heard_.find(ping->worker);
    // The listener's own answer is not overwritten by a session's next check.
    if (found != heard_.end() && found->second.ping.via == contract::Via::fresh &&
        ping->via == contract::Via::session)
        return;
    std::string worker = ping->worker;
    heard_.insert_or_assign(std::move(worker), HeardPing{std::move(*ping), runtime::mono_now()});
    changed_.notify_one();
}

HeardPings PingListener::wait_for(const std::vector<std::string>& workers,
                                  std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock{mutex_};
    changed_.wait_until(lock, deadline, [&] {
        return std::ranges::all_of(workers, [&](const std::string& worker) {
            const auto found = heard_.find(worker);
            return found != heard_.end() && found->second.ping.via == contract::Via::fresh;
        });
    });
    return heard_;
}

}  // namespace pgpulse::ctl
