#pragma once

#include "aggregator/history_copy.hpp"
#include "common/nats/connection.hpp"
#include "common/nats/stream_facts.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace pgpulse::aggregator {

inline constexpr std::chrono::hours kDay{24};

struct HistoryConfig {
    int days = 90;     // how long a transition is kept, 1 to 3650
    int replicas = 1;  // 1 to 5
};

/// What became of a message that was published.
struct HistoryOutcome {
    bool stored = false;  // or was there already
    bool duplicate = false;
    std::uint64_t expected_last = 0;  // as it was published
    std::uint64_t sequence = 0;       // of `stored`: where it stands
    std::string text;                 // of not `stored`: why, for a log
};

/// The stream `HEALTH_TRANSITIONS` as a copier needs it. Of one thread; a call that asks the server blocks for a second
/// at most.
class HistoryStream {
  public:
    using OnOutcome = std::function<void(HistoryOutcome)>;

    /// `on_outcome` is called on a thread of nats.c, once for each message that was taken.
    static nats::Result<std::unique_ptr<HistoryStream>> open(nats::Connection& connection,
                                                             OnOutcome on_outcome);
    HistoryStream(const HistoryStream&) = delete;
    HistoryStream& operator=(const HistoryStream&) = delete;
    /// No outcome comes after it returned.
    ~HistoryStream();

    /// Looks at the stream, and creates it where there is none. One that is there stays as it is.
    nats::Result<nats::StreamFacts> ensure(const HistoryConfig& config);
    /// Sends the message; many may be in flight. Error: it could not be sent, and no outcome follows.
    nats::Result<void> publish(const HistoryMessage& message);

  private:
    struct Sink;

    explicit HistoryStream(nats::Connection& connection) : connection_(connection) {}
    static void on_ack(jsCtx*, natsMsg*, jsPubAck*, jsPubAckErr*, void* sink);

    nats::Connection& connection_;
    std::shared_ptr<Sink> sink_;
    nats::JetStreamHandle js_;
};

}  // namespace pgpulse::aggregator
