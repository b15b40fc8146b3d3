#pragma once

#include "aggregator/claims.hpp"
#include "aggregator/damage.hpp"
#include "aggregator/hearing.hpp"
#include "aggregator/maintenance.hpp"
#include "aggregator/partitions.hpp"
#include "aggregator/rules.hpp"
#include "aggregator/server_facts.hpp"
#include "aggregator/voters.hpp"
#include "aggregator/workers.hpp"
#include "common/contract/ping.hpp"
#include "common/contract/state.hpp"
#include "common/contract/target.hpp"

#include <bitset>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <variant>
#include <vector>

namespace pgpulse::aggregator {

/// Both clocks at one instant. Decisions rest on `mono` alone; `wall`, the NATS server's clock, is written down for
/// people, and says when a maintenance begins to run out.
struct Now {
    std::chrono::steady_clock::time_point mono;
    contract::WallTime wall;
};

/// Store `state` under its target's name if the key's last revision is `expected` (0: there never was one).
struct PutState {
    contract::State state;
    std::uint64_t expected = 0;
    bool put_back = false;  // a transition that was written before and that the bucket has lost
};

/// Store a delete marker under the same condition.
struct RemoveState {
    std::string target;
    std::uint64_t expected = 0;
};

/// A transition that this aggregator decided is stored.
struct Decided {
    std::string target;
    std::uint64_t transition = 0;
    std::optional<contract::Health> previous;
    contract::Health state{};
    contract::Reason reason{};
    std::bitset<contract::kChanges> changed;
    std::optional<std::chrono::milliseconds> latency;  // from the end of the ping that decided, if it was one
};

/// A line for the log: something a person should know that is no transition.
struct Notice {
    std::string text;
};

using Action = std::variant<PutState, RemoveState, Decided, Notice>;

/// What became of a write.
enum class Written { stored, lost, failed };

/// What became of a ping.
enum class Heard {
    counted,           // of an observer of the target
    no_observer,       // of another worker: kept, because it may become one, without a voice
    not_tallied,       // of a partition that other aggregators tally
    unknown_target,    // no definition, or one that was removed
    replayed,          // seen before, or of a run of its worker that another has followed
    late,              // held up on its way: newer ones follow
    from_the_future,   // ahead of its worker's own clock
    too_many_workers,  // nobody keeps so many workers' words
};
inline constexpr std::size_t kHeardKinds = 8;

struct TallyCounts {
    std::uint64_t transitions = 0;     // decided here and stored
    std::uint64_t put_back = 0;        // states that the bucket had lost
    std::uint64_t writes_lost = 0;     // another aggregator's write came first
    std::uint64_t writes_failed = 0;   // no acknowledgement
    std::uint64_t writes_retried = 0;  // after one of these
};

/// How many defined targets are so.
struct Census {
    std::map<contract::Health, std::size_t> by_state;  // those without a state yet are not counted
    std::size_t disputed = 0;  // tallied here, and the voters disagree without a quorum
    std::map<contract::Health, std::size_t> in_maintenance;  // of those above
    std::size_t in_conflict = 0;
    std::size_t role_unexpected = 0;
    std::size_t writing = 0;  // writes in flight, and those that wait for their turn
};

/// Folds pings into states: pure core of the aggregator.
///
/// - It decides nothing until it has read both buckets, only about targets that have a definition, and only in
///   partitions of which it is one of the two aggregators.
/// - What it believes of a target is what the bucket said last; every change goes through a compare-and-set
///   against that revision, at most one in flight a target, and the watch has the last word on who won.
/// - A value that the other aggregator wrote is contradicted on the ground of newer pings alone, and by the
///   second-ranked not before one interval of them. Whom the other has heard and this one does not counts among
///   the voters, so that two who hear different workers do not contradict each other for ever.
/// - Absence never removes anything: only a delete marker in `health_targets` removes a target, and what a
///   bucket lost, or somebody edited by hand, is put back.
///
/// Functions append to `out`, in the order in which the actions are to be done.
class Tally {
  public:
    using Actions = std::vector<Action>;

    /// `id`: this aggregator's, which its transitions name.
    explicit Tally(std::string id);
    Tally(const Tally&) = delete;
    Tally& operator=(const Tally&) = delete;

