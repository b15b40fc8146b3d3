#pragma once

#include "common/nats/bucket.hpp"
#include "common/nats/connection.hpp"
#include "common/nats/placed_writer.hpp"
#include "common/nats/stream_facts.hpp"
#include "common/nats/stream_reader.hpp"
#include "common/runtime/logging.hpp"
#include "common/runtime/mailbox.hpp"
#include "ctl/replica_copy.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pgpulse::ctl {

/// Keeps the bucket `health` of the connection's own JetStream domain a copy of that of another domain (replica_copy.hpp has
/// the rules). Creates it where it is absent. Waits for both as long as it takes.
class Replicator {
  public:
    /// A key that a source created anew does not have is removed from the copy once that source holds values and was followed
    /// for so long: aggregators fill a bucket that was lost within five seconds.
    static constexpr std::chrono::seconds kPatienceWithTheAbsent{20};

    /// What Prometheus is told: messages that were written, and revisions of the source that are not in the copy.
    struct Meters {
        prometheus::Counter& copied;
        prometheus::Gauge& behind;
    };

    /// `stop`: copies no more once it is set.
    Replicator(nats::Connection& connection, std::string domain, Meters meters,
               const std::atomic<bool>& stop);

    /// Copies until it is to stop; returns true then. False: the domain is the connection's own, after one line that
    /// says so.
    bool run();

    /// Empty: the copy is what the source is, as far as is known; any thread.
    [[nodiscard]] std::string not_ready_because() const;

  private:
    enum class Standing { never_read, behind, current, source_away, no_source };

    nats::Connection& connection_;
    const std::string domain_;
    const Meters meters_;
    nats::BucketMaker bucket_;
    const std::atomic<bool>& stop_;
    std::atomic<Standing> standing_{Standing::never_read};
    Standing told_ = Standing::never_read;
    bool own_domain_ = false;
    runtime::Mailbox<nats::PlacedOutcome> outcomes_;
    std::vector<nats::PlacedOutcome> batch_;
    std::unique_ptr<nats::PlacedWriter> writer_;
    ReplicaCopy copy_;
    runtime::LineLimit faults_;

    // Of the session: what both streams were, and the source's messages.
    nats::StreamFacts local_;
    nats::StreamFacts source_;
    std::unique_ptr<nats::StreamReader> reader_;
    std::optional<std::chrono::steady_clock::time_point> whole_since_;
    std::uint64_t read_to_ = 0;  // all that the source had up to there is read

    [[nodiscard]] bool goes_on() const { return !stop_.load() && connection_.connected(); }
    void fault(const std::string& text);
    void stands(Standing standing);
    [[nodiscard]] static Standing without_answer(const nats::Error& error);
    bool settled();
    void take_outcomes(std::chrono::milliseconds patience);
    bool open();
    bool read_copy();
    void follow();
    void take();
    void send(const ReplicaMessage& message);
    void remove_vanished();
    [[nodiscard]] bool all_is_as_it_was();
    void tell();
};

}  // namespace pgpulse::ctl
