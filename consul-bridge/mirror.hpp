#pragma once

#include "common/cluster/rendezvous.hpp"
#include "common/contract/state.hpp"
#include "common/contract/target.hpp"
#include "consul-bridge/contact.hpp"
#include "consul-bridge/denials.hpp"
#include "consul-bridge/difference.hpp"
#include "consul-bridge/documents.hpp"
#include "consul-bridge/transaction.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

namespace pgpulse::consul_bridge {

/// Numbers the mirror's requests; a later one is greater.
using RequestId = std::uint64_t;

struct SendTransaction {
    RequestId id = 0;
    std::string body;
    std::size_t targets = 0;
    std::size_t operations = 0;
};

/// Read all that pgpulse manages in Consul.
struct ReadEverything {
    RequestId id = 0;
};

/// Read what Consul holds for these targets, whoever made it.
struct ReadTargets {
    RequestId id = 0;
    std::vector<std::string> targets;
};

/// Ask NATS for the state of the bucket `health`.
struct AskBucket {
    RequestId id = 0;
};

/// What NATS says of the stream of the bucket `health`.
struct BucketState {
    contract::WallTime created{};
    std::uint64_t last_revision = 0;
};

struct Say {
    enum class Level { info, warning };
    Level level = Level::info;
    std::string text;  // one line
};

using Action = std::variant<SendTransaction, ReadEverything, ReadTargets, AskBucket, Say>;

/// For a log: "1 target", "2 targets".
std::string count_of_targets(std::size_t number);

/// Decides what is written to Consul and when. Pure: events and `now` go in, `step` answers with actions.
///
/// The rules:
///  1. Nothing is written before everything was read.
///  2. A target is written once it has a definition and a state; its latest state alone counts.
///  3. Nothing unchanged is written (`to_register`).
///  4. One transaction carries whole targets; a target is in one request at a time.
///  5. Where operations are refused, their targets are read again and rebuilt; the others are sent again.
///  6. A target that is refused again waits, 1 s first and 15 s at most, and so harms nobody else.
///  7. A delete marker in `health_targets` deregisters. Absence never does.
///  8. While Consul is away one request at a time tries it, after 1 s first and 5 s at most. When it answers,
///     what is pending goes first, then everything is read. A late answer to what was asked before tells nothing.
///  9. Everything is read again a `reconcile_interval` after the last time, and differences are repaired.
/// 10. What was read tells nothing of a target that was written since the reading began.
/// 11. Of the bridges that serve the first by rendezvous rank writes a target. Whoever comes to own one compares it
///     with what was read of it last, and reads it first where that says the same state: the owner before may have
///     written since.
/// 12. Nothing is written by a bridge that does not hear itself, but for marks of staleness.
/// 13. A value in Consul of another epoch, or of a later revision, is overwritten once NATS has said, asked after it was
///     read, that the bucket is of the own epoch and does not hold that revision any more.
/// 14. Where somebody else may have written (`read_soon`) everything is read at once.
/// 15. A target that the token may not write waits until one of its kind is allowed (`Denials`).
class Mirror {
  public:
    struct Settings {
        /// This bridge's among those that `members` names.
        std::string id = "bridge";
        std::string kv_prefix = "health/";
        std::size_t transactions_in_flight = 8;
        std::chrono::milliseconds reconcile_interval{60'000};
        Compat compat = Compat::none;
        bool keep_removed = false;  // a removed target stays in Consul as it was last written
    };

    /// Counts since the start, for metrics.
    struct Counters {
        std::uint64_t transactions_committed = 0;
        std::uint64_t transactions_refused = 0;
        std::uint64_t transactions_rejected = 0;
        std::uint64_t transactions_unreachable = 0;
        std::uint64_t operations_committed = 0;
        std::uint64_t conflicts = 0;  // targets of refused operations
        std::uint64_t repairs = 0;    // targets that somebody else had changed in Consul
        std::uint64_t reconciles = 0;
        std::uint64_t retries = 0;  // targets that were sent again
        std::size_t targets = 0;    // with a definition and a state
        std::size_t owned = 0;      // of those defined
        std::size_t pending = 0;    // not yet as they shall be
        std::size_t denied = 0;     // of which the token may not write something
        bool read_once = false;
        bool reachable = false;
        bool away = false;
    };

    explicit Mirror(Settings settings) : settings_(std::move(settings)) {}

    void define(const contract::TargetDefinition& definition, Mono now);
    void undefine(const std::string& target, Mono now);
    /// An older revision of the same epoch than the one held is ignored.
    void observe(contract::State state, const Stamp& stamp, Mono now);
    /// The target's state was deleted: what Consul says stays until the definition goes too.
    void forget_state(const std::string& target);

    /// The bridges that serve, this one among them once it does.
    void members(std::vector<std::string> bridges, Mono now);
    /// Whether this bridge serves and hears itself on NATS.
    void hear(bool itself, Mono now);

    /// Consul did not answer a request that is not the mirror's own; `how` is one line.
    void no_answer(const std::string& how, Mono now);
    /// Answers AskBucket; empty: NATS did not answer.
    void bucket_is(RequestId id, const std::optional<BucketState>& bucket, Mono now);
    /// Nothing new can be known of any target since then; empty: it can. While it is marked a bridge that does not
    /// hear itself writes the marks.
    void mark_stale(std::optional<Stale> stale, Mono now);
    /// Somebody else may have written what is this bridge's: reads everything at once.
    void read_soon(Mono now);

