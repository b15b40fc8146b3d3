#include "tests/support/worker_session_stage.hpp"

// What the worker makes of a held session's end, and of a server that a session hides: rules of probe/worker.hpp and
// probe/session_plan.hpp as they show in its actions and its pings.
namespace pgpulse::probe {
namespace {

class WorkerSessionEndTest : public WorkerSessionStage {};

TEST_F(WorkerSessionEndTest, EndIsConfirmedAtOnce) {
    worker.put_target(definition("db1"), now);
    const SessionId session = open();
    end(session);
    EXPECT_EQ(worker.next_due(now), now);
    const Ping confirmed = found_at_once(kAccepting).ping;
    EXPECT_EQ(confirmed.via, Via::fresh);
    EXPECT_EQ(confirmed.opinion, Opinion::up) << "somebody ended the session, no more";
    const SessionId next_session = at_once(openings).session;
    EXPECT_EQ(next_session.target, session.target);
    EXPECT_NE(next_session.generation, session.generation);
    worker.session_ended(session, now);
    EXPECT_EQ(worker.session_refused(session, kWrongPassword, now, kWall), std::nullopt)
        << "the former session's events are nobody's";
}

TEST_F(WorkerSessionEndTest, RefusedSettlesDownWhateverFallSays) {
    auto target = definition("db1");
    target.fall = 100;
    worker.put_target(target, now);
    end(open());
    const Ping gone = found_at_once(kRefused).ping;
    EXPECT_EQ(gone.opinion, Opinion::down);
    EXPECT_EQ(gone.reason, Reason::refused);
    EXPECT_GE(worker.next_due(now) - now, 5ms) << "it is settled: no fast pings";
    EXPECT_EQ(ping_with(kAccepting).opinion, Opinion::down);
    EXPECT_EQ(ping_with(kAccepting).opinion, Opinion::up) << "after `rise`, as ever";
}

TEST_F(WorkerSessionEndTest, RefusedSettlesDownThoughAPingWasUnderWayWhenTheSessionEnded) {
    auto target = definition("db1");
    target.fall = 100;
    target.listener_interval = 1s;
    worker.put_target(target, now);
    const SessionId session = open();
    const StartPing before = next(pings);
    checks.clear();
    now += 5ms;
    tick();
    end(session);
    EXPECT_EQ(finish(before.ping, kAccepting).value().ping.opinion, Opinion::up);
    EXPECT_EQ(found_at_once(kRefused).ping.opinion, Opinion::down);
    EXPECT_TRUE(openings.empty());
}

TEST_F(WorkerSessionEndTest, AnObserverWithoutASessionWaitsForFall) {
    auto target = definition("db1");
    target.mode = contract::Mode::ping;
    worker.put_target(target, now);
    ping_with(kAccepting);
    ping_with(kAccepting);
    EXPECT_EQ(ping_with(kRefused).opinion, Opinion::up);
}

/// An observer that was called holds a session that stands, and its pings are refused.
class WorkerCalledBesideASession : public WorkerSessionStage {
  protected:
    void called_with_fall(std::uint32_t fall) {
        auto target = definition("db1");
        target.fall = fall;
        target.listener_interval = 24h;
        worker.put_target(target, now);
        open();
        now += target.fast_interval;
        worker.called("db1", now);
    }
};

TEST_F(WorkerCalledBesideASession, RefusedAgainAtOnceUntilFallAndNoLonger) {
    called_with_fall(5);
    for (unsigned refusals = 1; refusals < 5; ++refusals) {
        const Ping ping = found_at_once(kRefused).ping;
        EXPECT_EQ(ping.via, Via::fresh);
        EXPECT_EQ(ping.streak, refusals);
        EXPECT_EQ(ping.opinion, Opinion::up) << "`fall` holds";
    }
    EXPECT_EQ(found_at_once(kRefused).ping.opinion, Opinion::down);
    EXPECT_EQ(worker.sessions(), 1U) << "nobody has ended it";
    tick();
    EXPECT_TRUE(pings.empty()) << "it is settled";
    EXPECT_TRUE(checks.empty());
    EXPECT_EQ(ping_with(kAccepting).opinion, Opinion::down);
    EXPECT_EQ(ping_with(kAccepting).opinion, Opinion::up) << "after `rise`, as ever";
}

TEST_F(WorkerCalledBesideASession, RefusedAgainAtOnceEachAfterTheOthersAnswer) {
    called_with_fall(3);
    found_at_once(kRefused);
    const StartPing second = at_once(pings);
    now += 5ms;
    tick();
    EXPECT_TRUE(pings.empty()) << "while there is no answer the fast interval holds";
    finish(second.ping, kRefused);
    EXPECT_EQ(found_at_once(kRefused).ping.opinion, Opinion::down);
}

TEST_F(WorkerCalledBesideASession, RefusedAgainAtOnceUntilOneIsAcceptedWhichBeginsTheRowAnew) {
    called_with_fall(3);
    found_at_once(kRefused);
    found_at_once(kRefused);
    EXPECT_EQ(found_at_once(kAccepting).ping.opinion, Opinion::up);
    tick();
    EXPECT_TRUE(pings.empty()) << "it is settled";
    now += 100ms;
    worker.called("db1", now);
    EXPECT_EQ(found_at_once(kRefused).ping.streak, 1U);
    EXPECT_EQ(found_at_once(kRefused).ping.opinion, Opinion::up);
    EXPECT_EQ(found_at_once(kRefused).ping.opinion, Opinion::down);
}

TEST_F(WorkerCalledBesideASession, RefusedAgainAtOnceThenTheSessionsEndSettlesIt) {
    called_with_fall(100);
    EXPECT_EQ(found_at_once(kRefused).ping.opinion, Opinion::up);
    worker.session_ended({0, 1}, now);
    EXPECT_EQ(found_at_once(kRefused).ping.opinion, Opinion::down);
}

TEST_F(WorkerCalledBesideASession, SilenceAndResetsAreAskedAgainAtTheFastInterval) {
    for (const PingResult& soft : {kReset, kTimeout}) {
        worker = Worker{{"w1", "rack-1", "00000000000000aa"}, {1000, 250, 10'000}};
        called_with_fall(3);
        const Mono failed = now;
        found_at_once(soft);
        tick();
        EXPECT_TRUE(pings.empty());
        next(pings);
        EXPECT_GE(now - failed, 95ms);
    }
}

TEST_F(WorkerSessionEndTest, AnObserverWithoutASessionAsksAgainAtTheFastInterval) {
    auto target = definition("db1");
    target.mode = contract::Mode::ping;
    worker.put_target(target, now);
    ping_with(kAccepting);
    ping_with(kAccepting);
    now += 100ms;
    worker.called("db1", now);
    for (unsigned refusals = 1; refusals < 3; ++refusals) {
        const Mono failed = now;
        EXPECT_EQ(ping_with(kRefused).streak, refusals);
        tick();
        EXPECT_TRUE(pings.empty());
        EXPECT_LE(now - failed, 105ms);
        now += 50ms;
        tick();
        EXPECT_TRUE(pings.empty());
    }
    EXPECT_EQ(ping_with(kRefused).opinion, Opinion::down);
}

TEST_F(WorkerSessionEndTest, ResetOnceMoreThenAcceptingKeepsUp) {
    worker.put_target(definition("db1"), now);
    const SessionId session = open();
    end(session);
    const Ping first = found_at_once(kReset).ping;
    EXPECT_EQ(first.opinion, Opinion::up);
    EXPECT_EQ(first.streak, 1U);
    const Ping second = found_at_once(kAccepting).ping;
    EXPECT_EQ(second.opinion, Opinion::up);
    EXPECT_NE(at_once(openings).session, session) << "and the session is opened again";
}

TEST_F(WorkerSessionEndTest, ResetOnceMoreCountsTowardsFall) {
    worker.put_target(definition("db1"), now);
    end(open());
    found_at_once(kReset);
    EXPECT_EQ(found_at_once(kReset).ping.streak, 2U);
    tick();
    EXPECT_TRUE(pings.empty()) << "once more, not for ever";
    const Mono failed = now;
    EXPECT_EQ(ping_with(kReset).opinion, Opinion::down);
    EXPECT_LE(now - failed, 105ms) << "at the fast interval";
}

TEST_F(WorkerSessionEndTest, RejectingClosesAndCountsTowardsFall) {
    auto target = definition("db1");
    target.listener_interval = 1s;
    worker.put_target(target, now);
    const SessionId session = open();
    const Ping rejected = ping_with(kShuttingDown);
    EXPECT_EQ(rejected.opinion, Opinion::up);
    EXPECT_EQ(at_once(closings).session, session) << "a smart shutdown would wait for it";
    EXPECT_EQ(worker.sessions(), 0U);
    ping_with(kShuttingDown);
    EXPECT_EQ(ping_with(kShuttingDown).opinion, Opinion::down);
}

TEST_F(WorkerSessionEndTest, RejectingGivesAnOpeningUp) {
    worker.put_target(definition("db1"), now);
    ping_with(kAccepting);
    const SessionId session = at_once(openings).session;
    ping_with(kShuttingDown);
    EXPECT_EQ(at_once(closings).session, session);
    EXPECT_EQ(worker.session_opened(session, primary(), now, kWall), std::nullopt);
    EXPECT_EQ(worker.sessions(), 0U);
}

TEST_F(WorkerSessionEndTest, ListenerInDoubtIsNotHiddenByTheSession) {
    auto target = definition("db1");
    target.interval =
        200ms;  // below the timeout: a check always starts after the ping that has not ended yet
    target.listener_interval = 1s;
    worker.put_target(target, now);
    open();
    Opinion opinion = Opinion::up;
    std::size_t failures = 0;
    for (const Mono end = now + 10s; now < end && opinion == Opinion::up; now += 5ms) {
        tick();
        while (!checks.empty()) {
            const auto found = worker.checked(take(checks).ping, kAccepting, role_of_primary(), now, kWall);
            EXPECT_EQ(found.value().ping.verdict, Verdict::accepting);
        }
        // A stopped postmaster: nobody answers, and the backends know nothing of it.
        while (!expired.empty()) {
            opinion = finish(take(expired), kTimeout).value().ping.opinion;
            ++failures;
        }
    }
    EXPECT_EQ(opinion, Opinion::down) << failures << " pings failed";
}

TEST_F(WorkerSessionEndTest, CalledIsFresh) {
    worker.put_target(definition("db1"), now);
    open();
    worker.called("db1", now);
    const Mono called = now;
    next(pings);
    EXPECT_LE(now - called, 100ms) << "the fast interval";
    EXPECT_TRUE(checks.empty());
}

TEST_F(WorkerSessionEndTest, CalledIsFreshWhereTheNextTurnComesBeforeTheFastInterval) {
    auto target = definition("db1");
    target.fast_interval = target.interval;
    target.listener_interval = 24h;
    worker.put_target(target, now);
    open();
    for (int calls = 0; calls < 20; ++calls) {
        check_with(role_of_primary());
        worker.called("db1", now);
        finish(next(pings).ping, kAccepting);
        EXPECT_TRUE(checks.empty());
        checks.clear();
    }
}

TEST_F(WorkerSessionEndTest, CallsObserversWhenTheConfirmationFails) {
    worker.put_target(definition("db1"), now);
    end(open());
    EXPECT_TRUE(found_at_once(kRefused).calls_observers);
}

TEST_F(WorkerSessionEndTest, CallsObserversOnceWhenTheConfirmationIsResetTwice) {
    worker.put_target(definition("db1"), now);
    end(open());
    EXPECT_TRUE(found_at_once(kReset).calls_observers);
    EXPECT_FALSE(found_at_once(kReset).calls_observers);
}

TEST_F(WorkerSessionEndTest, CallsObserversNotWhenTheConfirmationSucceeds) {
    worker.put_target(definition("db1"), now);
    end(open());
    EXPECT_FALSE(found_at_once(kAccepting).calls_observers);
}

TEST_F(WorkerSessionEndTest, CallsObserversNotWhereThereAreNone) {
    auto target = definition("db1");
    target.observers = 1;
    worker.put_target(target, now);
    end(open());
    EXPECT_FALSE(found_at_once(kRefused).calls_observers);
}

}  // namespace
}  // namespace pgpulse::probe
