#pragma once

#include "common/nats/connection.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgpulse::nats {

/// What became of a message that was published for a place.
struct PlacedOutcome {
    bool stored = false;  // or was there already
    bool duplicate = false;
    std::uint64_t expected_last = 0;  // as it was published
    std::uint64_t sequence = 0;       // of `stored`: where it stands
    std::string text;                 // of not `stored`: why, for a log
};

/// Publishes messages that say at which place of their stream they are to stand (`Nats-Expected-Last-Sequence`), many in
/// flight, with JetStream's asynchronous publish. Of one thread.
class PlacedWriter {
  public:
    using Headers = std::vector<std::pair<std::string, std::string>>;
    using OnOutcome = std::function<void(PlacedOutcome)>;

    /// `on_outcome` is called on a thread of nats.c, once for each message that was taken.
    static Result<std::unique_ptr<PlacedWriter>> open(Connection& connection, OnOutcome on_outcome);
    PlacedWriter(const PlacedWriter&) = delete;
    PlacedWriter& operator=(const PlacedWriter&) = delete;
    /// No outcome comes after it returned.
    ~PlacedWriter();

    /// Error: it could not be sent, and no outcome follows.
    Result<void> publish(const std::string& subject, const Headers& headers, std::string_view value);

    [[nodiscard]] jsCtx* js() const { return js_.get(); }

  private:
    struct Sink;

    PlacedWriter() = default;
    static void on_ack(jsCtx*, natsMsg*, jsPubAck*, jsPubAckErr*, void* sink);

    std::shared_ptr<Sink> sink_;
    JetStreamHandle js_;
};

}  // namespace pgpulse::nats