    void definition(const contract::TargetDefinition& definition, Now now, Actions& out);
    void definition_removed(std::string_view target, Now now, Actions& out);
    void definitions_loaded(Now now, Actions& out);

    /// The probes that serve: they alone have a voice.
    void members(const std::vector<std::string>& probes, Now now, Actions& out);
    /// What this aggregator is to each partition.
    void ranks(const Ranks& ranks, Now now, Actions& out);

    void states_opened();
    /// `by_aggregator`: written as aggregators write, and not by somebody's hand.
    void state(std::string_view target, contract::State state, std::uint64_t revision, bool by_aggregator,
               Now now, Actions& out);
    /// A value that is no state: it is overwritten with what is believed.
    void unreadable_state(std::string_view target, std::uint64_t revision, Now now, Actions& out);
    void state_removed(std::string_view target, std::uint64_t revision, bool by_aggregator, Now now,
                       Actions& out);
    void states_loaded(Now now, Actions& out);

    Heard ping(const contract::Ping& ping, Now now, Actions& out);
    void echo(Now now) { hearing_.echo(now.mono); }
    void stored_echo(Now now) { hearing_.stored_echo(now.mono); }
    void tick(Now now, Actions& out);

    /// The outcome of the write of `target` against `expected`; `revision` where it was stored.
    void written(std::string_view target, Written outcome, std::uint64_t expected, std::uint64_t revision,
                 Now now, Actions& out);

    /// Both buckets were read.
    [[nodiscard]] bool loaded() const { return definitions_loaded_ && states_loaded_; }
    [[nodiscard]] const TallyCounts& counts() const { return counts_; }
    [[nodiscard]] Census census() const;
    /// How many states are being written or wait for it.
    [[nodiscard]] std::size_t writing() const {
        return in_flight_ + waiting_as_first_.size() + waiting_as_second_.size();
    }

  private:
    using Time = HearingClock::Time;
    using Index = std::uint32_t;

    /// What of a definition the tally needs and most targets of a fleet have in common: each kind is held once.
    struct Terms {
        Time interval{1000};
        Time timeout{500};
        std::uint32_t observers = 3;
        std::optional<std::uint32_t> quorum;
        std::optional<contract::Role> expect_role;

        auto operator<=>(const Terms&) const = default;
        /// How late a ping may be: a later one comes out of a reconnect buffer, and newer ones follow.
        [[nodiscard]] Time longest_lateness() const;
        [[nodiscard]] Patience patience() const;
    };

    /// What held sessions tell of a server.
    struct Lives {
        ServerLives known;
        std::optional<ServerLife> restarted;  // a life that the state does not tell of yet
    };

    struct Write {
        contract::State state;  // empty target: a removal
        std::uint64_t expected = 0;
        bool put_back = false;
        std::optional<std::chrono::steady_clock::time_point> decided_from;  // the end of the deciding ping
    };

    struct Target {
        std::string name;
        const Terms* terms = nullptr;              // none: no definition
        std::unique_ptr<std::string> service;      // none: the target's name
        std::unique_ptr<Maintenance> maintenance;  // none: never defined
        std::unique_ptr<Lives> lives;              // none: never told
        std::unique_ptr<contract::State> belief;
        std::unique_ptr<contract::State>
            refused;  // what the bucket says instead, where `rewrite` and a state
        std::unique_ptr<Write> in_flight;
        std::uint64_t revision = 0;  // of the key's last message, a delete marker included
        std::chrono::steady_clock::time_point quiet_until{};   // no write before
        std::chrono::steady_clock::time_point rewrite_from{};  // nothing is put back before
        Time taken_over{0};
        Time adopted{0};  // when `foreign` came
        Voters voters;
        std::uint32_t seated = 0;  // the generation of the workers by which the voters were seated
        std::uint8_t partition = 0;
        bool seen = false;      // told by the watch since the bucket was opened
        bool rewrite = false;   // the bucket does not hold the belief
        bool removing = false;  // its definition was deleted
        bool foreign = false;   // the belief is another aggregator's word
        bool vouched = false;   // and that one is at work still, as far as is known
        bool waiting = false;   // for others' writes
        bool retry = false;     // its last write was lost or failed
        bool disputed = false;
        bool claims = false;  // in `claims_`
    };

