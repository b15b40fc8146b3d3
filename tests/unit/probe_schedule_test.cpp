#include "probe/schedule.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <vector>

// The rules of probe/schedule.hpp under their names.
namespace pgpulse::probe {
namespace {

using namespace std::chrono_literals;
using Confirming = Schedule::Confirming;
using Starts = std::vector<std::pair<Mono, Schedule::Start>>;

constexpr Mono kStart{1000s + 123ms};
constexpr Schedule::Limits kUnbounded{100'000, 100'000, 1'000'000};
constexpr Schedule::Pace kSecond{1s, 100ms};

/// Drives a schedule as the loop does; every ping ends at once unless `hold`.
class ScheduleTest : public testing::Test {
  protected:
    Mono now = kStart;
    bool hold = false;
    bool settle = true;  // every ping settles its target
    Confirming unsettled = Confirming::success;

    /// Turns the loop until `end`, `step` at a time.
    Starts run(Schedule& schedule, std::chrono::nanoseconds duration, std::chrono::nanoseconds step = 1ms) {
        Starts starts;
        for (const Mono end = now + duration; now < end; now += step) turn(schedule, starts);
        return starts;
    }

    void turn(Schedule& schedule, Starts& starts) {
        while (const auto start = schedule.next_start(now)) {
            starts.emplace_back(now, *start);
            if (hold) continue;
            schedule.ended(start->target, start->fast);
            schedule.confirm(start->target, settle ? Confirming::nothing : unsettled, now);
        }
    }
};

TEST_F(ScheduleTest, PhaseIsKept) {
    Schedule schedule{kUnbounded, 1};
    schedule.add(0, 77, kSecond, now);
    run(schedule, 5s);
    const Starts before = run(schedule, 20s);
    ASSERT_EQ(before.size(), 20U);
    now += 7s + 300ms;  // a late wake-up
    const Starts after = run(schedule, 20s);
    const auto phase = [](Mono at) { return at.time_since_epoch() % 1s; };
    // All on one grid: no two phases differ by more than the jitter (and the turn's millisecond).
    auto low = phase(before.back().first);
    for (const auto& [at, start] : before) EXPECT_LE(std::chrono::abs(phase(at) - low), 41ms);
    for (auto it = after.begin() + 1; it != after.end(); ++it)
        EXPECT_LE(std::chrono::abs(phase(it->first) - low), 41ms);
}

TEST_F(ScheduleTest, PhaseComesFromTargetAndWorker) {
    const auto first_regular = [this](std::uint64_t worker, std::uint64_t target) {
        Schedule schedule{kUnbounded, worker};
        now = kStart;
        schedule.add(0, target, {1h, 1h}, now);
        run(schedule, 1ms);  // the ping at once
        return schedule.next_due(now);
    };
    EXPECT_EQ(first_regular(1, 77), first_regular(1, 77));
    EXPECT_NE(first_regular(1, 77), first_regular(1, 78));
    EXPECT_NE(first_regular(1, 77), first_regular(2, 77));
}

TEST_F(ScheduleTest, PhasesAreSpread) {
    Schedule schedule{kUnbounded, 1};
    for (TargetIndex target = 0; target < 10'000; ++target) schedule.add(target, target, kSecond, now);
    run(schedule, 3s);
    std::map<std::int64_t, int> per_tenth;
    for (const auto& [at, start] : run(schedule, 10s)) ++per_tenth[(at - kStart) / 100ms];
    for (const auto& [tenth, count] : per_tenth) {
        EXPECT_GT(count, 700) << "tenth of a second " << tenth;
        EXPECT_LT(count, 1300) << "tenth of a second " << tenth;
    }
}

TEST_F(ScheduleTest, Jitter) {
    Schedule schedule{kUnbounded, 1};
    schedule.add(0, 77, {10s, 100ms}, now);
    run(schedule, 20s);
    const Starts starts = run(schedule, 1000s);
    std::vector<std::chrono::nanoseconds> gaps;
    for (std::size_t i = 1; i < starts.size(); ++i) gaps.push_back(starts[i].first - starts[i - 1].first);
    const auto [least, most] = std::ranges::minmax(gaps);
    EXPECT_GE(least, 10s - 400ms - 1ms);
    EXPECT_LE(most, 10s + 400ms + 1ms);
    EXPECT_GT(most - least, 200ms) << "they are not in step";
}

TEST_F(ScheduleTest, FirstPingAtOnce) {
    Schedule schedule{kUnbounded, 1};
    for (TargetIndex target = 0; target < 100; ++target) schedule.add(target, target, {1h, 1h}, now);
    EXPECT_EQ(run(schedule, 51ms).size(), 100U);
}

TEST_F(ScheduleTest, FirstPingsOfManyAreSpreadOverTheInterval) {
    Schedule schedule{kUnbounded, 1};
    for (TargetIndex target = 0; target < 10'000; ++target) schedule.add(target, target, kSecond, now);
    std::vector<int> pinged(10'000);
    for (const auto& [at, start] : run(schedule, 1041ms)) ++pinged[start.target];
    EXPECT_EQ(std::ranges::count(pinged, 0), 0) << "every target within the interval and its jitter";
}

TEST_F(ScheduleTest, FastWhileUnsettled) {
    Schedule schedule{kUnbounded, 1};
    schedule.add(0, 77, {1h, 100ms}, now);
    settle = false;
    hold = true;  // whether or not earlier ones have ended
    const Starts starts = run(schedule, 1s);
    ASSERT_EQ(starts.size(), 10U);
    for (std::size_t i = 1; i < starts.size(); ++i) {
        EXPECT_TRUE(starts[i].second.fast);
        EXPECT_EQ(starts[i].first - starts[i - 1].first, 100ms);
    }
    schedule.confirm(0, Confirming::nothing, now);
    EXPECT_TRUE(run(schedule, 10s).empty());
    schedule.confirm(0, Confirming::failure, now);
    Starts again;
    turn(schedule, again);
    ASSERT_EQ(again.size(), 1U) << "a contradiction is followed up at once";
    EXPECT_TRUE(again[0].second.fast);
}

TEST_F(ScheduleTest, FastPingsOfATargetInFlightAreBounded) {
    Schedule schedule{kUnbounded, 1};
    schedule.add(0, 77, {1h, 10ms}, now);
    settle = false;
    hold = true;
    EXPECT_EQ(run(schedule, 10s).size(), 16U);
}

TEST_F(ScheduleTest, EnoughUnderWay) {
    Schedule schedule{kUnbounded, 1};
    schedule.add(0, 77, {1h, 100ms, 3}, now);
    hold = true;
    const Starts starts = run(schedule, 10s);
    ASSERT_EQ(starts.size(), 3U);
    EXPECT_EQ(starts[2].first - starts[0].first, 200ms);
    schedule.ended(0, false);
    EXPECT_EQ(run(schedule, 10s).size(), 1U) << "one for the one that ended";
    schedule.ended(0, true);
    schedule.confirm(0, Confirming::nothing, now);
    schedule.ended(0, true);
    EXPECT_TRUE(run(schedule, 10s).empty()) << "it is settled";
}

TEST_F(ScheduleTest, EnoughUnderWayOrNotARegularPingStarts) {
    Schedule schedule{kUnbounded, 1};
    schedule.add(0, 77, {1s, 100ms, 3}, now);
    hold = true;
    const Starts starts = run(schedule, 10s);
    const auto regular = std::ranges::count_if(starts, [](const auto& s) { return !s.second.fast; });
    EXPECT_GE(regular, 10);
    EXPECT_LE(std::ssize(starts) - regular, 2);
}

TEST_F(ScheduleTest, FastBudgetBoundsThoseOfASecond) {
    Schedule schedule{{100'000, 100'000, 100}, 1};
    for (TargetIndex target = 0; target < 1000; ++target) schedule.add(target, target, kSecond, now);
    settle = false;
    run(schedule, 2s);
    const Starts starts = run(schedule, 10s);
    const auto fast = std::ranges::count_if(starts, [](const auto& s) { return s.second.fast; });
    EXPECT_NEAR(static_cast<double>(fast), 1000, 20);
    // Regular pings never wait for tokens.
    EXPECT_NEAR(static_cast<double>(starts.size()) - static_cast<double>(fast), 10'000, 1000);
    std::map<TargetIndex, int> per_target;
    for (const auto& [at, start] : starts)
        if (start.fast) ++per_target[start.target];
    EXPECT_GT(per_target.size(), 500U) << "first come, first served: all get their turn";
}

/// A thousand new targets, all of whose fast pings but a few wait for tokens.
class ScheduleOfNewTargets : public ScheduleTest {
  protected:
    static constexpr TargetIndex kTargets = 1000;
    Schedule schedule{{100'000, 100'000, 10}, 1};

    void SetUp() override {
        for (TargetIndex target = 0; target < kTargets; ++target)
            schedule.add(target, target, {1h, 100ms}, now);
        settle = false;
        run(schedule, 5s);
        ASSERT_GT(schedule.waiting_fast(), 900U);
    }

    /// The targets of the next fast pings.
    std::vector<TargetIndex> next_fast(std::chrono::nanoseconds duration) {
        std::vector<TargetIndex> targets;
        for (const auto& [at, start] : run(schedule, duration)) {
            if (start.fast) targets.push_back(start.target);
        }
        return targets;
    }
};

TEST_F(ScheduleOfNewTargets, FailuresFirst) {
    for (const TargetIndex target : {900U, 950U}) schedule.confirm(target, Confirming::failure, now);
    unsettled = Confirming::failure;
    const auto targets = next_fast(150ms);
    ASSERT_GE(targets.size(), 1U);
    EXPECT_EQ(targets.front(), 900U);
    EXPECT_THAT(next_fast(1s), testing::Each(testing::AnyOf(900U, 950U))) << "and they keep their place";
}

TEST_F(ScheduleOfNewTargets, FailuresFirstAndThoseThatWereCalled) {
    schedule.confirm(990, Confirming::nothing, now);
    schedule.call(990, now);
    now += 101ms;
    settle = true;
    EXPECT_THAT(next_fast(1s), testing::Contains(990U));
}

TEST_F(ScheduleOfNewTargets, FailuresFirstAndNoneIsLost) {
    // One that turns from success to failure and back waits as one that confirms a success.
    for (const auto what : {Confirming::failure, Confirming::success}) schedule.confirm(999, what, now);
    settle = true;
    const auto targets = next_fast(200s);
    EXPECT_EQ(std::ranges::count(targets, 999U), 1);
    EXPECT_EQ(schedule.waiting_fast(), 0U);
}

TEST_F(ScheduleTest, FastBudgetKeepsOnePlaceInLineForEachThatWaits) {
    // Far more than the budget has tokens for, each pinged by its regular turn again and again meanwhile.
    Schedule schedule{{100'000, 100'000, 10}, 1};
    for (TargetIndex target = 0; target < 1000; ++target) schedule.add(target, target, kSecond, now);
    settle = false;
    for (int i = 0; i < 60; ++i) {
        for (TargetIndex target = 0; target < 1000; target += 7)
            schedule.confirm(target, i % 2 == 0 ? Confirming::failure : Confirming::success, now);
        run(schedule, 1s, 10ms);
        ASSERT_LE(schedule.waiting_fast(), 2000U) << "one in each line at most";
    }
    for (TargetIndex target = 0; target < 1000; ++target) schedule.remove(target);
    schedule.add(5, 5, kSecond, now);
    run(schedule, 1s);
    EXPECT_LE(schedule.waiting_fast(), 1U) << "those of removed targets are gone";
}

TEST_F(ScheduleTest, FastBudgetBoundsThoseInFlight) {
    Schedule schedule{{100'000, 5, 1'000'000}, 1};
    for (TargetIndex target = 0; target < 20; ++target) schedule.add(target, target, {1h, 100ms}, now);
    settle = false;
    hold = true;
    const Starts starts = run(schedule, 5s);
    EXPECT_EQ(std::ranges::count_if(starts, [](const auto& s) { return s.second.fast; }), 5);
    EXPECT_EQ(starts.size(), 25U);
    schedule.ended(3, true);
    EXPECT_EQ(run(schedule, 10ms).size(), 1U) << "the next in line takes the place";
}

TEST_F(ScheduleTest, InFlightBound) {
    Schedule schedule{{10, 10, 1'000'000}, 1};
    for (TargetIndex target = 0; target < 50; ++target) schedule.add(target, target, {1h, 1h}, now);
    hold = true;
    const Starts first = run(schedule, 1s);
    ASSERT_EQ(first.size(), 10U);
    EXPECT_EQ(schedule.in_flight(), 10U);
    EXPECT_EQ(schedule.next_due(now), Mono::max()) << "nothing to do before one ends";
    schedule.ended(first[0].second.target, false);
    const Starts next = run(schedule, 1ms);
    ASSERT_EQ(next.size(), 1U);
    EXPECT_EQ(next[0].second.target, 10U) << "by due time";
    EXPECT_LT(next[0].second.due, kStart + 1s) << "and its lateness shows";
}

TEST_F(ScheduleTest, CalledIsPingedAtOnce) {
    Schedule schedule{kUnbounded, 1};
    schedule.add(0, 77, {1h, 100ms}, now);
    run(schedule, 1s);
    const Mono regular = schedule.next_due(now);
    schedule.call(0, now);
    EXPECT_EQ(schedule.next_due(now), now);
    Starts starts;
    turn(schedule, starts);
    ASSERT_EQ(starts.size(), 1U);
    EXPECT_TRUE(starts[0].second.fast) << "it takes from the budget of fast pings";
    EXPECT_EQ(schedule.next_due(now), regular) << "the regular ping stays where it was";
}

TEST_F(ScheduleTest, CalledNeverMakesItPingedMoreOftenThanItsFastInterval) {
    Schedule schedule{kUnbounded, 1};
    schedule.add(0, 77, kSecond, now);
    run(schedule, 2s);
    Starts starts;
    for (const Mono end = now + 10s; now < end; now += 1ms) {
        schedule.call(0, now);
        turn(schedule, starts);
    }
    EXPECT_NEAR(static_cast<double>(starts.size()), 100 + 10, 10) << "and the regular ones";
    Mono last_fast{};
    for (const auto& [at, start] : starts) {
        if (!start.fast) continue;
        EXPECT_GE(at - last_fast, 100ms);
        last_fast = at;
    }
}

TEST_F(ScheduleTest, CalledJustAfterAPingWaitsForItsFastInterval) {
    Schedule schedule{kUnbounded, 1};
    schedule.add(0, 77, {1h, 100ms}, now);
    run(schedule, 1s);
    schedule.call(0, now);
    Starts starts;
    turn(schedule, starts);
    const Mono pinged = now;
    now += 30ms;
    schedule.call(0, now);
    EXPECT_EQ(schedule.next_due(now), pinged + 100ms);
}

TEST_F(ScheduleTest, CalledLeavesAPingThatIsDueBeforeAlone) {
    Schedule schedule{kUnbounded, 1};
    schedule.add(0, 77, {1s, 2s}, now);
    run(schedule, 2s);
    const Mono regular = schedule.next_due(now);
    schedule.call(0, now);
    EXPECT_EQ(schedule.next_due(now), regular) << "its fast interval ends later";
    now = regular;
    schedule.call(0, now);
    Starts starts;
    turn(schedule, starts);
    ASSERT_EQ(starts.size(), 1U);
    EXPECT_FALSE(starts[0].second.fast) << "what is due anyway takes nothing from the budget";
}

TEST_F(ScheduleTest, CalledChangesNothingWhileUnsettled) {
    Schedule schedule{kUnbounded, 1};
    schedule.add(0, 77, {1h, 100ms}, now);
    settle = false;
    run(schedule, 50ms);
    const Mono due = schedule.next_due(now);
    schedule.call(0, now);
    EXPECT_EQ(schedule.next_due(now), due);
}

TEST_F(ScheduleTest, CalledOfManyWaitForTheBudget) {
    Schedule schedule{{100'000, 100'000, 100}, 1};
    for (TargetIndex target = 0; target < 1000; ++target) schedule.add(target, target, {10'000h, 100ms}, now);
    run(schedule, 2s);
    for (TargetIndex target = 0; target < 1000; ++target) schedule.call(target, now);
    EXPECT_NEAR(static_cast<double>(run(schedule, 5s).size()), 510, 10)
        << "those of a tenth of a second in stock";
    for (TargetIndex target = 0; target < 1000; ++target) schedule.call(target, now);
    EXPECT_EQ(run(schedule, 20s).size(), 1000U) << "one that waits already waits once";
}

TEST_F(ScheduleTest, CalledWhileItWaitsForTheBoundKeepsItsPlaceInLine) {
    Schedule schedule{{1, 1, 1'000'000}, 1};
    for (TargetIndex target = 0; target < 3; ++target) schedule.add(target, target, {1h, 100ms}, now);
    run(schedule, 1s);
    schedule.call(0, now);
    hold = true;
    Starts held;
    turn(schedule, held);
    ASSERT_EQ(held.size(), 1U);
    now += 200ms;
    schedule.call(1, now);
    now += 1ms;
    schedule.call(2, now);
    now += 1ms;
    schedule.call(1, now);
    schedule.ended(0, true);
    Starts next;
    turn(schedule, next);
    ASSERT_EQ(next.size(), 1U);
    EXPECT_EQ(next[0].second.target, 1U);
}

TEST_F(ScheduleTest, NoBurstAfterStall) {
    Schedule schedule{kUnbounded, 1};
    for (TargetIndex target = 0; target < 1000; ++target) schedule.add(target, target, kSecond, now);
    run(schedule, 3s);
    const Mono stalled_since = now;
    now += 500ms;
    schedule.stalled(stalled_since, now);
    Starts at_once;
    turn(schedule, at_once);
    EXPECT_LT(at_once.size(), 20U);
    const Starts starts = run(schedule, 500ms);
    EXPECT_NEAR(static_cast<double>(starts.size()), 1000, 150) << "the missed half and this half";
    std::map<TargetIndex, int> per_target;
    for (const auto& [at, start] : starts) ++per_target[start.target];
    for (const auto& [target, count] : per_target) EXPECT_LE(count, 2) << "nothing is made up for";
}

TEST_F(ScheduleTest, NoBurstAfterStallOfManyIntervals) {
    Schedule schedule{kUnbounded, 1};
    for (TargetIndex target = 0; target < 1000; ++target) schedule.add(target, target, kSecond, now);
    run(schedule, 3s);
    const Mono stalled_since = now;
    now += 1h;
    schedule.stalled(stalled_since, now);
    std::map<std::int64_t, int> per_tenth;
    const Mono woke = now;
    for (const auto& [at, start] : run(schedule, 1s)) ++per_tenth[(at - woke) / 100ms];
    for (const auto& [tenth, count] : per_tenth) EXPECT_LT(count, 300) << "tenth of a second " << tenth;
}

TEST_F(ScheduleTest, RemovedTargetIsNeverStarted) {
    Schedule schedule{kUnbounded, 1};
    schedule.add(0, 1, kSecond, now);
    schedule.add(1, 2, kSecond, now);
    run(schedule, 2s);
    schedule.remove(0);
    for (const auto& [at, start] : run(schedule, 5s)) EXPECT_EQ(start.target, 1U);
    schedule.add(0, 3, {1h, 1h}, now);
    const Starts starts = run(schedule, 2ms);
    EXPECT_EQ(std::ranges::count_if(starts, [](const auto& s) { return s.second.target == 0; }), 1)
        << "its index serves again";
}

TEST_F(ScheduleTest, ChangeOfPaceTakesEffectAtOnce) {
    Schedule schedule{kUnbounded, 1};
    schedule.add(0, 1, {1h, 1h}, now);
    run(schedule, 10ms);
    schedule.change(0, kSecond, now);
    EXPECT_NEAR(static_cast<double>(run(schedule, 10s).size()), 10, 1);
}

TEST_F(ScheduleTest, NextDueIsWhenTheNextStartIs) {
    Schedule schedule{kUnbounded, 1};
    for (TargetIndex target = 0; target < 20; ++target) schedule.add(target, target, kSecond, now);
    run(schedule, 2s);
    for (int i = 0; i < 100; ++i) {
        const Mono due = schedule.next_due(now);
        ASSERT_FALSE(schedule.next_start(due - 1ns));
        now = due;
        Starts starts;
        turn(schedule, starts);
        ASSERT_EQ(starts.size(), 1U);
    }
}

}  // namespace
}  // namespace pgpulse::probe
