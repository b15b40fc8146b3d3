#include "probe/worker.hpp"
#include "tests/support/ping_results.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace pgpulse::probe {
namespace {

using namespace std::chrono_literals;
using contract::Opinion;
using contract::Ping;
using contract::Reason;
using contract::Verdict;

contract::TargetDefinition pinged_definition(const std::string& name) {
    contract::TargetDefinition target;
    target.name = target.service = name;
    target.address = "10.0.0.1";
    return target;
}

class WorkerTest : public testing::Test {
  protected:
    Worker worker{{"w1", "rack-1", "00000000000000aa"}, {1000, 250, 10'000}};
    Mono now{1000s};
    std::vector<PingId> started;  // by ticks since the last take_started
    std::vector<PingId> expired;
    int calls = 0;  // of other observers

    void tick() {
        std::vector<Action> actions;
        worker.tick(now, 1000, actions);
        for (const Action& action : actions) {
            if (const auto* start = std::get_if<StartPing>(&action))
                started.push_back(start->ping);
            else
                expired.push_back(std::get<ExpirePing>(action).ping);
        }
    }

    void pass(std::chrono::milliseconds time) {
        for (const Mono end = now + time; now < end; now += 5ms) tick();
        tick();
    }

    /// Waits until the core starts a ping and returns it.
    PingId next_ping() {
        for (int turns = 0; started.empty() && turns < 10'000; ++turns) {
            tick();
            if (started.empty()) now += 5ms;
        }
        const PingId ping = started.at(0);
        started.erase(started.begin());
        return ping;
    }

    std::optional<Ping> finish(PingId ping, const PingResult& result) {
        auto finding = worker.finished(ping, result, now, kWall);
        if (!finding) return std::nullopt;
        if (finding->calls_observers) ++calls;
        return std::move(finding->ping);
    }

    /// Pings once with this result.
    Ping ping_with(const PingResult& result) { return finish(next_ping(), result).value(); }
};

TEST_F(WorkerTest, FillsThePing) {
    worker.put_target(pinged_definition("db1"), now);
    const Ping first = ping_with(kStartingUp);
    EXPECT_EQ(first.target, "db1");
    EXPECT_EQ(first.worker, "w1");
    EXPECT_EQ(first.site, "rack-1");
    EXPECT_EQ(first.run, "00000000000000aa");
    EXPECT_EQ(first.seq, 1U);
    EXPECT_EQ(first.mono_ms, now.time_since_epoch() / 1ms);
    EXPECT_EQ(first.at, kWall);
    EXPECT_EQ(first.verdict, Verdict::rejecting);
    EXPECT_EQ(first.reason, Reason::starting_up);
    EXPECT_EQ(first.sqlstate, "57P03");
    EXPECT_EQ(first.rtt_us, 300);
    EXPECT_EQ(first.via, contract::Via::fresh);
    EXPECT_EQ(first.opinion, Opinion::undecided);
    EXPECT_EQ(first.streak, 1U);
    EXPECT_FALSE(first.suspect);
    EXPECT_EQ(ping_with(kAccepting).seq, 2U);
    EXPECT_TRUE(contract::decode_ping(contract::encode(first))) << "it is a ping of the contract";
}

TEST_F(WorkerTest, OpinionTravelsInThePing) {
    worker.put_target(pinged_definition("db1"), now);
    ping_with(kAccepting);
    EXPECT_EQ(ping_with(kAccepting).opinion, Opinion::up);
    ping_with(kRefused);
    EXPECT_EQ(ping_with(kRefused).opinion, Opinion::up);
    const Ping third = ping_with(kRefused);
    EXPECT_EQ(third.opinion, Opinion::down);
    EXPECT_EQ(third.streak, 3U);
}

TEST_F(WorkerTest, NothingToConfirmGoesOnAtTheRegularPace) {
    const PingResult no_file{Verdict::not_attempted, Reason::config, {}, std::nullopt};
    const PingResult not_known{Verdict::inconclusive, Reason::observer_stalled, {}, std::nullopt};
    for (const PingResult& result : {no_file, not_known}) {
        worker.put_target(pinged_definition("db1"), now);
        const Mono began = now;
        int pings = 0;
        for (; now < began + 10s; ++pings) ping_with(result);
        EXPECT_NEAR(pings, 11, 1) << "at a second's pace";
        now += 200ms;
        worker.called("db1", now);
        const Mono called = now;
        ping_with(kAccepting);
        EXPECT_LE(now - called, 5ms) << "a call brings one at once";
        const Mono found = now;
        EXPECT_EQ(ping_with(kAccepting).opinion, Opinion::up);
        EXPECT_LE(now - found, 110ms) << "what was found is confirmed at the fast interval";
        worker.remove_target("db1");
        now += 1s;
    }
}

TEST_F(WorkerTest, RefusalsSettleDownAtTheFastInterval) {
    worker.put_target(pinged_definition("db1"), now);
    ping_with(kAccepting);
    ping_with(kAccepting);
    ping_with(kRefused);
    const Mono failed = now;
    while (ping_with(kRefused).opinion != Opinion::down) continue;
    EXPECT_LE(now - failed, 215ms) << "two more pings, 100 ms apart";
}

TEST_F(WorkerTest, Deadline) {
    worker.put_target(pinged_definition("db1"), now);
    const PingId ping = next_ping();
    const Mono start = now;
    while (expired.empty() && now < start + 5s) {
        now += 1ms;
        tick();
    }
    EXPECT_EQ(expired.at(0), ping);
    EXPECT_EQ(now - start, 500ms);
    EXPECT_EQ(finish(ping, kTimeout).value().reason, Reason::timeout);
    EXPECT_EQ(finish(ping, kTimeout), std::nullopt) << "a ping ends once";
}

TEST_F(WorkerTest, ALoopThatDoesNotKeepUpStartsNothingAndStillEndsPings) {
    worker.put_target(pinged_definition("db1"), now);
    worker.put_target(pinged_definition("db2"), now);
    const PingId ping = next_ping();
    std::vector<Action> actions;
    for (const Mono end = now + 2s; now < end; now += 5ms) worker.tick(now, 0, actions);
    ASSERT_EQ(actions.size(), 1U);
    EXPECT_EQ(std::get<ExpirePing>(actions[0]).ping, ping);
    actions.clear();
    worker.tick(now, 1, actions);
    EXPECT_EQ(actions.size(), 1U) << "no more than it may";
    worker.tick(now, 1000, actions);
    EXPECT_EQ(actions.size(), 2U) << "each waiting target once";
}

TEST_F(WorkerTest, DeadlineOfAPingThatEndedIsNothing) {
    worker.put_target(pinged_definition("db1"), now);
    ping_with(kAccepting);
    ping_with(kAccepting);
    pass(900ms);
    EXPECT_TRUE(expired.empty());
}

TEST_F(WorkerTest, ObserverStalled) {
    worker.put_target(pinged_definition("db1"), now);
    ping_with(kAccepting);
    ping_with(kAccepting);
    const PingId ping = next_ping();
    now += 3s;  // the process was stopped
    tick();
    ASSERT_EQ(expired.at(0), ping);
    const Ping judged = finish(ping, kTimeout).value();
    EXPECT_EQ(judged.verdict, Verdict::inconclusive);
    EXPECT_EQ(judged.reason, Reason::observer_stalled);
    EXPECT_EQ(judged.opinion, Opinion::up);
    EXPECT_EQ(worker.stalled_for(), 3s);
}

TEST_F(WorkerTest, ObserverStalledIsKnownToAResultThatComesBeforeTheTick) {
    worker.put_target(pinged_definition("db1"), now);
    const PingId ping = next_ping();
    now += 70s;  // long enough for the server to hang up
    EXPECT_EQ(finish(ping, kReset).value().reason, Reason::observer_stalled);
}

TEST_F(WorkerTest, ObserverStalledForAQuarterOfTheTimeoutIsEnough) {
    for (const auto& [stall, reason] :
         {std::pair{130ms, Reason::observer_stalled}, {110ms, Reason::timeout}}) {
        Worker fresh{{"w1", "", "00000000000000aa"}, {1000, 250, 10'000}};
        worker = std::move(fresh);
        expired.clear();
        started.clear();
        worker.put_target(pinged_definition("db1"), now);
        const PingId ping = next_ping();
        now += stall;
        pass(500ms);
        ASSERT_EQ(expired.at(0), ping);
        EXPECT_EQ(finish(ping, kTimeout).value().reason, reason) << stall.count() << " ms";
    }
}

TEST_F(WorkerTest, ObserverStalledLeavesHardEvidence) {
    worker.put_target(pinged_definition("db1"), now);
    for (const PingResult& result : {kRefused, kStartingUp, kAccepting}) {
        const PingId ping = next_ping();
        now += 3s;
        EXPECT_EQ(finish(ping, result).value().verdict, result.verdict);
    }
}

TEST_F(WorkerTest, ObserverStalledBeforeThePingIsNothing) {
    worker.put_target(pinged_definition("db1"), now);
    ping_with(kAccepting);
    now += 3s;
    tick();
    started.clear();
    const PingId ping = next_ping();
    pass(600ms);
    EXPECT_EQ(finish(ping, kTimeout).value().verdict, Verdict::no_response);
}

TEST_F(WorkerTest, ObserverStalledGoesUnnoticedWithoutSelfDoubt) {
    worker = Worker{{"w1", "rack-1", "00000000000000aa"}, {1000, 250, 10'000}, false, 1000, SelfDoubt::off};
    worker.put_target(pinged_definition("db1"), now);
    const PingId ping = next_ping();
    now += 3s;
    EXPECT_EQ(finish(ping, kTimeout).value().verdict, Verdict::no_response);
    EXPECT_EQ(worker.stalled_for(), 0s);
}

TEST_F(WorkerTest, CallsObserversAtTheFirstFailureAlone) {
    worker.put_target(pinged_definition("db1"), now);
    ping_with(kRefused);
    ping_with(kAccepting);
    EXPECT_EQ(calls, 0) << "it is not held up";
    ping_with(kAccepting);
    EXPECT_EQ(calls, 0);
    ping_with(kTimeout);
    EXPECT_EQ(calls, 1);
    ping_with(kTimeout);
    EXPECT_EQ(ping_with(kTimeout).opinion, Opinion::down);
    EXPECT_EQ(calls, 1) << "the second failure is no first one";
    ping_with(kAccepting);
    EXPECT_EQ(calls, 1) << "a success of a target that is held down calls nobody";
}

TEST_F(WorkerTest, CallsObserversAlsoWhereOneFailureIsEnough) {
    auto target = pinged_definition("db1");
    target.fall = 1;
    worker.put_target(target, now);
    ping_with(kAccepting);
    ping_with(kAccepting);
    EXPECT_EQ(ping_with(kRefused).opinion, Opinion::down);
    EXPECT_EQ(calls, 1);
    ping_with(kRefused);
    EXPECT_EQ(calls, 1);
}

TEST_F(WorkerTest, CallsObserversOnlyWhereThereAreSome) {
    auto target = pinged_definition("db1");
    target.observers = 1;
    worker.put_target(target, now);
    ping_with(kAccepting);
    ping_with(kAccepting);
    ping_with(kRefused);
    EXPECT_EQ(calls, 0);
}

TEST_F(WorkerTest, CallsObserversNotMoreOftenThanOnceInAnInterval) {
    worker.put_target(pinged_definition("db1"), now);
    ping_with(kAccepting);
    ping_with(kAccepting);
    const Mono begun = now;
    Mono last_call{};
    for (int seen = 0; now < begun + 10s;) {
        ping_with(kRefused);
        if (calls > seen) {
            EXPECT_GE(now - last_call, 1s);
            last_call = now;
            seen = calls;
        }
        ping_with(kAccepting);
    }
    EXPECT_GE(calls, 5) << "and a flapping one calls again";
}

TEST_F(WorkerTest, CallsObserversNotWhenItWasCalledItselfInThatTime) {
    auto slow = pinged_definition("db1");
    slow.interval = 10s;
    for (const auto& [later, expected] : {std::pair{9990ms, 0}, {10'000ms, 1}}) {
        worker.put_target(slow, now);
        ping_with(kAccepting);
        ping_with(kAccepting);
        const Mono called = now;
        worker.called("db1", called);
        const PingId ping = next_ping();
        pass(std::chrono::duration_cast<std::chrono::milliseconds>(called + later - now));
        finish(ping, kRefused);
        EXPECT_EQ(calls, expected) << later.count() << " ms";
        worker.remove_target("db1");
        started.clear();
    }
}

TEST_F(WorkerTest, CallsObserversNotForWhatProvesNothing) {
    worker.put_target(pinged_definition("db1"), now);
    ping_with(kAccepting);
    ping_with(kAccepting);
    const PingId ping = next_ping();
    now += 3s;  // the process was stopped
    EXPECT_EQ(finish(ping, kTimeout).value().verdict, Verdict::inconclusive);
    EXPECT_EQ(calls, 0);
}

TEST_F(WorkerTest, CallsObserversOfATargetThatIsItsOwnAgain) {
    for (int time = 0; time < 2; ++time) {
        worker.put_target(pinged_definition("db1"), now);
        ping_with(kAccepting);
        ping_with(kAccepting);
        ping_with(kRefused);
        worker.remove_target("db1");
    }
    EXPECT_EQ(calls, 2) << "who was called then may be somebody else";
}

TEST_F(WorkerTest, CalledTargetIsPingedAtOnce) {
    auto slow = pinged_definition("db1");
    slow.interval = 60s;
    worker.put_target(slow, now);
    ping_with(kAccepting);
    ping_with(kAccepting);
    pass(1s);
    started.clear();
    worker.called("db1", now);
    tick();
    EXPECT_EQ(started.size(), 1U);
}

TEST_F(WorkerTest, CalledTargetThatIsNotObservedIsNothing) {
    worker.called("db1", now);
    worker.put_target(pinged_definition("db1"), now);
    worker.remove_target("db1");
    worker.called("db1", now);
    worker.called("", now);
    tick();
    EXPECT_TRUE(started.empty());
    EXPECT_EQ(worker.targets(), 0U);
}

TEST_F(WorkerTest, NewEndpointBeginsAnew) {
    worker.put_target(pinged_definition("db1"), now);
    ping_with(kAccepting);
    EXPECT_EQ(ping_with(kAccepting).opinion, Opinion::up);
    const PingId of_the_old = next_ping();
    auto moved = pinged_definition("db1");
    moved.port = 6000;
    const TargetIndex index = worker.put_target(moved, now);
    EXPECT_EQ(finish(of_the_old, kRefused), std::nullopt);
    const Ping first = ping_with(kAccepting);
    EXPECT_EQ(first.opinion, Opinion::undecided);
    EXPECT_EQ(index, worker.put_target(moved, now)) << "the index stays";
}

TEST_F(WorkerTest, NewEndpointIsNoneWhereOnlyThePaceChanges) {
    worker.put_target(pinged_definition("db1"), now);
    ping_with(kAccepting);
    ping_with(kAccepting);
    auto slower = pinged_definition("db1");
    slower.interval = 2s;
    slower.tags = {"x"};
    const PingId under_way = next_ping();
    worker.put_target(slower, now);
    EXPECT_EQ(finish(under_way, kAccepting).value().opinion, Opinion::up);
    EXPECT_EQ(worker.targets(), 1U);
}

TEST_F(WorkerTest, RemovedTargetIsNoMorePinged) {
    worker.put_target(pinged_definition("db1"), now);
    const PingId under_way = next_ping();
    EXPECT_TRUE(worker.remove_target("db1"));
    EXPECT_FALSE(worker.remove_target("db1"));
    pass(3s);
    EXPECT_TRUE(started.empty());
    EXPECT_EQ(expired, std::vector{under_way}) << "what is under way still ends";
    EXPECT_EQ(finish(under_way, kTimeout), std::nullopt);
    EXPECT_EQ(worker.in_flight(), 0U);
}

TEST_F(WorkerTest, IndexOfARemovedTargetServesAnotherOne) {
    const TargetIndex index = worker.put_target(pinged_definition("db1"), now);
    const PingId of_the_old = next_ping();
    worker.remove_target("db1");
    EXPECT_EQ(worker.put_target(pinged_definition("db2"), now), index);
    EXPECT_EQ(finish(of_the_old, kAccepting), std::nullopt);
    EXPECT_EQ(ping_with(kAccepting).target, "db2");
}

TEST_F(WorkerTest, NextDueIsWhenSomethingHappens) {
    worker.put_target(pinged_definition("db1"), now);
    ping_with(kAccepting);
    ping_with(kAccepting);
    for (int i = 0; i < 20; ++i) {
        const Mono due = worker.next_due(now);
        ASSERT_GT(due, now);
        while (now + 10ms < due) {
            now += 10ms;
            tick();
            ASSERT_TRUE(started.empty());
        }
        now = due;
        ping_with(kAccepting);
        ASSERT_EQ(now, due);
    }
}

}  // namespace
}  // namespace pgpulse::probe
