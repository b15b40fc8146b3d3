#include "tests/support/worker_session_stage.hpp"

#include <map>

// What the worker does in mode `session` while the server lives: rules of probe/worker.hpp and probe/session_plan.hpp
// as they show in its actions and its pings.
namespace pgpulse::probe {
namespace {

class WorkerSessionTest : public WorkerSessionStage {};

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

/// Names of so many probes, the worker's own among them.
std::vector<std::string> probes_of(unsigned count) {
    std::vector<std::string> probes;
    for (unsigned i = 1; i <= count; ++i) probes.push_back("w" + std::to_string(i));
    return probes;
}

TEST_F(WorkerSessionTest, ListenerIsPingedOncePerIntervalOfAllObserversTogether) {
    for (const auto& [probes, seconds] : {std::pair{1U, 5}, {2U, 10}, {9U, 15}}) {
        worker.set_probes(probes_of(probes));
        auto target = definition("db" + std::to_string(probes));
        worker.put_target(target, now);  // 3 observers
        open();
        Mono listened{};
        for (int times = 0; times < 3; ++times) {
            while (pings.empty()) {
                tick();
                while (!checks.empty())
                    worker.checked(take(checks).ping, kAccepting, role_of_primary(), now, kWall);
                if (pings.empty()) now += 5ms;
            }
            finish(take(pings).ping, kAccepting);
            // The first one falls into line.
            if (times > 0) {
                EXPECT_NEAR(std::chrono::duration<double>(now - listened).count(), seconds, 1.1)
                    << probes << " probes, on a second's grid";
            }
            listened = now;
        }
        worker.remove_target(target.name);
        pings.clear();
    }
}

TEST(WorkersOfOneTarget, TakeTurnsAtItsListener) {
    // All begin together, as after a restart of all workers; their clocks do not agree, wall clocks do.
    struct Observer {
        Worker worker;
        std::chrono::nanoseconds ahead;
    };
    std::deque<Observer> observers;
    for (int i = 1; i <= 3; ++i) {
        observers.push_back(
            {Worker{{"w" + std::to_string(i), "", "00000000000000aa"}, {1000, 250, 10'000}}, i * 1234567ms});
        observers.back().worker.set_probes(probes_of(3));
        observers.back().worker.set_wall_offset(-observers.back().ahead);
        observers.back().worker.put_target(definition("db1"), Mono{1000s} + observers.back().ahead);
    }
    std::vector<std::chrono::nanoseconds> listened;
    for (std::chrono::nanoseconds time = 1000s; time < 1200s; time += 5ms) {
        for (Observer& observer : observers) {
            const Mono now{time + observer.ahead};
            std::vector<Action> actions;
            observer.worker.tick(now, 1000, actions);
            for (const Action& action : actions) {
                if (const auto* ping = std::get_if<StartPing>(&action)) {
                    observer.worker.finished(ping->ping, kAccepting, now, kWall);
                    listened.push_back(time);
                } else if (const auto* check = std::get_if<StartCheck>(&action)) {
                    observer.worker.checked(check->ping, kAccepting, role_of_primary(), now, kWall);
                } else if (const auto* opening = std::get_if<OpenSession>(&action)) {
                    observer.worker.session_opened(opening->session, primary(), now, kWall);
                }
            }
        }
    }
    std::erase_if(listened, [](auto time) { return time < 1040s; });  // each has had a turn
    ASSERT_GT(listened.size(), 2U);
    EXPECT_NEAR(static_cast<double>(listened.size()), 160.0 / 5, 2);
    for (std::size_t i = 1; i < listened.size(); ++i)
        EXPECT_NEAR(std::chrono::duration<double>(listened[i] - listened[i - 1]).count(), 5, 1.1);
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
