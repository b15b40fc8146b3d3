#pragma once

#include "common/cluster/rendezvous.hpp"
#include "common/contract/ping.hpp"
#include "common/contract/target.hpp"
#include "probe/doubt.hpp"
#include "probe/opinion.hpp"
#include "probe/ping_result.hpp"
#include "probe/schedule.hpp"
#include "probe/session_plan.hpp"

#include <limits>
#include <memory>
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
//   calls_observers       The first failure of a target that is held up calls its other observers, where it
//                         has some: not more often than once in its interval, and not when it was called
//                         itself in that time.
//   suspect               While the observer doubts itself (doubt.hpp) its soft failures decide nothing, its
//                         pings that failed softly say so, and it calls nobody.
//   session_check_failed  A check of the session that fails counts as a failure, closes the session and is
//                         confirmed by fresh pings (session_plan.hpp has the session's own rules).
//   nothing_to_confirm    Where nothing was attempted, or nothing is known yet and the result proves nothing, no
//                         fast pings follow: they would find the same for as long as the cause lasts.
//   login_is_no_outage    A refused login says that the server answers: it counts as a success, with the
//                         reason.
//   openings_bound        No more than kOpenings logins are under way: a login costs milliseconds of this
//                         worker's time.
//   sessions_bound        No more than so many sessions are held, for each takes an open file. A target has its
//                         place from its first login on, over its session's end: what becomes of its server
//                         shows in the next session. A refused login gives the place to whoever comes first.
//                         A target without a place is pinged by fresh connections.
//   new_endpoint          When a definition changes what is pinged, the opinion begins anew and the results of
//                         pings of the old endpoint are dropped; any other change keeps it.
namespace pgpulse::probe {

/// Start a ping of the target; its result is to be reported with `Worker::finished`.
struct StartPing {
    PingId ping;
    TargetIndex target = 0;
    Mono due{};  // when it was to start
};

/// Check the target's open session by a Sync, and measure the lag with it; the outcome is to be reported with
/// `Worker::checked`, or with `Worker::abandoned` where the session ended before.
struct StartCheck {
    PingId ping;
    SessionId session;
    bool with_lag = false;
    Mono due{};
};

/// Log in and keep the session; the outcome is to be reported with `Worker::session_opened` or
/// `session_refused`.
struct OpenSession {
    SessionId session;
};

/// Close the session, or give its opening up; nothing is to be reported but the checks that are under way.
struct CloseSession {
    SessionId session;
};

/// The deadline of a ping or check has passed: end it, and report what is known of it with
/// `Worker::finished`.
struct ExpirePing {
    PingId ping;
};

/// Try whether any reference can be reached; the outcome is to be reported with
/// `Worker::references_answered`.
struct AskReferences {};

using Action = std::variant<StartPing, StartCheck, OpenSession, CloseSession, ExpirePing, AskReferences>;

/// What a result leads to.
struct Finding {
    contract::Ping ping;           // to publish
    bool calls_observers = false;  // the target's other observers are to ping it now

    bool operator==(const Finding&) const = default;
};

/// Whether the worker asks if a failure could be its own. `off` is for tests, which show by it what would be
/// reported if it did not: a stall is not noticed, deadlines come before answers that wait to be read, and
/// every failure stands.
enum class SelfDoubt { on, off };

class Worker {
  public:
    /// The longest time between two calls of `tick` of a loop that is not stalled.
    static constexpr std::chrono::milliseconds kLongestTurn{20};
    static constexpr std::size_t kOpenings = 32;

    struct Identity {
        std::string id;
        std::string site;  // empty: none
        std::string run;   // 16 hexadecimal digits
    };

    Worker(Identity identity, Schedule::Limits limits, bool has_references = false,
           std::size_t most_sessions = std::numeric_limits<std::size_t>::max(),
           SelfDoubt self_doubt = SelfDoubt::on);

    /// Observes a target from now on, or by a new definition. The index stays the same until it is removed.
    TargetIndex put_target(const contract::TargetDefinition& definition, Mono now);
    /// Stops observing it. Empty: there is none of this name.
    std::optional<TargetIndex> remove_target(std::string_view name);

    /// Appends what is to be done now, with no more than `starts` new pings: a loop that does not keep up
    /// with the pings it has starts none, so that overload makes pings late and not their answers. To be
    /// called after sockets were read, at least every kLongestTurn.
    void tick(Mono now, std::size_t starts, std::vector<Action>& actions);

    /// Takes a ping's result. Empty: the target or its endpoint is gone.
    std::optional<Finding> finished(PingId id, const PingResult& result, Mono now, contract::WallTime at);

