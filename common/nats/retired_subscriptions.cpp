#include "common/nats/retired_subscriptions.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace pgpulse::nats {
namespace {

constexpr int64_t kFlushTimeoutMs = 2000;
/// A request for a consumer is given up after two seconds.
constexpr std::chrono::seconds kRest{5};
/// So many messages of a resting subscription are kept, which nobody reads.
constexpr int kKeptMessages = 1;
constexpr int kKeptBytes = 65536;

}  // namespace

RetiredSubscriptions::~RetiredSubscriptions() { finish(); }

void RetiredSubscriptions::add(natsConnection* connection, SubscriptionHandle subscription, Kind kind) {
    // Unlike its end it does not read the consumer's name; and no heartbeat that is missed has one made anew.
    if (kind == Kind::steady_ordered) natsSubscription_AutoUnsubscribe(subscription.get(), kKeptMessages);
    const std::lock_guard lock{mutex_};
    if (closed_) return;
    auto ends_from = Clock::now();
    if (kind != Kind::plain) {
        natsSubscription_SetPendingLimits(subscription.get(), kKeptMessages, kKeptBytes);
        ends_from += kRest;
    }
    waiting_.push_back({std::move(subscription), ends_from});
    if (!thread_.joinable()) thread_ = std::thread{[this, connection] { run(connection); }};
    wake_.notify_one();
}

bool RetiredSubscriptions::rests(natsSubscription* subscription) {
    int messages = 0;
    int bytes = 0;
    return natsSubscription_GetPendingLimits(subscription, &messages, &bytes) == NATS_OK &&
           messages == kKeptMessages && bytes == kKeptBytes;
}

void RetiredSubscriptions::finish() {
    {
        const std::lock_guard lock{mutex_};
        closed_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
    waiting_.clear();
}

std::vector<SubscriptionHandle> RetiredSubscriptions::take(Clock::time_point now) {
    std::vector<SubscriptionHandle> taken;
    for (Waiting& waiting : waiting_) {
        if (closed_ || waiting.ends_from <= now) taken.push_back(std::move(waiting.subscription));
    }
    std::erase_if(waiting_, [](const Waiting& waiting) { return !waiting.subscription; });
    return taken;
}

void RetiredSubscriptions::run(natsConnection* connection) {
    std::vector<SubscriptionHandle> ended;
    std::unique_lock lock{mutex_};
    for (;;) {
        std::vector<SubscriptionHandle> taken = take(Clock::now());
        const bool closed = closed_;
        if (taken.empty() && !closed) {
            const auto next = std::ranges::min_element(waiting_, {}, &Waiting::ends_from);
            if (next == waiting_.end())
                wake_.wait(lock);
            else
                wake_.wait_until(lock, Clock::time_point{next->ends_from});
            continue;
        }
        lock.unlock();
        for (const SubscriptionHandle& subscription : taken) natsSubscription_Unsubscribe(subscription.get());
        std::ranges::move(taken, std::back_inserter(ended));
        // Without an answer they wait for that to a later flush, or for the connection's end.
        if (closed || natsConnection_FlushTimeout(connection, kFlushTimeoutMs) == NATS_OK) ended.clear();
        if (closed) return;
        lock.lock();
    }
}

}  // namespace pgpulse::nats
