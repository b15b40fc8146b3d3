#pragma once

#include "common/contract/ping.hpp"
#include "common/contract/target.hpp"
#include "probe/opinion.hpp"
#include "probe/ping_result.hpp"
#include "probe/schedule.hpp"

#include <optional>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

// Pure: the probe worker's core. Definitions, results and the time go in; which ping to start, which one to
// end and what to publish come out.
//
// Rules of its own, each tested under its name:
//   deadline              A ping that has not ended `timeout` after its start is ended by its owner.
//   observer_stalled      The core is to hear the time every kLongestTurn. A longer gap is a stall of the
//                         observer (a stopped process, a starved machine). A ping that lost a quarter of its
//                         timeout to stalls and then failed softly (silence, a reset, no route) is
//                         `inconclusive`: hard evidence (refused, an SQLSTATE) stands, for no stall can bring
//                         it about.
//   new_endpoint          When a definition changes what is pinged, the opinion begins anew and the results
//                         of pings of the old endpoint are dropped; any other change keeps it.
namespace pgpulse::probe {

/// Start a ping of the target; its result is to be reported with `Worker::finished`.
struct StartPing {
    PingId ping;
    TargetIndex target = 0;
    Mono due{};  // when it was to start
};

/// The ping's deadline has passed: end it, and report what is known of it with `Worker::finished`.
struct ExpirePing {
    PingId ping;
};

using Action = std::variant<StartPing, ExpirePing>;

class Worker {
  public:
    /// The longest time between two calls of `tick` of a loop that is not stalled.
    static constexpr std::chrono::milliseconds kLongestTurn{20};

    struct Identity {
        std::string id;
        std::string site;  // empty: none
        std::string run;   // 16 hexadecimal digits
    };

    Worker(Identity identity, Schedule::Limits limits);

    /// Observes a target from now on, or by a new definition. The index stays the same until it is removed.
    TargetIndex put_target(const contract::TargetDefinition& definition, Mono now);
    /// Stops observing it. Empty: there is none of this name.
    std::optional<TargetIndex> remove_target(std::string_view name);

    /// Appends what is to be done now, with no more than `starts` new pings: a loop that does not keep up
    /// with the pings it has starts none, so that overload makes pings late and not their answers. To be
    /// called after sockets were read, at least every kLongestTurn.
    void tick(Mono now, std::size_t starts, std::vector<Action>& actions);

    /// Takes a ping's result; returns what to publish. Empty: the target or its endpoint is gone.
    std::optional<contract::Ping> finished(PingId id, const PingResult& result, Mono now,
                                           contract::WallTime at);

    /// When `tick` next has something to do; Mono::max() where that depends on a result.
    [[nodiscard]] Mono next_due(Mono now);

    /// Whether this ping was started and has neither ended nor expired.
    [[nodiscard]] bool under_way(PingId ping) const;
    /// The target of a ping that is under way; it may have been removed.
    [[nodiscard]] TargetIndex target_of(PingId ping) const { return pings_[ping.slot].target; }

    [[nodiscard]] std::size_t targets() const { return by_name_.size(); }
    [[nodiscard]] std::uint32_t in_flight() const { return schedule_.in_flight(); }
    /// How long the observer was stalled so far, all in all.
    [[nodiscard]] std::chrono::nanoseconds stalled_for() const { return stalled_for_; }

  private:
    struct Target {
        contract::TargetDefinition definition;
        OpinionTracker opinion;
        std::uint32_t life = 0;      // counts the targets that had this index
        std::uint32_t endpoint = 0;  // counts its endpoints
        bool present = false;
    };
    struct InFlight {
        std::uint32_t generation = 0;
        TargetIndex target = 0;
        std::uint32_t life = 0;
        std::uint32_t endpoint = 0;
        bool active = false;
        bool fast = false;
        Mono started{};
        std::chrono::nanoseconds stalled_before{};
    };
    struct Deadline {
        Mono at;
        PingId ping;

        bool operator>(const Deadline& other) const { return at > other.at; }
    };

    void hear_time(Mono now);
    PingId take_slot();
    [[nodiscard]] PingResult judged(const PingResult& result, const InFlight& ping,
                                    const contract::TargetDefinition& definition) const;

    Identity identity_;
    Schedule schedule_;
    std::vector<Target> targets_;
    std::vector<TargetIndex> free_targets_;
    std::unordered_map<std::string, TargetIndex> by_name_;
    std::vector<InFlight> pings_;
    std::vector<std::uint32_t> free_slots_;
    std::priority_queue<Deadline, std::vector<Deadline>, std::greater<>> deadlines_;
    std::uint64_t seq_ = 0;
    std::optional<Mono> heard_;
    std::chrono::nanoseconds stalled_for_{0};
};

/// True when two definitions lead to the same server by the same way, so that what was found of one holds for
/// the other.
bool same_endpoint(const contract::TargetDefinition& a, const contract::TargetDefinition& b);

}  // namespace pgpulse::probe
