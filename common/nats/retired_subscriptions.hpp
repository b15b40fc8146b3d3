#pragma once

#include "common/nats/handles.hpp"

#include <chrono>
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
///
/// An ordered consumer that stops delivering is made anew by nats.c on yet another thread, which frees the consumer's
/// name while the end of the subscription may be reading it. That is the very moment at which a watch begins anew, so
/// an ordered subscription rests for longer than nats.c waits for the new consumer before it ends. Where a look at the
/// stream has just shown that this is not so, it takes nothing more while it rests: a bucket that is filled again would
/// be told to it as well.
class RetiredSubscriptions {
  public:
    RetiredSubscriptions() = default;
    RetiredSubscriptions(const RetiredSubscriptions&) = delete;
    RetiredSubscriptions& operator=(const RetiredSubscriptions&) = delete;
    ~RetiredSubscriptions();

    enum class Kind {
        plain,
        ordered,        // its consumer may be being made anew
        steady_ordered  // its consumer is there, or gone with its stream lately
    };

    /// Takes a subscription of this connection, which ends in a moment, or after a rest. Waits no longer than a write
    /// to the server takes.
    void add(natsConnection* connection, SubscriptionHandle subscription, Kind kind);

    /// Whether the subscription rests, so that the messages it drops are nobody's loss. Any thread.
    static bool rests(natsSubscription* subscription);

    /// To be called once the connection is closed, when nothing reads any more: destroys what is left.
    void finish();

  private:
    using Clock = std::chrono::steady_clock;

    struct Waiting {
        SubscriptionHandle subscription;
        Clock::time_point ends_from;
    };

    void run(natsConnection* connection);
    /// Those whose time has come.
    std::vector<SubscriptionHandle> take(Clock::time_point now);

    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<Waiting> waiting_;
    bool closed_ = false;
    std::thread thread_;  // from the first subscription on
};

}  // namespace pgpulse::nats
