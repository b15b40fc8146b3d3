#pragma once

#include "aggregator/hearing.hpp"
#include "aggregator/rules.hpp"
#include "aggregator/server_facts.hpp"
#include "common/contract/ping.hpp"
#include "common/contract/state.hpp"
#include "common/contract/target.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

namespace pgpulse::aggregator {

/// Both clocks at one instant. Decisions rest on `mono` alone; `wall` is written down for people.
struct Now {
    std::chrono::steady_clock::time_point mono;
    contract::WallTime wall;
};

/// Store `state` under its target's name if the key's last revision is `expected` (0: there never was one).
struct PutState {
    contract::State state;
    std::uint64_t expected = 0;
};

/// Store a delete marker under the same condition.
struct RemoveState {
    std::string target;
    std::uint64_t expected = 0;
};

/// A line for the log: something a person should know that is no transition.
struct Notice {
    std::string text;
};

using Action = std::variant<PutState, RemoveState, Notice>;

/// What became of a write.
enum class Written { stored, lost, failed };

/// What became of a ping.
enum class Heard { counted, unknown_target, replayed, late, too_many_workers };

struct TallyCounts {
    std::uint64_t transitions = 0;  // decided here and stored
    std::uint64_t put_back = 0;     // states that the bucket had lost
    std::uint64_t writes_lost = 0;  // another aggregator's write came first
    std::uint64_t writes_failed = 0;
};

/// Folds pings into states: pure core of the aggregator.
///
/// - It decides nothing until it has read both buckets, and only about targets that have a definition.
/// - What it believes of a target is what the bucket said last; every change goes through a compare-and-set
/// against that revision, at most one in flight a
///   target, and the watch has the last word on who won.
/// - A value another aggregator wrote is not contradicted before one interval of new pings.
/// - Absence never removes anything: only a delete marker in `health_targets` removes a target, and what a
/// bucket lost is put back.
///
/// Functions append to `out`, in the order in which the actions are to be done.
class Tally {
  public:
    using Actions = std::vector<Action>;

    /// `id`: this aggregator's, which its transitions name.
    explicit Tally(std::string id);

    void definition(const contract::TargetDefinition& definition, Now now, Actions& out);
    void definition_removed(std::string_view target, Now now, Actions& out);
    void definitions_loaded(Now now, Actions& out);

    void states_opened();
    void state(std::string_view target, contract::State state, std::uint64_t revision, Now now, Actions& out);
    /// A value that is no state: it is overwritten with what is believed.
    void unreadable_state(std::string_view target, std::uint64_t revision, Now now, Actions& out);
    void state_removed(std::string_view target, std::uint64_t revision, Now now, Actions& out);
    void states_loaded(Now now, Actions& out);

    Heard ping(const contract::Ping& ping, Now now, Actions& out);
    void echo(Now now) { hearing_.echo(now.mono); }
    void tick(Now now, Actions& out);

    /// The outcome of the write of `target` against `expected`; `revision` where it was stored.
    void written(std::string_view target, Written outcome, std::uint64_t expected, std::uint64_t revision,
                 Now now, Actions& out);

    /// Both buckets were read.
    [[nodiscard]] bool loaded() const { return definitions_loaded_ && states_loaded_; }
    [[nodiscard]] const TallyCounts& counts() const { return counts_; }

    /// How many defined targets are in each state; those without one yet are not counted.
    [[nodiscard]] std::map<contract::Health, std::size_t> targets_by_state() const;

  private:
    using Time = HearingClock::Time;

    /// Lets a view be looked up without making a string of it.
    struct NameHash {
        using is_transparent = void;
        std::size_t operator()(std::string_view name) const { return std::hash<std::string_view>{}(name); }
    };

    struct HeardRole {
        RoleReport report;
        Time heard{};  // on the hearing clock
    };

    struct Voter {
        contract::Evidence evidence;
        std::string run;
        std::uint64_t seq = 0;
        bool suspect = false;
        std::optional<Time> heard;  // the last conclusive ping, on the hearing clock
        std::optional<HeardRole> role;
    };

    struct Write {
        contract::State state;  // empty target: a removal
        std::uint64_t expected = 0;
    };

    struct Target {
        std::string name;
        std::optional<contract::TargetDefinition> definition;
        std::optional<contract::State> belief;
        std::uint64_t revision = 0;  // of the key's last message, a delete marker included
        bool seen = false;           // told by the watch since the bucket was opened
        bool rewrite = false;        // the bucket does not hold the belief
        bool removing = false;       // its definition was deleted
        Time taken_over{0};
        Time freshness{0};  // how long a word stands without a new ping, by the definition
        std::chrono::steady_clock::time_point quiet_until{};  // no write before
        std::vector<Voter> voters;
        ServerLives lives;
        std::optional<ServerLife> restarted;  // a life that the state does not tell of yet
        std::optional<Write> in_flight;
    };

    std::string id_;
    HearingClock hearing_;
    bool definitions_loaded_ = false;
    bool states_loaded_ = false;
    std::vector<Target> targets_;
    template <typename Value>
    using ByName = std::unordered_map<std::string, Value, NameHash, std::equal_to<>>;
    ByName<std::size_t> index_;
    ByName<WorkerRun> workers_;
    std::size_t sweep_ = 0;
    TallyCounts counts_;

    Target& target_named(std::string_view name);
    Target* find(std::string_view name);
    void evaluate(Target& target, Now now, Actions& out);
    void evaluate_all(Now now, Actions& out);
    [[nodiscard]] const Rule& rule_for(const Target& target) const;
    /// What is held of a target now, evidence and names aside.
    struct Findings {
        contract::Health health{};
        std::optional<contract::Role> role;
        std::optional<bool> writable;
        bool restarted = false;
    };
    [[nodiscard]] Findings findings(const Target& target, contract::Health health) const;
    [[nodiscard]] contract::State next_state(const Target& target, const Findings& findings, Now now) const;
    static void adopt(Target& target, contract::State state);
    /// Taken over so lately that a voter may not have been heard yet.
    [[nodiscard]] bool young(const Target& target) const;
    [[nodiscard]] bool fresh(const Target& target, const Voter& voter) const;
    void forget_silent_voters(Target& target) const;
};

}  // namespace pgpulse::aggregator