    void finished(RequestId id, const TransactionOutcome& outcome, Mono now);
    /// Answers ReadEverything or ReadTargets.
    void read(RequestId id, Snapshot snapshot, Mono now);
    void read_failed(RequestId id, const Unreachable& how, Mono now);

    std::vector<Action> step(Mono now);

    /// When `step` has something to do even if nothing happens. Never where an answer is awaited.
    [[nodiscard]] std::optional<Mono> next_step() const;

    [[nodiscard]] Counters counters() const;

    /// Since when the target that waits longest has waited. Looks at every target.
    [[nodiscard]] std::optional<Mono> oldest_pending() const;

    /// From the moment a target differed until Consul had it, of those committed since the last call.
    std::vector<std::chrono::nanoseconds> take_delays();

  private:
    enum class Phase {
        settled,    // nothing to do
        queued,     // waits for a transaction
        written,    // in a transaction
        unread,     // waits for a read of its own
        reading,    // in a read of its own
        held_back,  // was refused; waits in `held_back_`
    };

    /// In the queue.
    enum class Place { first, last };

    struct Target {
        std::string name;
        std::optional<contract::TargetDefinition> definition;
        bool removed = false;
        std::optional<contract::State> state;
        Stamp stamp;
        Held held;
        Phase phase = Phase::settled;
        Obstacle obstacle = Obstacle::none;
        unsigned obstacle_met = 0;  // times in a row
        bool told_obstacle = false;
        bool own = false;
        bool hearsay = false;  // another bridge owned it since it was read last
        /// The stamp of Consul's value, where NATS said that the bucket does not hold it any more.
        std::optional<Stamp> outlived;
        bool asked_about = false;          // waits for a question to NATS, or for its answer
        bool alone = false;                // its transaction was rejected: send it by itself
        unsigned refusals = 0;             // since it was last as it shall be
        RequestId touched = 0;             // no read up to this one tells anything of it
        std::optional<Mono> unsent_since;  // the oldest event that is in no transaction
        std::optional<Mono> sent_since;    // the oldest event in the open transaction
    };

    [[nodiscard]] std::string key_of(const Target& target) const { return settings_.kv_prefix + target.name; }
    Target& target(const std::string& name);
    [[nodiscard]] bool owns(const std::string& target) const {
        return bridges_.owns(settings_.id, target, 1);
    }
    [[nodiscard]] bool may_write() const { return hears_itself_ || stale_.has_value(); }
    /// No target waits for a transaction that could be sent.
    [[nodiscard]] bool gives_way_to_none() const { return queue_.empty() || !may_write(); }
    [[nodiscard]] Difference difference(const Target& target) const;
    void move_to(Target& target, Phase phase, Place place = Place::last);
    void examine(Target& target);
    void note_obstacle(Target& target, Obstacle obstacle);
    void refuse(Target& target, const std::string& what, Mono now);
    void hold_back(Target& target, const std::string& what, Mono now);
    void unsend(Target& target);
    void commit(const Transaction& transaction, const Committed& committed, Mono now);
    void split(const Transaction& transaction, const Refused& refused, Mono now);
    void retry_alone(const Transaction& transaction, const Rejected& rejected, Mono now);
    void take_everything(RequestId id, Snapshot& snapshot, Mono now);
    void take_targets(RequestId id, const std::vector<std::string>& names, Snapshot& snapshot);
    void heard(RequestId id, Mono now);
    void lost(const Unreachable& how, Mono now);
    void say_caught_up();
    void say_progress(Mono now);
    void ask_bucket(Mono now);
    void send_transaction();
    void send_read_targets();
    void send_read_everything();
    void say(Say::Level level, std::string text);
    [[nodiscard]] std::size_t open_requests() const;

    Settings settings_;
    std::unordered_map<std::string, Target> targets_;
    std::deque<Target*> queue_;
    std::deque<Target*> unread_;
    std::multimap<Mono, Target*> held_back_;

    RequestId last_request_ = 0;
    RequestId last_before_loss_ = 0;  // the last that was sent when Consul failed to answer one
    std::map<RequestId, Transaction> transactions_;
    std::map<RequestId, std::vector<std::string>> target_reads_;
    struct Question {
        RequestId id = 0;
        std::vector<Target*> about;
    };
    std::optional<Question> question_;
    std::vector<Target*> doubtful_;  // wait for a question to NATS
    Mono ask_at_{};
    std::optional<RequestId> everything_;
    bool read_once_ = false;
    bool read_again_ = false;  // the read under way began too early
    Mono reconcile_at_{};

    cluster::Rendezvous bridges_;
    bool hears_itself_ = false;
    std::optional<Stale> stale_;

    Denials denials_;
    Contact contact_;
    std::optional<std::chrono::nanoseconds> returned_after_;  // while what waited is written
    std::size_t caught_up_ = 0;

    struct Backlog {
        Mono since{};
        Mono say_at{};
        std::size_t most = 0;
        bool told = false;
    };
    std::optional<Backlog> backlog_;

    Counters counters_;
    std::vector<std::chrono::nanoseconds> delays_;
    std::vector<Action> actions_;
};

}  // namespace pgpulse::consul_bridge
