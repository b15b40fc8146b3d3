#pragma once

#include "probe/ping_result.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <queue>
#include <vector>

// Pure: which ping starts when.
//
// The rules, each tested under its name:
//   phase_is_kept         A target's regular pings lie on a grid of its interval. The grid's phase comes from
//                         the target and the worker, so starts are spread and a restart changes nothing. A
//                         late start moves no later one.
//   jitter                Each regular start is up to 4 % of the interval later than its grid point, so that
//                         workers and servers with periodic habits do not fall into step.
//   first_ping_at_once    A new target is pinged at once, new targets one after the other in steps of half a
//                         millisecond, yet none later than its first regular start.
//   fast_while_unsettled  An unsettled target is pinged every fast interval, whether or not earlier pings
//                         have ended, besides its regular pings.
//   enough_under_way      No fast ping starts while as many pings of its target are under way as can settle it:
//                         they decide as soon as more would, and one that is given up costs a slow server a
//                         backend all the same. The next starts when one of them has ended.
//   fast_budget           Fast pings take tokens (so many a second, so many in flight). What finds none waits
//                         its turn, first come first served; regular pings never wait for tokens.
//   failures_first        Of those that wait for tokens the ones that confirm a failure or were called come
//                         before those that confirm a success: thousands of new targets hold no outage up.
//   in_flight_bound       No more than so many pings are under way; what is over the bound waits its turn by
//                         due time.
//   called                A called target is pinged at once as by its fast interval, budget and bounds
//                         included; no call makes it pinged more often than that.
//   urged                 An urged target has its next regular start at once; the grid of later ones stays.
//   no_burst_after_stall  What became due while the loop was stalled is spread over as long as the stall
//                         lasted, in its old order, and instants that were missed are not made up for.
namespace pgpulse::probe {

class Schedule {
  public:
    struct Limits {
        std::uint32_t in_flight = 1024;
        std::uint32_t fast_in_flight = 256;
        std::uint32_t fast_per_second = 2000;
    };

    /// How often one target is pinged.
    struct Pace {
        std::chrono::nanoseconds interval{};
        std::chrono::nanoseconds fast_interval{};
        /// So many results in a row settle it, whatever they are; at least 1.
        std::uint32_t to_settle = 16;
    };

    struct Start {
        TargetIndex target = 0;
        Mono due{};
        bool fast = false;
    };

    /// `worker_hash` tells this worker's phases from other workers'.
    Schedule(Limits limits, std::uint64_t worker_hash);

    /// Begins with a target, which is unsettled at first; `name_hash` determines its phase. The index is
    /// free: never used or removed.
    void add(TargetIndex target, std::uint64_t name_hash, Pace pace, Mono now);
    /// The target's pace from now on.
    void change(TargetIndex target, Pace pace, Mono now);
    void remove(TargetIndex target);

    /// What fast pings are to confirm.
    enum class Confirming { nothing, success, failure };

    /// What the target's newest result leaves to be confirmed; nothing: its opinion is settled.
    void confirm(TargetIndex target, Confirming what, Mono now);

    /// The target's next regular start is now: to confirm what an event means.
    void urge(TargetIndex target, Mono now);

    /// Somebody asks for a ping now.
    void call(TargetIndex target, Mono now);

    /// The next ping to start now, if one is due and within bounds. It counts as in flight until `ended`.
    /// To be called until it has none.
    std::optional<Start> next_start(Mono now);

    /// A ping ended that `next_start` gave; `target` is empty when it was removed meanwhile.
    void ended(std::optional<TargetIndex> target, bool fast);

    /// The loop did not turn between `stalled_since` and `now`.
    void stalled(Mono stalled_since, Mono now);

    /// When `next_start` may next have something; Mono::max(): not before a ping ends or a target comes.
    [[nodiscard]] Mono next_due(Mono now);

    [[nodiscard]] std::uint32_t in_flight() const { return in_flight_; }
    /// Fast pings that wait for a token.
    [[nodiscard]] std::size_t waiting_fast() const { return urgent_queue_.size() + success_queue_.size(); }

  private:
    struct Target {
        bool present = false;
        Confirming confirming = Confirming::success;  // of a new one nothing else is known
        bool waits_for_end = false;                   // enough are under way
        bool waits_for_token = false;
        Mono waits_since{};
        // Whether a queue has an entry of it; one that waits anew takes the place in line that it still has.
        bool in_urgent_queue = false;
        bool in_success_queue = false;
        std::uint32_t life = 0;  // counts the targets that had this index
        std::uint32_t in_flight = 0;
        std::uint64_t hash = 0;
        Pace pace;
        Mono last_start{};
        Mono regular_due{};
        std::uint64_t entry = 0;  // the number of its one valid entry in `due_`
        Mono due{};               // and what that says
    };
    struct Entry {
        Mono due;
        std::uint64_t number;
        TargetIndex target;

        bool operator>(const Entry& other) const {
            return due != other.due ? due > other.due : number > other.number;
        }
    };

    struct Waiter {
        TargetIndex target;
        std::uint32_t life;
    };

    [[nodiscard]] static Mono regular_after(const Target& target, Mono now);
    void plan(TargetIndex index);
    void enqueue(TargetIndex index, Mono due);
    void drop_stale_entries();
    void refill_tokens(Mono now);
    [[nodiscard]] bool fast_budget_left() const;
    Start begin(TargetIndex index, Mono due, bool fast, Mono now);
    [[nodiscard]] bool is_urgent(TargetIndex index) const;
    void queue_for_token(TargetIndex index);
    void drop_stale_waiters(std::deque<Waiter>& queue);
    void drop_stale_waiters();
    std::optional<Start> next_waiting_fast(Mono now);

    Limits limits_;
    std::uint64_t worker_hash_;
    std::vector<Target> targets_;
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> due_;
    // One entry a target and queue. It is good for a start when the target waits, and in this queue.
    std::deque<Waiter> urgent_queue_;
    std::deque<Waiter> success_queue_;
    std::uint64_t entries_ = 0;
    std::uint32_t in_flight_ = 0;
    std::uint32_t fast_in_flight_ = 0;
    double tokens_;
    std::optional<Mono> tokens_at_;
    Mono next_first_ = Mono::min();
};

}  // namespace pgpulse::probe
