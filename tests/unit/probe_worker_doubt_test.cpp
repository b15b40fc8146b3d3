#include "probe/worker.hpp"
#include "tests/support/ping_results.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

// The worker's rule `suspect`: what becomes of its pings while it doubts itself, and whom it asks.
namespace pgpulse::probe {
namespace {

using namespace std::chrono_literals;
using contract::Opinion;
using contract::Reason;
using contract::Verdict;

class WorkerInDoubt : public testing::Test {
  protected:
    Worker worker{{"w1", "", "00000000000000aa"}, {1000, 250, 10'000}};
    Mono now{1000s};
    std::vector<StartPing> started;  // and not ended
    int questions = 0;               // asked of the references
    std::vector<std::string> names;  // by index

    void give_references() { worker = Worker{{"w1", "", "00000000000000aa"}, {1000, 250, 10'000}, true}; }

    void observe(std::size_t targets, std::chrono::milliseconds interval = 10s, std::uint32_t fall = 3) {
        for (std::size_t i = 0; i < targets; ++i) {
            contract::TargetDefinition target;
            target.name = target.service = "db" + std::to_string(names.size());
            target.address = "10.0.0.1";
            target.interval = interval;
            target.fall = fall;
            worker.put_target(target, now);
            names.push_back(target.name);
        }
        settle_up();
    }

    void tick() {
        std::vector<Action> actions;
        worker.tick(now, 1000, actions);
        for (const Action& action : actions) {
            if (const auto* const start = std::get_if<StartPing>(&action)) started.push_back(*start);
            if (std::holds_alternative<AskReferences>(action)) ++questions;
        }
    }

    contract::Ping finish(const StartPing& ping, const PingResult& result) {
        auto finding = worker.finished(ping.ping, result, now, kWall);
        EXPECT_TRUE(finding.has_value());
        if (finding->calls_observers) calls.insert(finding->ping.target);
        return finding->ping;
    }
    std::set<std::string> calls;  // of other observers

    /// Whatever starts for so long is accepted at once.
    void accept_for(std::chrono::milliseconds time) {
        for (const Mono end = now + time; now < end; now += 5ms) {
            tick();
            while (!started.empty()) finish(take(), kAccepting);
        }
    }

    void settle_up() { accept_for(1s); }

    StartPing take() {
        const StartPing ping = started.front();
        started.erase(started.begin());
        return ping;
    }

    /// The next ping of this target; all others that start meanwhile are accepted.
    StartPing next_of(TargetIndex target) {
        for (int turns = 0; turns < 10'000; ++turns, now += 5ms) {
            tick();
            while (!started.empty()) {
                const StartPing ping = take();
                if (ping.target == target) return ping;
                finish(ping, kAccepting);
            }
        }
        ADD_FAILURE() << names[target] << " is not pinged";
        return {};
    }

    /// Every ping that starts for so long fails like this. Returns what is published.
    std::vector<contract::Ping> fail_for(std::chrono::milliseconds time, const PingResult& result) {
        return fail_first(names.size(), time, result);
    }

    /// The same for the first so many targets; the others accept.
    std::vector<contract::Ping> fail_first(std::size_t targets, std::chrono::milliseconds time,
                                           const PingResult& result) {
        std::vector<contract::Ping> published;
        for (const Mono end = now + time; now < end; now += 5ms) {
            tick();
            while (!started.empty()) {
                const StartPing ping = take();
                published.push_back(finish(ping, ping.target < targets ? result : kAccepting));
            }
        }
        return published;
    }

    /// Fails the pings of all targets until the worker doubts itself.
    void become_suspect() {
        for (const std::string& name : names) worker.called(name, now);
        fail_for(50ms, kUnreachable);
        ASSERT_TRUE(worker.suspect());
    }
};

TEST_F(WorkerInDoubt, SuspectSoftFailuresDecideNothing) {
    observe(10);
    become_suspect();
    const auto published = fail_for(15s, kUnreachable);
    ASSERT_TRUE(worker.suspect());
    EXPECT_GT(published.size(), 100U);
    for (const contract::Ping& ping : published) {
        EXPECT_EQ(ping.opinion, Opinion::up);
        EXPECT_TRUE(ping.suspect);
    }
}

TEST_F(WorkerInDoubt, WithoutSelfDoubtEveryFailureStands) {
    worker = Worker{{"w1", "", "00000000000000aa"}, {1000, 250, 10'000}, true, 1000, SelfDoubt::off};
    observe(10);
    const auto published = fail_for(15s, kUnreachable);
    EXPECT_EQ(published.back().opinion, Opinion::down);
    EXPECT_FALSE(worker.suspect());
    EXPECT_EQ(questions, 0);
}

TEST_F(WorkerInDoubt, SuspectForTwoIntervalsAndThenWhatFailsIsDown) {
    observe(10);
    become_suspect();
    const Mono began = now;
    while (worker.suspect() && now < began + 60s) fail_for(5ms, kUnreachable);
    EXPECT_GE(now - began, 19s);
    EXPECT_LE(now - began, 20s);
    std::set<std::string> down;
    for (const contract::Ping& ping : fail_for(200ms, kUnreachable)) {
        EXPECT_FALSE(ping.suspect);
        EXPECT_EQ(ping.opinion, Opinion::down) << "the row went on meanwhile";
        down.insert(ping.target);
    }
    EXPECT_EQ(down.size(), 10U);
}

TEST_F(WorkerInDoubt, SuspectPingsThatFailedSoftlySaySoAndOthersDoNot) {
    observe(10);
    become_suspect();
    EXPECT_TRUE(finish(next_of(3), kUnreachable).suspect);
    EXPECT_FALSE(finish(next_of(3), kAccepting).suspect) << "it has answered";
    become_suspect();
    EXPECT_FALSE(finish(next_of(4), kRefused).suspect) << "its host has answered";
    EXPECT_FALSE(finish(next_of(5), kStartingUp).suspect) << "it has answered";
}

TEST_F(WorkerInDoubt, SuspectAlsoThePingThatBeginsIt) {
    observe(5);
    for (const std::string& name : names) worker.called(name, now);
    const auto published = fail_for(20ms, kUnreachable);
    ASSERT_GE(published.size(), 5U);
    for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(published[i].suspect, i == 4) << i;
}

TEST_F(WorkerInDoubt, SuspectLeavesHardEvidence) {
    observe(10);
    become_suspect();
    EXPECT_EQ(finish(next_of(0), kRefused).opinion, Opinion::up);
    EXPECT_EQ(finish(next_of(0), kRefused).opinion, Opinion::up);
    const contract::Ping third = finish(next_of(0), kRefused);
    EXPECT_EQ(third.opinion, Opinion::down);
    EXPECT_FALSE(third.suspect);
    EXPECT_TRUE(worker.suspect());
}

TEST_F(WorkerInDoubt, SuspectBeginsTheRowsAnew) {
    observe(10, 10s, 3);
    // Two hard failures, of which nobody knows any more that they were hard.
    finish(next_of(0), kRefused);
    finish(next_of(0), kRefused);
    for (std::size_t i = 1; i < names.size(); ++i) worker.called(names[i], now);
    for (const Mono end = now + 50ms; now < end; now += 5ms) {
        tick();
        while (!started.empty()) {
            const StartPing ping = take();
            if (ping.target != 0) finish(ping, kUnreachable);
        }
    }
    ASSERT_TRUE(worker.suspect());
    EXPECT_EQ(finish(next_of(0), kRefused).streak, 1U);
}

TEST_F(WorkerInDoubt, SuspectCallsNobody) {
    observe(10);
    become_suspect();
    calls.clear();
    fail_for(10s, kUnreachable);
    ASSERT_TRUE(worker.suspect());
    EXPECT_TRUE(calls.empty());
}

TEST_F(WorkerInDoubt, SuspectIsNobodyForALoneFailure) {
    observe(10);
    const contract::Ping first = finish(next_of(0), kUnreachable);
    EXPECT_FALSE(first.suspect);
    EXPECT_EQ(calls, std::set<std::string>{"db0"}) << "its other observers are called";
    finish(next_of(0), kUnreachable);
    EXPECT_EQ(finish(next_of(0), kUnreachable).opinion, Opinion::down);
    EXPECT_FALSE(worker.suspect());
}

TEST_F(WorkerInDoubt, SuspectIsNobodyBeforeControlsWerePinged) {
    observe(10, 1h);
    accept_for(1s);
    const Mono failed = now;
    worker.called("db0", now);
    finish(next_of(0), kUnreachable);
    std::set<TargetIndex> controls;
    for (; now < failed + 50ms; now += 5ms) {
        tick();
        for (const StartPing& ping : started) {
            if (ping.target != 0) controls.insert(ping.target);
        }
    }
    EXPECT_EQ(controls.size(), Doubt::kFewest - 1) << "so many more make a sample";
}

TEST_F(WorkerInDoubt, SuspectIsNobodyWhereTheControlsAnswer) {
    observe(10, 1h, 2);
    worker.called("db0", now);
    EXPECT_EQ(finish(next_of(0), kUnreachable).opinion, Opinion::up);
    const Mono failed = now;
    EXPECT_EQ(finish(next_of(0), kUnreachable).opinion, Opinion::down);
    EXPECT_LE(now - failed, 105ms) << "the fast interval, as without doubt";
}

TEST_F(WorkerInDoubt, SuspectIsWhoseControlsFail) {
    observe(10, 1h, 2);
    worker.called("db0", now);
    const auto published = fail_for(150ms, kUnreachable);
    EXPECT_TRUE(worker.suspect());
    for (const contract::Ping& ping : published) EXPECT_EQ(ping.opinion, Opinion::up);
}

TEST_F(WorkerInDoubt, SuspectIsNoneOfAFewTargets) {
    observe(4);
    for (const std::string& name : names) worker.called(name, now);
    const auto published = fail_for(300ms, kUnreachable);
    EXPECT_FALSE(worker.suspect());
    EXPECT_EQ(std::ranges::count(published, Opinion::down, &contract::Ping::opinion), 4)
        << "the third failure of each, as without doubt";
}

TEST_F(WorkerInDoubt, SuspectIsLiftedByAReferenceThatAnswers) {
    give_references();
    observe(10);
    EXPECT_EQ(questions, 0) << "while all is well nobody is asked";
    become_suspect();
    tick();
    EXPECT_EQ(questions, 1);
    worker.references_answered(true, now);
    EXPECT_FALSE(worker.suspect());
    const auto published = fail_for(300ms, kUnreachable);
    EXPECT_TRUE(std::ranges::none_of(published, &contract::Ping::suspect));
    EXPECT_EQ(std::ranges::count(published, 3U, &contract::Ping::streak), 10);
    for (const contract::Ping& ping : published)
        EXPECT_EQ(ping.opinion, ping.streak >= 3 ? Opinion::down : Opinion::up);
}

TEST_F(WorkerInDoubt, SuspectForAsLongAsNoReferenceAnswers) {
    give_references();
    observe(10, 1s);
    become_suspect();
    for (const Mono end = now + 60s; now < end;) {
        const int before = questions;
        for (const contract::Ping& ping : fail_for(300ms, kUnreachable)) {
            ASSERT_EQ(ping.opinion, Opinion::up);
            ASSERT_TRUE(ping.suspect);
        }
        ASSERT_EQ(questions, before + (before == questions ? 0 : 1));
        worker.references_answered(false, now);
    }
    EXPECT_GE(questions, 60);
    EXPECT_TRUE(worker.suspect());
}

TEST_F(WorkerInDoubt, SuspectIsALoneTargetUntilAReferenceAnswers) {
    give_references();
    observe(1, 10s, 1);
    EXPECT_EQ(finish(next_of(0), kUnreachable).opinion, Opinion::up);
    tick();
    EXPECT_EQ(questions, 1);
    worker.references_answered(true, now);
    EXPECT_EQ(finish(next_of(0), kUnreachable).opinion, Opinion::down);
}

TEST_F(WorkerInDoubt, SuspectIsALoneTargetWhereNoReferenceAnswers) {
    give_references();
    observe(1, 1s, 1);
    finish(next_of(0), kUnreachable);
    tick();
    worker.references_answered(false, now);
    EXPECT_TRUE(worker.suspect());
    const contract::Ping next = finish(next_of(0), kUnreachable);
    EXPECT_TRUE(next.suspect);
    EXPECT_EQ(next.opinion, Opinion::up);
    EXPECT_EQ(next.streak, 1U) << "the row began anew";
}

TEST_F(WorkerInDoubt, SuspectBeginsTheRowsAnewWhenTheReferencesSaySoAndNotLater) {
    give_references();
    observe(1, 1s, 2);
    finish(next_of(0), kUnreachable);
    tick();
    worker.references_answered(false, now);
    ASSERT_TRUE(worker.suspect());
    now += 250ms;
    tick();
    worker.references_answered(true, now);
    ASSERT_FALSE(worker.suspect());
    finish(next_of(0), kUnreachable);
    EXPECT_EQ(finish(next_of(0), kUnreachable).opinion, Opinion::down);
}

TEST_F(WorkerInDoubt, SuspectIsWhatWasUnderWayWhenItsBlindnessEnded) {
    give_references();
    observe(10, 1s);
    become_suspect();
    tick();
    worker.references_answered(false, now);
    fail_for(500ms, kUnreachable);
    std::vector<StartPing> under_way;
    for (const Mono end = now + 400ms; now < end; now += 5ms) {
        tick();
        for (; !started.empty();) under_way.push_back(take());
    }
    ASSERT_GE(under_way.size(), 30U) << "three and more of each target";
    worker.references_answered(true, now);
    ASSERT_FALSE(worker.suspect());
    for (const StartPing& ping : under_way) {
        const contract::Ping ended = finish(ping, kUnreachable);
        EXPECT_EQ(ended.opinion, Opinion::up);
        EXPECT_EQ(ended.streak, 0U) << "it counts for nothing";
        EXPECT_TRUE(ended.suspect);
    }
    // What goes on failing from then on is the targets' own affair.
    for (int answers = 0; answers < 3; ++answers) {
        fail_for(50ms, kUnreachable);
        worker.references_answered(true, now);
    }
    fail_for(300ms, kUnreachable);
    EXPECT_EQ(finish(next_of(0), kUnreachable).opinion, Opinion::down);
}

TEST_F(WorkerInDoubt, SuspectAgainLeavesTheRowsThatAreBelieved) {
    give_references();
    observe(20, 10s, 100);
    for (std::size_t i = 0; i < 10; ++i) worker.called(names[i], now);
    fail_first(10, 20ms, kUnreachable);
    ASSERT_TRUE(worker.suspect());
    worker.references_answered(true, now);
    fail_first(10, 300ms, kUnreachable);
    ASSERT_FALSE(worker.suspect());
    for (std::size_t i = 10; i < 20; ++i) worker.called(names[i], now);
    fail_for(200ms, kUnreachable);
    ASSERT_TRUE(worker.suspect()) << "by the others";
    EXPECT_GE(finish(next_of(0), kUnreachable).streak, 5U);
    EXPECT_LE(finish(next_of(10), kUnreachable).streak, 3U);
}

TEST_F(WorkerInDoubt, ATargetThatMovedIsComparedAnew) {
    observe(5);
    contract::TargetDefinition moved;
    moved.name = moved.service = "db0";
    moved.address = "10.0.0.2";
    moved.interval = 10s;
    worker.put_target(moved, now);
    finish(next_of(0), kUnreachable);
    finish(next_of(0), kUnreachable);
    EXPECT_EQ(finish(next_of(0), kUnreachable).opinion, Opinion::down) << "the four others answer";
    EXPECT_FALSE(worker.suspect());
}

}  // namespace
}  // namespace pgpulse::probe
