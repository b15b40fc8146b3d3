#pragma once

#include "common/contract/state.hpp"
#include "common/nats/bucket_writer.hpp"
#include "common/nats/connection.hpp"

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace pgpulse::support {

/// What is told of a target: a state's transition number, or 0 for a removal.
using Story = std::vector<std::uint64_t>;
using Stories = std::map<std::string, Story>;

/// Writes the bucket `health` as aggregators do, by compare-and-set, and remembers each transition that was stored.
/// Throws std::runtime_error where NATS does not do as asked for a long time; a server that is away for a while is
/// waited for.
class TransitionAuthor {
  public:
    /// Makes the bucket.
    explicit TransitionAuthor(const std::string& nats_url, int replicas = 1);

    /// Stores the target's next transition, its first one or the first after a removal.
    void transition(const std::string& target);
    /// Stores the next transition of each, all in flight at once.
    void transitions(const std::vector<std::string>& targets);
    /// Leaves a delete marker, as an aggregator does whose target lost its definition.
    void remove(const std::string& target);
    /// Stores the target's last state once more, as aggregators do where the bucket lost it: no transition.
    void put_back(const std::string& target);

    /// Without an expectation, as `nats kv put` does: no transition.
    void put_by_hand(const std::string& target, const std::string& value);
    /// `nats kv purge` of the key.
    void purge_by_hand(const std::string& target);
    /// Removes the bucket with all it holds, makes a new one and puts every state back.
    void wipe();
    /// The bucket may hold less than was stored: what its keys' last revisions are is looked up.
    void forget_revisions() { revisions_.clear(); }
    /// Creates the bucket where it is absent.
    void make_bucket();

    /// What was stored, by target.
    [[nodiscard]] Stories stories() const { return stories_; }
    /// What the stream HEALTH_TRANSITIONS tells, by target; empty where there is no stream.
    [[nodiscard]] Stories history();
    /// As `history`, its messages in their order.
    struct Told {
        std::string target;
        std::uint64_t transition = 0;  // 0: a removal
        std::string body;
        std::map<std::string, std::string> headers;
    };
    [[nodiscard]] std::vector<Told> told();
    /// Waits until the history tells what was stored.
    [[nodiscard]] bool history_is_complete();

    void purge_stream(const std::string& stream);
    /// The server's word on the stream; empty where it has none.
    [[nodiscard]] nats::StreamInfoHandle stream_info(const std::string& stream);
    [[nodiscard]] jsCtx* js() { return js_.get(); }
    [[nodiscard]] nats::Connection& connection() { return *connection_; }

  private:
    std::unique_ptr<nats::Connection> connection_;
    nats::JetStreamHandle js_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<nats::WriteOutcome> outcomes_;
    std::unique_ptr<nats::BucketWriter> writer_;
    std::map<std::string, contract::State> last_;
    std::map<std::string, std::uint64_t> revisions_;
    Stories stories_;
    std::int64_t written_ = 0;
    int replicas_ = 1;

    std::string next_state(const std::string& target);
    void write(const std::string& target, const std::optional<std::string>& value);
    nats::WriteOutcome outcome();
};

}  // namespace pgpulse::support
