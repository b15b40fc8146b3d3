#include "probe/worker.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <string>
#include <vector>

// What the worker does in mode `session`: rules of probe/worker.hpp and probe/session_plan.hpp as they show in its
// actions and its pings.
namespace pgpulse::probe {
namespace {

using namespace std::chrono_literals;
using contract::Opinion;
using contract::Ping;
using contract::Reason;
using contract::Role;
using contract::Verdict;
using contract::Via;

constexpr contract::WallTime kWall{1'700'000'000s};

const PingResult kAccepting{Verdict::accepting, Reason::ok, {}, 300us};
const PingResult kRefused{Verdict::no_response, Reason::refused, {}, std::nullopt};
const PingResult kReset{Verdict::no_response, Reason::reset, {}, std::nullopt};
const PingResult kTimeout{Verdict::no_response, Reason::timeout, {}, std::nullopt};
const PingResult kShuttingDown{Verdict::rejecting, Reason::shutting_down, {'5', '7', 'P', '0', '3'}, 300us};
const PingResult kWrongPassword{Verdict::accepting, Reason::auth, {'2', '8', 'P', '0', '1'}, std::nullopt};
const PingResult kNoFile{Verdict::not_attempted, Reason::config, {}, std::nullopt};

contract::TargetDefinition definition(const std::string& name) {
    contract::TargetDefinition target;
    target.name = target.service = name;
    target.address = "10.0.0.1";
    target.mode = contract::Mode::session;
    return target;
}

SessionFacts primary() {
    SessionFacts facts;
    facts.role = Role::primary;
    facts.writable = true;
    facts.started_at = kWall - 1h;
    facts.crashed_at = kWall - 1min;
    return facts;
}

/// What a check tells: who the server is was told at the login.
SessionFacts role_of_primary() {
    SessionFacts facts;
    facts.role = Role::primary;
    facts.writable = true;
    return facts;
}

class WorkerSessionTest : public testing::Test {
  protected:
    Worker worker{{"w1", "rack-1", "00000000000000aa"}, {1000, 250, 10'000}};
    Mono now{1000s};
    std::deque<StartPing> pings;
    std::deque<StartCheck> checks;
    std::deque<OpenSession> openings;
    std::deque<CloseSession> closings;
    std::deque<PingId> expired;

    void tick() {
        std::vector<Action> actions;
        worker.tick(now, 1000, actions);
        for (const Action& action : actions) {
            if (const auto* ping = std::get_if<StartPing>(&action)) pings.push_back(*ping);
            if (const auto* check = std::get_if<StartCheck>(&action)) checks.push_back(*check);
            if (const auto* opening = std::get_if<OpenSession>(&action)) openings.push_back(*opening);
            if (const auto* closing = std::get_if<CloseSession>(&action)) closings.push_back(*closing);
            if (const auto* late = std::get_if<ExpirePing>(&action)) expired.push_back(late->ping);
        }
    }

    template <typename T>
    static T take(std::deque<T>& from) {
        if (from.empty()) {
            ADD_FAILURE() << "nothing of this kind was asked for";
            return {};
        }
        T first = from.front();
        from.pop_front();
        return first;
    }

    /// Lets time pass until the core asks for one of these.
    template <typename T>
    T next(std::deque<T>& from, std::chrono::milliseconds patience = 60s) {
        for (const Mono end = now + patience; now < end; now += 5ms) {
            tick();
            if (!from.empty()) break;
        }
        return take(from);
    }

    /// What the core asks for at this instant.
    template <typename T>
    T at_once(std::deque<T>& from) {
        tick();
        return take(from);
    }

    std::optional<Finding> finish(PingId ping, const PingResult& result) {
        return worker.finished(ping, result, now, kWall);
    }

    Ping ping_with(const PingResult& result) { return finish(next(pings).ping, result).value().ping; }

    /// A ping that is made now, with this result.
    Finding found_at_once(const PingResult& result) {
        return finish(at_once(pings).ping, result).value_or(Finding{});
    }

    Ping check_with(const SessionFacts& facts) {
        return worker.checked(next(checks).ping, kAccepting, facts, now, kWall).value().ping;
    }

    /// The target gets a session and is held up.
    SessionId open() {
        ping_with(kAccepting);
        const SessionId session = at_once(openings).session;
        EXPECT_TRUE(worker.session_opened(session, primary(), now, kWall));
        for (int i = 0; i < 10 && ping_opinion != Opinion::up; ++i) {
            ping_opinion = check_or_ping().opinion;
        }
        drop_what_was_asked();
        return session;
    }

    /// The server ends the session.
    void end(SessionId session) {
        worker.session_ended(session, now);
        EXPECT_EQ(worker.sessions(), 0U);
    }

    void drop_what_was_asked() {
        tick();
        while (!pings.empty()) finish(take(pings).ping, kAccepting);
        while (!checks.empty()) worker.checked(take(checks).ping, kAccepting, role_of_primary(), now, kWall);
    }

  private:
    Opinion ping_opinion = Opinion::undecided;

    Ping check_or_ping() {
        for (; pings.empty() && checks.empty(); now += 5ms) tick();
        if (!pings.empty()) return finish(take(pings).ping, kAccepting).value().ping;
        return worker.checked(take(checks).ping, kAccepting, role_of_primary(), now, kWall).value().ping;
    }
};

TEST_F(WorkerSessionTest, OpensOnAcceptingAndSaysWhoTheServerIs) {
    worker.put_target(definition("db1"), now);
    ping_with(kRefused);
    tick();
    EXPECT_TRUE(openings.empty()) << "nobody is there to log in at";
    ping_with(kAccepting);
    const SessionId session = at_once(openings).session;
    EXPECT_EQ(worker.sessions(), 0U);
    const Ping opened = worker.session_opened(session, primary(), now, kWall).value().ping;
    EXPECT_EQ(worker.sessions(), 1U);
    EXPECT_EQ(opened.via, Via::session);
    EXPECT_EQ(opened.verdict, Verdict::accepting);
    EXPECT_EQ(opened.reason, Reason::ok);
    EXPECT_EQ(opened.role, Role::primary);
    EXPECT_EQ(opened.writable, true);
    EXPECT_EQ(opened.started_at, primary().started_at);
    EXPECT_EQ(opened.crashed_at, primary().crashed_at);
    EXPECT_EQ(opened.opinion, Opinion::up) << "a login is a success like any other";
    EXPECT_TRUE(contract::decode_ping(contract::encode(opened)));
    EXPECT_EQ(worker.session_opened(session, primary(), now, kWall), std::nullopt) << "it opens once";
}

TEST_F(WorkerSessionTest, OpensNothingInModePing) {
    auto target = definition("db1");
    target.mode = contract::Mode::ping;
    worker.put_target(target, now);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(ping_with(kAccepting).via, Via::fresh);
    tick();
    EXPECT_TRUE(openings.empty());
}

TEST_F(WorkerSessionTest, CheckBySessionTellsTheRoleOfNowAndTheLifeOfTheLogin) {
    worker.put_target(definition("db1"), now);
    const SessionId session = open();
    const StartCheck check = next(checks);
    EXPECT_EQ(check.session, session);
    SessionFacts demoted;
    demoted.role = Role::replica;
    demoted.writable = false;
    demoted.lag_ms = 7;
    demoted.lag_bytes = 8192;
    const Ping ping = worker.checked(check.ping, kAccepting, demoted, now, kWall).value().ping;
    EXPECT_EQ(ping.via, Via::session);
    EXPECT_EQ(ping.role, Role::replica);
    EXPECT_EQ(ping.writable, false);
    EXPECT_EQ(ping.lag_ms, 7);
    EXPECT_EQ(ping.lag_bytes, 8192);
    EXPECT_EQ(ping.started_at, primary().started_at);
    EXPECT_EQ(ping.crashed_at, primary().crashed_at);
    EXPECT_EQ(ping.rtt_us, 300);
    EXPECT_EQ(check_with(role_of_primary()).lag_ms, std::nullopt) << "not measured by this one";
    EXPECT_TRUE(pings.empty()) << "the session stands for fresh pings";
}

TEST_F(WorkerSessionTest, ListenerIsPingedOncePerIntervalOfAllObserversTogether) {
    for (const auto& [probes, seconds] : {std::pair{1U, 5}, {2U, 10}, {9U, 15}}) {
        worker.set_probes(probes);
        auto target = definition("db" + std::to_string(probes));
        worker.put_target(target, now);  // 3 observers
        open();
        finish(next(pings).ping, kAccepting);
        const Mono listened = now;
        drop_what_was_asked();
        while (pings.empty()) {
            tick();
            while (!checks.empty())
                worker.checked(take(checks).ping, kAccepting, role_of_primary(), now, kWall);
            if (pings.empty()) now += 5ms;
        }
        EXPECT_GE(now - listened, std::chrono::seconds{seconds}) << probes << " probes";
        EXPECT_LE(now - listened, std::chrono::seconds{seconds} + 1100ms)
            << "the next turn of a second's grid";
        worker.remove_target(target.name);
        pings.clear();
    }
}

TEST_F(WorkerSessionTest, SessionCheckFailedCountsClosesAndIsConfirmed) {
    auto target = definition("db1");
    target.fall = 2;
    worker.put_target(target, now);
    const SessionId session = open();
    const StartCheck check = next(checks);
    const Mono started = now;
    while (expired.empty() && now < started + 5s) {
        now += 5ms;
        tick();
    }
    ASSERT_EQ(take(expired), check.ping);
    EXPECT_EQ(now - started, target.timeout);
    const Ping failed = finish(check.ping, kTimeout).value().ping;
    EXPECT_EQ(failed.verdict, Verdict::no_response);
    EXPECT_EQ(failed.reason, Reason::timeout);
    EXPECT_EQ(failed.via, Via::session);
    EXPECT_EQ(failed.opinion, Opinion::up);
    EXPECT_EQ(failed.streak, 1U) << "it counts";
    EXPECT_EQ(worker.sessions(), 0U);
    EXPECT_EQ(at_once(closings).session, session);
    ASSERT_EQ(pings.size(), 1U) << "at once";
    const Ping confirmed = finish(take(pings).ping, kTimeout).value().ping;
    EXPECT_EQ(confirmed.via, Via::fresh);
    EXPECT_EQ(confirmed.opinion, Opinion::down);
}

TEST_F(WorkerSessionTest, SessionCheckFailedThatIsRefusedSettlesDown) {
    auto target = definition("db1");
    target.fall = 100;
    worker.put_target(target, now);
    open();
    finish(next(checks).ping, kTimeout);
    EXPECT_EQ(found_at_once(kRefused).ping.opinion, Opinion::down);
}

TEST_F(WorkerSessionTest, SessionCheckFailedByAStallOfTheObserverIsNoFailure) {
    worker.put_target(definition("db1"), now);
    open();
    const StartCheck check = next(checks);
    now += 3s;  // the process was stopped
    tick();
    const Ping judged = finish(check.ping, kTimeout).value().ping;
    EXPECT_EQ(judged.verdict, Verdict::inconclusive);
    EXPECT_EQ(judged.opinion, Opinion::up);
    tick();
    EXPECT_TRUE(closings.empty());
    EXPECT_EQ(worker.sessions(), 1U);
}

TEST_F(WorkerSessionTest, SessionCheckFailedIsNotOneThatWasAbandoned) {
    worker.put_target(definition("db1"), now);
    const SessionId session = open();
    const StartCheck check = next(checks);
    worker.abandoned(check.ping, now);
    EXPECT_FALSE(worker.under_way(check.ping));
    EXPECT_EQ(worker.checked(check.ping, kAccepting, role_of_primary(), now, kWall), std::nullopt);
    end(session);
    const Ping confirmed = found_at_once(kAccepting).ping;
    EXPECT_EQ(confirmed.opinion, Opinion::up);
    EXPECT_GE(confirmed.streak, 3U) << "the row of successes goes on";
}

TEST_F(WorkerSessionTest, LoginIsNoOutage) {
    worker.put_target(definition("db1"), now);
    ping_with(kAccepting);
    for (int refusals = 1; refusals <= 3; ++refusals) {
        const SessionId session = next(openings).session;
        pings.clear();
        const Ping refused = worker.session_refused(session, kWrongPassword, now, kWall).value().ping;
        EXPECT_EQ(refused.verdict, Verdict::accepting);
        EXPECT_EQ(refused.reason, Reason::auth);
        EXPECT_EQ(refused.sqlstate, "28P01");
        EXPECT_EQ(refused.via, Via::session);
        EXPECT_EQ(refused.opinion, Opinion::up);
        EXPECT_EQ(refused.role, std::nullopt);
        EXPECT_EQ(worker.sessions(), 0U);
        const Mono at = now;
        while (openings.empty()) ping_with(kAccepting), tick();
        EXPECT_GE(now - at, SessionPlan::kFirstRetry * (1 << (refusals - 1))) << "slower each time";
    }
}

TEST_F(WorkerSessionTest, LoginIsNoOutageAndNoWordWhereTheServerDidNotAnswer) {
    for (const PingResult& result : {kTimeout, kReset, kShuttingDown, kNoFile}) {
        worker.put_target(definition("db1"), now);
        ping_with(kAccepting);
        const SessionId session = at_once(openings).session;
        EXPECT_EQ(worker.session_refused(session, result, now, kWall), std::nullopt)
            << "the fresh pings say it, " << to_string(result.reason);
        EXPECT_EQ(ping_with(kAccepting).opinion, Opinion::up);
        worker.remove_target("db1");
        pings.clear();
        openings.clear();
    }
}

TEST_F(WorkerSessionTest, OpeningsBound) {
    std::map<TargetIndex, std::string> names;
    for (std::size_t i = 0; i < Worker::kOpenings + 8; ++i) {
        const std::string name = "db" + std::to_string(i);
        names[worker.put_target(definition(name), now)] = name;
    }
    std::vector<SessionId> under_way;
    const auto pass = [&](std::chrono::milliseconds time) {
        for (const Mono end = now + time; now < end; now += 5ms) {
            tick();
            while (!pings.empty()) finish(take(pings).ping, kAccepting);
            while (!checks.empty())
                worker.checked(take(checks).ping, kAccepting, role_of_primary(), now, kWall);
            while (!openings.empty()) under_way.push_back(take(openings).session);
        }
    };
    pass(3s);
    ASSERT_EQ(under_way.size(), Worker::kOpenings);
    // One ends well, one is refused, one is no longer wanted: each makes room for another.
    worker.session_opened(under_way.at(0), primary(), now, kWall);
    worker.session_refused(under_way.at(1), kWrongPassword, now, kWall);
    worker.remove_target(names.at(under_way.at(2).target));
    pass(3s);
    EXPECT_EQ(under_way.size(), Worker::kOpenings + 3);
    for (std::size_t done = 3; done < under_way.size(); ++done) {
        worker.session_opened(under_way.at(done), primary(), now, kWall);
        pass(50ms);
    }
    pass(3s);
    EXPECT_EQ(worker.sessions(), worker.targets()) << "each has its turn";
}

TEST_F(WorkerSessionTest, EndIsConfirmedAtOnce) {
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

TEST_F(WorkerSessionTest, RefusedSettlesDownWhateverFallSays) {
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

TEST_F(WorkerSessionTest, RefusedSettlesDownThoughAPingWasUnderWayWhenTheSessionEnded) {
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

TEST_F(WorkerSessionTest, AnObserverWithoutASessionWaitsForFall) {
    auto target = definition("db1");
    target.mode = contract::Mode::ping;
    worker.put_target(target, now);
    ping_with(kAccepting);
    ping_with(kAccepting);
    EXPECT_EQ(ping_with(kRefused).opinion, Opinion::up);
}

TEST_F(WorkerSessionTest, ResetOnceMoreThenAcceptingKeepsUp) {
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

TEST_F(WorkerSessionTest, ResetOnceMoreCountsTowardsFall) {
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

TEST_F(WorkerSessionTest, RejectingClosesAndCountsTowardsFall) {
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

TEST_F(WorkerSessionTest, RejectingGivesAnOpeningUp) {
    worker.put_target(definition("db1"), now);
    ping_with(kAccepting);
    const SessionId session = at_once(openings).session;
    ping_with(kShuttingDown);
    EXPECT_EQ(at_once(closings).session, session);
    EXPECT_EQ(worker.session_opened(session, primary(), now, kWall), std::nullopt);
    EXPECT_EQ(worker.sessions(), 0U);
}

TEST_F(WorkerSessionTest, ListenerInDoubtIsNotHiddenByTheSession) {
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

TEST_F(WorkerSessionTest, CalledIsFresh) {
    worker.put_target(definition("db1"), now);
    open();
    worker.called("db1", now);
    const Mono called = now;
    next(pings);
    EXPECT_LE(now - called, 100ms) << "the fast interval";
    EXPECT_TRUE(checks.empty());
}

TEST_F(WorkerSessionTest, CalledIsFreshWhereTheNextTurnComesBeforeTheFastInterval) {
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

TEST_F(WorkerSessionTest, CallsObserversWhenTheConfirmationFails) {
    worker.put_target(definition("db1"), now);
    end(open());
    EXPECT_TRUE(found_at_once(kRefused).calls_observers);
}

TEST_F(WorkerSessionTest, CallsObserversOnceWhenTheConfirmationIsResetTwice) {
    worker.put_target(definition("db1"), now);
    end(open());
    EXPECT_TRUE(found_at_once(kReset).calls_observers);
    EXPECT_FALSE(found_at_once(kReset).calls_observers);
}

TEST_F(WorkerSessionTest, CallsObserversNotWhenTheConfirmationSucceeds) {
    worker.put_target(definition("db1"), now);
    end(open());
    EXPECT_FALSE(found_at_once(kAccepting).calls_observers);
}

TEST_F(WorkerSessionTest, CallsObserversNotWhereThereAreNone) {
    auto target = definition("db1");
    target.observers = 1;
    worker.put_target(target, now);
    end(open());
    EXPECT_FALSE(found_at_once(kRefused).calls_observers);
}

TEST_F(WorkerSessionTest, ARemovedTargetsSessionIsClosed) {
    worker.put_target(definition("db1"), now);
    const SessionId session = open();
    worker.remove_target("db1");
    EXPECT_EQ(at_once(closings).session, session);
    EXPECT_EQ(worker.sessions(), 0U);
    worker.session_ended(session, now);
    EXPECT_EQ(worker.session_opened(session, primary(), now, kWall), std::nullopt);
    EXPECT_EQ(worker.sessions(), 0U);
    now += 5s;
    tick();
    EXPECT_TRUE(pings.empty());
}

TEST_F(WorkerSessionTest, ARemovedTargetsOpeningIsGivenUp) {
    worker.put_target(definition("db1"), now);
    ping_with(kAccepting);
    const SessionId session = at_once(openings).session;
    worker.remove_target("db1");
    EXPECT_EQ(at_once(closings).session, session);
}

TEST_F(WorkerSessionTest, ARemovedTargetsOpeningThatWasNotBegunIsNotBegun) {
    worker.put_target(definition("db1"), now);
    ping_with(kAccepting);
    worker.remove_target("db1");
    tick();
    EXPECT_TRUE(openings.empty());
    EXPECT_TRUE(closings.empty());
}

TEST_F(WorkerSessionTest, NewEndpointClosesTheSessionAndBeginsAnew) {
    worker.put_target(definition("db1"), now);
    const SessionId session = open();
    const StartCheck of_the_old = next(checks);
    auto moved = definition("db1");
    moved.credentials = "/another/file";
    worker.put_target(moved, now);
    EXPECT_EQ(worker.checked(of_the_old.ping, kAccepting, role_of_primary(), now, kWall), std::nullopt);
    EXPECT_EQ(next(closings).session, session);
    if (pings.empty()) tick();
    const Ping first = ping_with(kAccepting);
    EXPECT_EQ(first.via, Via::fresh);
    EXPECT_EQ(first.opinion, Opinion::undecided);
    EXPECT_NE(at_once(openings).session, session);
}

TEST_F(WorkerSessionTest, NewEndpointIsNoneWhereOnlyThePaceChanges) {
    worker.put_target(definition("db1"), now);
    open();
    auto slower = definition("db1");
    slower.interval = 2s;
    slower.listener_interval = 60s;
    worker.put_target(slower, now);
    tick();
    EXPECT_TRUE(closings.empty());
    EXPECT_EQ(worker.sessions(), 1U);
    EXPECT_EQ(check_with(role_of_primary()).opinion, Opinion::up);
}

TEST_F(WorkerSessionTest, NewEndpointInModePingHoldsNoSession) {
    worker.put_target(definition("db1"), now);
    const SessionId session = open();
    auto by_ping = definition("db1");
    by_ping.mode = contract::Mode::ping;
    worker.put_target(by_ping, now);
    EXPECT_EQ(next(closings).session, session);
    EXPECT_EQ(ping_with(kAccepting).via, Via::fresh);
    tick();
    EXPECT_TRUE(openings.empty());
}

}  // namespace
}  // namespace pgpulse::probe
