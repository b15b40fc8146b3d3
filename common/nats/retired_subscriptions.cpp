#include "common/nats/retired_subscriptions.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace pgpulse::nats {
namespace {

constexpr int64_t kFlushTimeoutMs = 2000;

}  // namespace

RetiredSubscriptions::~RetiredSubscriptions() { finish(); }

void RetiredSubscriptions::add(natsConnection* connection, SubscriptionHandle subscription) {
    const std::lock_guard lock{mutex_};
    if (closed_) return;
    waiting_.push_back(std::move(subscription));
    if (!thread_.joinable()) thread_ = std::thread{[this, connection] { run(connection); }};
    wake_.notify_one();
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

void RetiredSubscriptions::run(natsConnection* connection) {
    std::vector<SubscriptionHandle> ended;
    std::unique_lock lock{mutex_};
    for (;;) {
        wake_.wait(lock, [this] { return closed_ || !waiting_.empty(); });
        std::vector<SubscriptionHandle> taken = std::exchange(waiting_, {});
        const bool closed = closed_;
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
