#pragma once

#include "aggregator/history_copy.hpp"
#include "common/nats/connection.hpp"
#include "common/nats/placed_writer.hpp"
#include "common/nats/stream_facts.hpp"

#include <chrono>
#include <memory>
#include <utility>

namespace pgpulse::aggregator {

inline constexpr std::chrono::hours kDay{24};

struct HistoryConfig {
    int days = 90;     // how long a transition is kept, 1 to 3650
    int replicas = 1;  // 1 to 5
};

using HistoryOutcome = nats::PlacedOutcome;

/// The stream `HEALTH_TRANSITIONS` as a copier needs it. Of one thread; a call that asks the server blocks for a second
/// at most.
class HistoryStream {
  public:
    using OnOutcome = nats::PlacedWriter::OnOutcome;

    /// `on_outcome` is called on a thread of nats.c, once for each message that was taken, and not
    /// after the stream is gone.
    static nats::Result<std::unique_ptr<HistoryStream>> open(nats::Connection& connection,
                                                             OnOutcome on_outcome);
    /// Looks at the stream, and creates it where there is none. One that is there stays as it is.
    nats::Result<nats::StreamFacts> ensure(const HistoryConfig& config);
    /// Sends the message; many may be in flight. Error: it could not be sent, and no outcome follows.
    nats::Result<void> publish(const HistoryMessage& message);

  private:
    HistoryStream(nats::Connection& connection, std::unique_ptr<nats::PlacedWriter> writer)
        : connection_(connection), writer_(std::move(writer)) {}

    nats::Connection& connection_;
    std::unique_ptr<nats::PlacedWriter> writer_;
};

}  // namespace pgpulse::aggregator
