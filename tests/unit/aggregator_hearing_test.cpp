#include "aggregator/hearing.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace pgpulse::aggregator {
namespace {

using namespace std::chrono_literals;
using Mono = HearingClock::Mono;

class Hearing : public testing::Test {
  protected:
    HearingClock clock;
    Mono now{1h};

    void tick(std::chrono::milliseconds step, bool echo = true) {
        now += step;
        if (echo) {
            clock.echo(now);
            clock.stored_echo(now);
        }
        clock.tick(now);
    }
    void run(std::chrono::milliseconds time, bool echo = true) {
        for (auto passed = 0ms; passed < time; passed += 50ms) tick(50ms, echo);
    }
};

TEST_F(Hearing, RunsWithTicksWhileTheEchoComes) {
    tick(0ms);
    run(3s);
    EXPECT_EQ(clock.now(), 3s);
}

TEST_F(Hearing, NeverRunsWithoutAnyEcho) {
    tick(0ms, false);
    run(10s, false);
    EXPECT_EQ(clock.now(), 0s);
}

TEST_F(Hearing, StandsStillOneSecondAfterTheLastEcho) {
    tick(0ms);
    run(2s);
    run(30s, false);
    EXPECT_EQ(clock.now(), 3s);
    run(1s);
    EXPECT_EQ(clock.now(), 4s);
}

TEST_F(Hearing, AGapOfItsOwnTicksDoesNotCount) {
    tick(0ms);
    run(1s);
    tick(10s);
    EXPECT_EQ(clock.now(), 1s);
    tick(250ms);
    EXPECT_EQ(clock.now(), 1250ms) << "250 ms is not a gap yet";
    tick(251ms);
    EXPECT_EQ(clock.now(), 1250ms);
}

TEST(WorkerRuns, AnEndedRunStaysEnded) {
    WorkerRun worker;
    EXPECT_EQ(worker.meet("a"), WorkerRun::Standing::current);
    EXPECT_EQ(worker.meet("b"), WorkerRun::Standing::current);
    EXPECT_EQ(worker.meet("a"), WorkerRun::Standing::ended);
    EXPECT_EQ(worker.meet("b"), WorkerRun::Standing::current);
}

TEST(WorkerRuns, AnEndedRunStaysEndedThoughOthersFollowed) {
    WorkerRun worker;
    for (const char* run : {"a", "b", "c", "d"}) EXPECT_EQ(worker.meet(run), WorkerRun::Standing::current);
    for (const char* run : {"a", "b", "c"}) EXPECT_EQ(worker.meet(run), WorkerRun::Standing::ended);
    EXPECT_EQ(worker.meet("d"), WorkerRun::Standing::current) << "what was replayed silences nobody";
}

TEST(WorkerRuns, LatenessIsMeasuredAgainstTheQuickestPing) {
    WorkerRun worker;
    worker.meet("a");
    EXPECT_EQ(worker.lateness(10'005ms, 5'000ms), 0ms) << "the first is the measure";
    EXPECT_EQ(worker.lateness(11'000ms, 6'000ms), 0ms) << "a quicker one becomes it";
    EXPECT_EQ(worker.lateness(12'005ms, 7'000ms), 5ms);
    EXPECT_EQ(worker.lateness(16'000ms, 8'000ms), 3'000ms);
}

TEST(WorkerRuns, DriftIsForgottenAfterTwoWindows) {
    WorkerRun worker;
    worker.meet("a");
    worker.lateness(0ms, 0ms);
    // The worker's clock runs one per cent slower than ours.
    std::chrono::milliseconds last{};
    for (int second = 1; second <= 600; ++second) last = *worker.lateness(second * 1000ms, second * 990ms);
    EXPECT_LE(last, 1300ms) << "two windows' drift at most, not ten minutes'";
}

TEST(WorkerRuns, ANewRunIsMeasuredAnew) {
    WorkerRun worker;
    worker.meet("a");
    worker.lateness(10'000ms, 10'000ms);
    worker.meet("b");
    EXPECT_EQ(worker.lateness(20'000ms, 5ms), 0ms);
}

TEST(WorkerRuns, AreNotMovedByOnePingFromTheFuture) {
    WorkerRun worker;
    worker.meet("00000000000000aa");
    EXPECT_EQ(worker.lateness(100'000ms, 100'000ms), 0ms);
    EXPECT_EQ(worker.lateness(101'000ms, 10'000'000ms), std::nullopt);
    EXPECT_EQ(worker.lateness(102'000ms, 102'000ms), 0ms);
    EXPECT_EQ(worker.lateness(103'000ms, 20'000'000ms), std::nullopt) << "each of them alone";
    EXPECT_EQ(worker.lateness(104'000ms, 104'005ms), 0ms);
}

TEST(WorkerRuns, BelieveTheSecondPingAfterALongHoldUp) {
    WorkerRun worker;
    worker.meet("00000000000000aa");
    // What a reconnect buffer held for ten minutes comes first.
    EXPECT_EQ(worker.lateness(700'000ms, 100'000ms), 0ms);
    EXPECT_EQ(worker.lateness(700'010ms, 700'000ms), std::nullopt);
    EXPECT_EQ(worker.lateness(701'010ms, 701'000ms), 0ms);
    EXPECT_EQ(worker.lateness(702'010ms, 702'000ms), 0ms);
}

}  // namespace
}  // namespace pgpulse::aggregator