    /// What is held of a target now, evidence and names aside.
    struct Findings {
        bool decides = false;
        contract::Health health{};
        std::optional<contract::Role> role;
        std::optional<bool> writable;
        bool restarted = false;
        bool maintenance = false;
        bool role_unexpected = false;
        std::vector<std::string> conflicts_with;
    };
    using Changes = std::bitset<contract::kChanges>;

    /// Looks targets up by their names, which the targets hold themselves.
    class ByName {
      public:
        using is_transparent = void;
        explicit ByName(const std::deque<Target>& targets) : targets_(&targets) {}
        [[nodiscard]] std::string_view name(Index index) const { return (*targets_)[index].name; }
        [[nodiscard]] static std::string_view name(std::string_view name) { return name; }

      private:
        const std::deque<Target>* targets_;
    };
    struct NameHash : ByName {
        using ByName::ByName;
        template <typename Key>
        std::size_t operator()(const Key& key) const {
            return std::hash<std::string_view>{}(name(key));
        }
    };
    struct SameName : ByName {
        using ByName::ByName;
        template <typename A, typename B>
        bool operator()(const A& a, const B& b) const {
            return name(a) == name(b);
        }
    };

    std::string id_;
    HearingClock hearing_;
    Workers workers_;
    Claims claims_;
    DamageReport damage_{"health", "state"};
    Ranks ranks_{};
    std::set<Terms> terms_;
    bool definitions_loaded_ = false;
    bool states_loaded_ = false;
    std::deque<Target> targets_;
    std::unordered_set<Index, NameHash, SameName> index_;
    // Targets whose writes wait for others to be acknowledged, by this aggregator's rank for them.
    std::deque<Index> waiting_as_first_;
    std::deque<Index> waiting_as_second_;
    std::size_t in_flight_ = 0;
    std::size_t sweep_ = 0;
    std::vector<Vote> votes_;  // of the ballot that is counted now
    std::optional<std::chrono::steady_clock::time_point>
        deciding_ping_;  // when the ping ended that is folded now
    TallyCounts counts_;

    Target& target_named(std::string_view name);
    Target* find(std::string_view name);
    [[nodiscard]] Index index_of(const Target& target) const;
    [[nodiscard]] Rank rank(const Target& target) const { return ranks_.at(target.partition); }

    void begin(Target& target);
    void seat_voters(Target& target);
    void evaluate(Target& target, Now now, Actions& out);
    void evaluate_all(Now now, Actions& out);
    void evaluate_waiting(Now now, Actions& out);
    std::deque<Index>& waiting_as(Rank rank) {
        return rank == Rank::second ? waiting_as_second_ : waiting_as_first_;
    }
    static std::size_t most_in_flight(Rank as);
    [[nodiscard]] bool may_write(Target& target);
    void write(Target& target, Write write, Actions& out);
    void forget_write(Target& target);

    [[nodiscard]] Findings findings(Target& target, Now now);
    [[nodiscard]] std::vector<std::string> conflicts(const Target& target, const RoleReports& reports) const;
    [[nodiscard]] static Changes differences(const Target& target, const Findings& found);
    /// What another aggregator has decided since, who may have heard more.
    [[nodiscard]] static OthersWord others_word(const Target& target);
    [[nodiscard]] bool must_wait(const Target& target, const Changes& changes) const;
    [[nodiscard]] contract::State next_state(const Target& target, const Findings& found,
                                             const Changes& changes, Now now) const;
    /// What the bucket says is the belief from now on.
    void take_word(Target& target, contract::State state);
    void adopt(Target& target, contract::State state);
    void forget_belief(Target& target);
    /// `refused`: the state that the bucket says instead of the belief, if it says one.
    void damaged(Target& target, Damage damage, std::unique_ptr<contract::State> refused, Now now);
    void update_claim(Target& target);
    [[nodiscard]] static std::string_view service_of(const Target& target);
    [[nodiscard]] static Lives& lives_of(Target& target);
    [[nodiscard]] static const std::optional<ServerLife>& present_life(const Target& target);
    /// A life that the state does not tell of yet.
    [[nodiscard]] static const std::optional<ServerLife>& restarted_as(const Target& target);
    /// Taken over so lately that a voter may not have been heard yet.
    [[nodiscard]] bool young(const Target& target) const;
};

}  // namespace pgpulse::aggregator
