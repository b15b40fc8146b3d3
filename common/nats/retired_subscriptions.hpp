#pragma once

#include "common/nats/handles.hpp"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace pgpulse::nats {

/// Ends a connection's subscriptions for which messages may still be arriving.
///
/// nats.c's reading thread looks a subscription up and uses it without holding a reference (nats.c #637): one that is
/// destroyed meanwhile is used after it was freed, and the connection then hangs or crashes. It is safe once that
/// thread has read the answer to a flush that was sent after the subscription had ended. Because that takes a round
/// trip, or two seconds where no answer comes, a thread of its own does it.
class RetiredSubscriptions {
  public:
    RetiredSubscriptions() = default;
    RetiredSubscriptions(const RetiredSubscriptions&) = delete;
    RetiredSubscriptions& operator=(const RetiredSubscriptions&) = delete;
    ~RetiredSubscriptions();

    /// Takes a subscription of this connection, which ends in a moment. Does not block.
    void add(natsConnection* connection, SubscriptionHandle subscription);

    /// To be called once the connection is closed, when nothing reads any more: destroys what is left.
    void finish();

  private:
    void run(natsConnection* connection);

    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<SubscriptionHandle> waiting_;
    bool closed_ = false;
    std::thread thread_;  // from the first subscription on
};

}  // namespace pgpulse::nats
