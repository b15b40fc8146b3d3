#include "probe/schedule.hpp"

#include "common/contract/hash.hpp"

#include <algorithm>
#include <utility>

namespace pgpulse::probe {
namespace {

using contract::mix;
using std::chrono::nanoseconds;

constexpr nanoseconds kFirstPingStep{500'000};
constexpr std::int64_t kJitterDivisor = 25;  // 4 % of the interval
// A target with a long timeout and a short fast interval must not use up the bounds of all.
constexpr std::uint32_t kMostInFlightOfATarget = 16;
constexpr double kBurstSeconds = 0.1;

std::int64_t below(std::uint64_t hash, std::int64_t bound) {
    return bound <= 0 ? 0 : static_cast<std::int64_t>(hash % static_cast<std::uint64_t>(bound));
}

}  // namespace

Schedule::Schedule(Limits limits, std::uint64_t worker_hash)
    : limits_(limits), worker_hash_(worker_hash), tokens_(limits.fast_per_second * kBurstSeconds) {}

void Schedule::add(TargetIndex target, std::uint64_t name_hash, Pace pace, Mono now) {
    if (target >= targets_.size()) targets_.resize(target + 1);
    Target& t = targets_[target];
    const std::uint32_t life = t.life + 1;
    t = Target{};
    t.life = life;
    t.present = true;
    t.hash = mix(name_hash ^ mix(worker_hash_));
    t.pace = pace;
    const Mono paced = std::max(now, next_first_);
    t.regular_due = regular_after(t, now);
    if (paced < t.regular_due) {
        next_first_ = paced + kFirstPingStep;
        t.regular_due = paced;
    }
    enqueue(target, t.regular_due);
}

void Schedule::change(TargetIndex target, Pace pace, Mono now) {
    Target& t = targets_[target];
    t.pace = pace;
    t.regular_due = regular_after(t, now);
    plan(target);
}

void Schedule::remove(TargetIndex target) {
    const std::uint32_t life = targets_[target].life + 1;
    targets_[target] = Target{};
    targets_[target].life = life;
}

void Schedule::confirm(TargetIndex target, Confirming what, Mono now) {
    Target& t = targets_[target];
    if (t.confirming == what) return;
    t.confirming = what;
    if (what == Confirming::nothing) t.waits_for_token = false;
    if (t.waits_for_token) queue_for_token(target);
    if (t.regular_due <= now) return;  // due anyway
    plan(target);
}

void Schedule::urge(TargetIndex target, Mono now) {
    Target& t = targets_[target];
    if (t.regular_due <= now) return;
    t.regular_due = now;
    plan(target);
}

void Schedule::call(TargetIndex target, Mono now) {
    const Target& t = targets_[target];
    // An unsettled one is pinged as fast as it may be anyway.
    if (t.confirming != Confirming::nothing || t.waits_for_token || t.regular_due <= now) return;
    const Mono due = std::max(now, t.last_start + t.pace.fast_interval);
    // Where it waits for the bound already, a second call must not send it to the end of the line.
    if (due < t.due) enqueue(target, due);
}

std::optional<Schedule::Start> Schedule::next_start(Mono now) {
    refill_tokens(now);
    if (in_flight_ >= limits_.in_flight) return std::nullopt;
    if (auto start = next_waiting_fast(now)) return start;
    for (;;) {
        drop_stale_entries();
        if (due_.empty() || due_.top().due > now) return std::nullopt;
        const Entry entry = due_.top();
        due_.pop();
        Target& t = targets_[entry.target];
        if (t.regular_due <= now) return begin(entry.target, t.regular_due, false, now);
        if (t.in_flight >= std::min(t.pace.to_settle, kMostInFlightOfATarget)) {
            t.waits_for_end = true;
            enqueue(entry.target, t.regular_due);
        } else if (fast_budget_left()) {
            return begin(entry.target, entry.due, true, now);
        } else {
            t.waits_for_token = true;
            t.waits_since = entry.due;
            queue_for_token(entry.target);
            enqueue(entry.target, t.regular_due);
        }
    }
}

void Schedule::ended(std::optional<TargetIndex> target, bool fast) {
    --in_flight_;
    if (fast) --fast_in_flight_;
    if (!target) return;
    Target& t = targets_[*target];
    --t.in_flight;
    if (std::exchange(t.waits_for_end, false)) plan(*target);
}

void Schedule::stalled(Mono stalled_since, Mono now) {
    std::vector<Entry> overdue;
    for (drop_stale_entries(); !due_.empty() && due_.top().due < now; drop_stale_entries()) {
        overdue.push_back(due_.top());
        due_.pop();
    }
    for (const Entry& entry : overdue) {
        // What was due before the stall waits for the bound on pings in flight and stays first in line.
        const Mono due = entry.due < stalled_since ? entry.due : now + (entry.due - stalled_since);
        Target& t = targets_[entry.target];
        if (t.regular_due < now) t.regular_due = due;
        enqueue(entry.target, due);
    }
}

Mono Schedule::next_due(Mono now) {
    if (in_flight_ >= limits_.in_flight) return Mono::max();
    drop_stale_entries();
    Mono due = due_.empty() ? Mono::max() : due_.top().due;
    drop_stale_waiters();
    if (waiting_fast() != 0 && fast_in_flight_ < limits_.fast_in_flight) {
        const double missing = std::max(0.0, 1.0 - tokens_) / limits_.fast_per_second;
        due = std::min(due, now + nanoseconds{static_cast<std::int64_t>(missing * 1e9) + 1});
    }
    return due;
}

/// The first regular start after `now`.
Mono Schedule::regular_after(const Target& target, Mono now) {
    const std::int64_t interval = target.pace.interval.count();
    const std::int64_t phase = below(target.hash, interval);
    const std::int64_t at = std::chrono::duration_cast<nanoseconds>(now.time_since_epoch()).count();
    for (std::int64_t k = (at - phase) / interval;; ++k) {
        const std::int64_t jitter =
            below(mix(target.hash + static_cast<std::uint64_t>(k)), interval / kJitterDivisor);
        const Mono start{nanoseconds{phase + k * interval + jitter}};
        if (start > now) return start;
    }
}

void Schedule::plan(TargetIndex index) {
    const Target& t = targets_[index];
    Mono due = t.regular_due;
    if (t.confirming != Confirming::nothing && !t.waits_for_token) {
        due = std::min(due, t.last_start + std::min(t.pace.fast_interval, t.pace.interval));
    }
    enqueue(index, due);
}

void Schedule::enqueue(TargetIndex index, Mono due) {
    targets_[index].entry = ++entries_;
    targets_[index].due = due;
    due_.push({due, entries_, index});
}

void Schedule::drop_stale_entries() {
    while (!due_.empty() && targets_[due_.top().target].entry != due_.top().number) due_.pop();
}

void Schedule::refill_tokens(Mono now) {
    if (tokens_at_ && now > *tokens_at_) {
        const double seconds = std::chrono::duration<double>(now - *tokens_at_).count();
        tokens_ = std::min(tokens_ + seconds * limits_.fast_per_second,
                           std::max(1.0, limits_.fast_per_second * kBurstSeconds));
    }
    tokens_at_ = now;
}

bool Schedule::fast_budget_left() const { return tokens_ >= 1.0 && fast_in_flight_ < limits_.fast_in_flight; }

Schedule::Start Schedule::begin(TargetIndex index, Mono due, bool fast, Mono now) {
    Target& t = targets_[index];
    if (fast) {
        tokens_ -= 1.0;
        ++fast_in_flight_;
    }
    ++in_flight_;
    ++t.in_flight;
    t.last_start = now;
    t.waits_for_token = false;
    if (t.regular_due <= now) t.regular_due = regular_after(t, now);
    plan(index);
    return {index, due, fast};
}

bool Schedule::is_urgent(TargetIndex index) const {
    return targets_[index].confirming != Confirming::success;
}

void Schedule::queue_for_token(TargetIndex index) {
    Target& t = targets_[index];
    const bool urgent = is_urgent(index);
    if (std::exchange(urgent ? t.in_urgent_queue : t.in_success_queue, true)) return;
    (urgent ? urgent_queue_ : success_queue_).push_back({index, t.life});
}

void Schedule::drop_stale_waiters(std::deque<Waiter>& queue) {
    const bool urgent = &queue == &urgent_queue_;
    for (; !queue.empty(); queue.pop_front()) {
        Target& t = targets_[queue.front().target];
        if (t.life != queue.front().life) continue;
        if (t.waits_for_token && is_urgent(queue.front().target) == urgent) return;
        (urgent ? t.in_urgent_queue : t.in_success_queue) = false;
    }
}

void Schedule::drop_stale_waiters() {
    drop_stale_waiters(urgent_queue_);
    drop_stale_waiters(success_queue_);
}

std::optional<Schedule::Start> Schedule::next_waiting_fast(Mono now) {
    drop_stale_waiters();
    std::deque<Waiter>& queue = urgent_queue_.empty() ? success_queue_ : urgent_queue_;
    if (queue.empty() || !fast_budget_left()) return std::nullopt;
    const TargetIndex target = queue.front().target;
    queue.pop_front();
    Target& t = targets_[target];
    (&queue == &urgent_queue_ ? t.in_urgent_queue : t.in_success_queue) = false;
    return begin(target, t.waits_since, true, now);
}

}  // namespace pgpulse::probe