    /// The outcome of StartCheck.
    std::optional<Finding> checked(PingId id, const PingResult& result, const SessionFacts& facts, Mono now,
                                   contract::WallTime at);
    /// The check's session ended before it was answered.
    void abandoned(PingId id, Mono now);

    /// The outcome of OpenSession. `result` of a refused login is what it says about the server.
    std::optional<Finding> session_opened(SessionId session, const SessionFacts& facts, Mono now,
                                          contract::WallTime at);
    std::optional<Finding> session_refused(SessionId session, const PingResult& result, Mono now,
                                           contract::WallTime at);
    /// An open session was ended by the server, or lost.
    void session_ended(SessionId session, Mono now);

    /// The probes that share the targets, this one included.
    void set_probes(std::vector<std::string> probes);

    /// How far wall time is ahead of `Mono`. By it, and by nothing else of it, the observers of a target take turns
    /// at its listener.
    void set_wall_offset(std::chrono::nanoseconds offset) { wall_offset_ = offset; }

    /// Another observer or an operator asks for a ping of this target now. Nothing where it is not observed.
    void called(std::string_view target, Mono now);

    /// The outcome of AskReferences: whether any of them answered.
    void references_answered(bool any, Mono now);

    /// The observer doubts itself.
    [[nodiscard]] bool suspect() const { return doubt_.suspect(); }

    /// When `tick` next has something to do; Mono::max() where that depends on a result.
    [[nodiscard]] Mono next_due(Mono now);

    /// Whether this ping was started and has neither ended nor expired.
    [[nodiscard]] bool under_way(PingId ping) const;
    /// The target of a ping that is under way; it may have been removed.
    [[nodiscard]] TargetIndex target_of(PingId ping) const { return pings_[ping.slot].target; }

    [[nodiscard]] std::size_t targets() const { return by_name_.size(); }
    /// Sessions that are open.
    [[nodiscard]] std::size_t sessions() const { return open_sessions_; }
    /// Targets in mode `session`.
    [[nodiscard]] std::size_t session_targets() const { return session_targets_; }
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
        std::optional<Mono> called;            // when its observers were called last, by whomever
        std::unique_ptr<SessionPlan> session;  // in mode `session` only
        bool has_place = false;                // among the sessions that may be held
        std::uint64_t ranked_in = 0;           // the version of the probes by which it was
        std::uint32_t rank = 0;                // of this observer among the target's
    };
    struct InFlight {
        std::uint32_t generation = 0;
        TargetIndex target = 0;
        std::uint32_t life = 0;
        std::uint32_t endpoint = 0;
        bool active = false;
        bool fast = false;
        bool check = false;  // of a session
        Mono started{};
        std::chrono::nanoseconds stalled_before{};
    };
    struct Deadline {
        Mono at;
        PingId ping;

        bool operator>(const Deadline& other) const { return at > other.at; }
    };

    void hear_time(Mono now);
    /// Ends a ping's place. Empty where its target or endpoint is gone.
    std::optional<InFlight> release(PingId id, Mono now);
    Finding take(TargetIndex index, const InFlight& ping, const PingResult& result, const SessionFacts* facts,
                 Mono now, contract::WallTime at);
    [[nodiscard]] SessionPlan::Listener listener_of(Target& target);
    void confirm_by_fresh_pings(TargetIndex index, Mono now);
    void close_session(TargetIndex index);
    void set_mode(TargetIndex index, contract::Mode mode);
    void take_place(Target& target);
    void leave_place(Target& target);
    [[nodiscard]] SessionPlan* plan_of(SessionId session);
    bool weigh(TargetIndex index, const InFlight& ping, const PingResult& result, Mono now);
    void void_failures_where_doubt_began();
    void call_controls(TargetIndex failing, Mono now);
    PingId take_slot();
    [[nodiscard]] PingResult judged(const PingResult& result, const InFlight& ping,
                                    const contract::TargetDefinition& definition) const;

    Identity identity_;
    SelfDoubt self_doubt_;
    Schedule schedule_;
    Doubt doubt_;
    TargetIndex next_control_ = 0;
    std::vector<Target> targets_;
    std::vector<TargetIndex> free_targets_;
    std::unordered_map<std::string, TargetIndex> by_name_;
    std::vector<Action> soon_;  // what results led to, for the next tick
    cluster::Rendezvous probes_;
    std::uint64_t probes_version_ = 1;
    std::chrono::nanoseconds wall_offset_{};
    std::uint32_t session_generation_ = 0;  // no session of any target has had the next one
    std::size_t openings_ = 0;
    std::size_t open_sessions_ = 0;
    std::size_t session_targets_ = 0;
    std::size_t most_sessions_;
    std::size_t places_ = 0;  // that are taken
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
