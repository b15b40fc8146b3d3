#include "probe/session_plan.hpp"
#include "tests/support/ping_results.hpp"

#include <gtest/gtest.h>

#include <vector>

// The rules of probe/session_plan.hpp, each under its name.
namespace pgpulse::probe {
namespace {

using namespace std::chrono_literals;
using contract::Reason;
using contract::Role;
using contract::Verdict;
using Confirmed = SessionPlan::Confirmed;
using Turn = SessionPlan::Turn;

constexpr auto kListener = 5000ms;

class SessionPlanTest : public testing::Test {
  protected:
    SessionPlan plan;
    Mono now{1000s};
    std::uint32_t generation = 0;

    /// The result of a fresh ping that starts and ends now.
    Confirmed pings(const PingResult& result) {
        plan.fresh_started(now);
        return plan.result(result, now);
    }

    bool opens() {
        const bool now_opening = plan.opens(now, generation + 1);
        if (now_opening) ++generation;
        return now_opening;
    }

    void open(const SessionFacts& facts = {}) {
        pings(kAccepting);
        ASSERT_TRUE(opens());
        plan.opened(facts);
    }

    /// The session ends, and what that means is asked for.
    void end() {
        EXPECT_TRUE(plan.ended());
        plan.confirm(now);
    }

    Turn turn() { return plan.turn(now, {kListener, 0ms}); }
};

TEST_F(SessionPlanTest, OpensOnAcceptingOnceAtATime) {
    EXPECT_FALSE(plan.open());
    pings(kAccepting);
    EXPECT_TRUE(opens());
    EXPECT_TRUE(plan.opening());
    EXPECT_FALSE(plan.open());
    EXPECT_TRUE(plan.is(1));
    EXPECT_FALSE(opens()) << "one is on its way";
    plan.opened({});
    EXPECT_TRUE(plan.open());
    EXPECT_FALSE(plan.opening());
    EXPECT_FALSE(opens()) << "one is open";
    EXPECT_EQ(plan.generation(), 1U);
}

TEST_F(SessionPlanTest, OpensOnAcceptingAgainUnderAnotherNumber) {
    open();
    EXPECT_TRUE(plan.ended());
    EXPECT_FALSE(plan.ended()) << "it ends once";
    EXPECT_TRUE(opens()) << "a session that came about says nothing against the next one";
    EXPECT_TRUE(plan.is(2));
    EXPECT_FALSE(plan.is(1));
}

TEST_F(SessionPlanTest, RetrySlowerUpToALimitAndFromTheStartAfterASession) {
    std::chrono::milliseconds wait = SessionPlan::kFirstRetry;
    for (int refusals = 0; refusals < 10; ++refusals) {
        ASSERT_TRUE(opens()) << refusals;
        plan.refused(now);
        EXPECT_FALSE(opens());
        now += wait - 1ms;
        EXPECT_FALSE(opens()) << refusals;
        now += 1ms;
        wait = std::min(2 * wait, SessionPlan::kLastRetry);
    }
    EXPECT_EQ(wait, SessionPlan::kLastRetry);
    ASSERT_TRUE(opens());
    plan.opened({});
    EXPECT_TRUE(plan.ended());
    ASSERT_TRUE(opens());
    plan.refused(now);
    now += SessionPlan::kFirstRetry;
    EXPECT_TRUE(opens());
}

SessionFacts life(int number) {
    SessionFacts facts;
    facts.started_at = contract::WallTime{std::chrono::seconds{number}};
    return facts;
}

TEST_F(SessionPlanTest, NoLoginForNothingWhereEverySessionEndsUnchecked) {
    open(life(1));
    ASSERT_TRUE(plan.lost(now));
    ASSERT_TRUE(opens()) << "once is no habit";
    std::chrono::milliseconds wait = SessionPlan::kFirstRetry;
    for (int times = 0; times < 10; ++times) {
        plan.opened(life(1));
        ASSERT_TRUE(plan.lost(now));
        now += wait - 1ms;
        EXPECT_FALSE(opens()) << times;
        now += 1ms;
        ASSERT_TRUE(opens()) << times;
        wait = std::min(2 * wait, SessionPlan::kLastRetry);
    }
    plan.opened(life(1));
    plan.checked({});
    ASSERT_TRUE(plan.lost(now));
    EXPECT_TRUE(opens()) << "one that was checked was good for something";
}

TEST_F(SessionPlanTest, NoLoginForNothingIsNoneInAnotherLife) {
    open(life(1));
    for (int number = 2; number < 10; ++number) {
        ASSERT_TRUE(plan.lost(now));
        ASSERT_TRUE(opens()) << "a server that crashes again and again is seen to";
        plan.opened(life(number));
    }
}

TEST_F(SessionPlanTest, CheckBySessionAndMeasureTheLagWithEveryFifth) {
    open();
    std::vector<Turn> turns;
    for (int i = 0; i < 12; ++i) turns.push_back(turn());
    const Turn c = Turn::check;
    const Turn lag = Turn::check_with_lag;
    EXPECT_EQ(turns, (std::vector{c, lag, c, c, c, c, lag, c, c, c, c, lag}))
        << "a new session knows the lag by its second check";
}

TEST_F(SessionPlanTest, ListenerIsPingedFreshWhenNothingHasForItsInterval) {
    open();
    EXPECT_EQ(turn(), Turn::check);
    now += kListener - 1ms;
    EXPECT_NE(turn(), Turn::fresh);
    now += 1ms;
    EXPECT_EQ(turn(), Turn::fresh);
    pings(kAccepting);
    EXPECT_NE(turn(), Turn::fresh);
    now += kListener - 1ms;
    pings(kAccepting);  // by a call, say
    now += kListener - 1ms;
    EXPECT_NE(turn(), Turn::fresh) << "any fresh ping is one of the listener";
}

TEST_F(SessionPlanTest, ListenerIsPingedWhereItsOwnPeriodBegins) {
    open();
    const auto until_fresh = [&](std::chrono::milliseconds phase) {
        const Mono since = now;
        while (plan.turn(now, {kListener, phase}) != Turn::fresh) now += 1ms;
        pings(kAccepting);
        return now - since;
    };
    EXPECT_EQ(until_fresh(2s), 7s) << "2 s would be sooner than half a period";
    EXPECT_EQ(until_fresh(2s), kListener);
    EXPECT_EQ(until_fresh(1s), 4s) << "another place in line";
    EXPECT_EQ(until_fresh(1s), kListener);
}

TEST_F(SessionPlanTest, ListenerInDoubtIsPingedFreshUntilOneIsAccepted) {
    for (const PingResult& failure : {kTimeout, kRefused, kReset, kInRecovery}) {
        plan = {};
        open();
        EXPECT_NE(turn(), Turn::fresh);
        pings(failure);
        EXPECT_EQ(turn(), Turn::fresh) << to_string(failure.reason);
        EXPECT_EQ(turn(), Turn::fresh);
        pings(kStalled);
        EXPECT_EQ(turn(), Turn::fresh) << "what says nothing ends no doubt";
        pings(kAccepting);
        EXPECT_NE(turn(), Turn::fresh);
        pings(kStalled);
        EXPECT_NE(turn(), Turn::fresh) << "nor does it begin one";
    }
}

TEST_F(SessionPlanTest, CalledIsFreshOnceUnlessTheCallHasBroughtAFreshPing) {
    open();
    plan.called();
    EXPECT_EQ(turn(), Turn::fresh);
    pings(kAccepting);
    EXPECT_NE(turn(), Turn::fresh);
    plan.called();
    pings(kAccepting);
    EXPECT_NE(turn(), Turn::fresh);
}

TEST_F(SessionPlanTest, FreshWhileClosed) {
    EXPECT_EQ(turn(), Turn::fresh) << "at first";
    pings(kAccepting);
    EXPECT_EQ(turn(), Turn::fresh);
    ASSERT_TRUE(opens());
    EXPECT_EQ(turn(), Turn::fresh) << "while the login is under way";
    plan.refused(now);
    EXPECT_EQ(turn(), Turn::fresh) << "after a refusal";
    now += SessionPlan::kFirstRetry;
    open();
    end();
    EXPECT_EQ(turn(), Turn::fresh) << "after the end";
}

TEST_F(SessionPlanTest, EndIsConfirmedByTheNextFreshPing) {
    EXPECT_EQ(pings(kAccepting), Confirmed::nothing) << "nothing is to be confirmed";
    EXPECT_EQ(pings(kRefused), Confirmed::nothing);
    open();
    end();
    EXPECT_FALSE(opens()) << "whether anybody answers is not known yet";
    EXPECT_EQ(pings(kAccepting), Confirmed::goes_on);
    EXPECT_EQ(pings(kAccepting), Confirmed::nothing) << "it is confirmed once";
    EXPECT_TRUE(opens());
}

TEST_F(SessionPlanTest, EndIsConfirmedByNoPingThatStartedBefore) {
    open();
    const Mono before = now;
    now += 10ms;
    end();
    EXPECT_EQ(plan.result(kAccepting, before), Confirmed::goes_on);
    EXPECT_FALSE(opens());
    EXPECT_EQ(pings(kRefused), Confirmed::gone);
}

TEST_F(SessionPlanTest, EndIsConfirmedByNoPingThatSaysNothing) {
    open();
    end();
    EXPECT_EQ(pings(kStalled), Confirmed::goes_on);
    EXPECT_EQ(pings(kTimeout), Confirmed::goes_on);
    EXPECT_EQ(pings(kInRecovery), Confirmed::goes_on);
    EXPECT_EQ(pings(kRefused), Confirmed::gone) << "whenever it is known";
}

TEST_F(SessionPlanTest, RefusedSettlesOnceAndOnlyAfterASessionsEnd) {
    open();
    EXPECT_NE(pings(kRefused), Confirmed::gone) << "a listener that is refused beside a session that stands";
    end();
    EXPECT_EQ(pings(kRefused), Confirmed::gone);
    EXPECT_EQ(pings(kRefused), Confirmed::nothing);
}

TEST_F(SessionPlanTest, RefusedSettlesWhoeverStartedIt) {
    open();
    const Mono before = now;
    now += 10ms;
    end();
    EXPECT_EQ(plan.result(kRefused, before), Confirmed::gone) << "it was gone even then";
}

TEST_F(SessionPlanTest, RefusedAgainAtOnceWhileTheSessionStands) {
    EXPECT_EQ(pings(kRefused), Confirmed::nothing) << "there was none yet";
    pings(kAccepting);
    ASSERT_TRUE(opens());
    EXPECT_EQ(pings(kRefused), Confirmed::nothing) << "nor is it one while the login is under way";
    plan.opened({});
    for (int refusals = 0; refusals < 5; ++refusals)
        EXPECT_EQ(pings(kRefused), Confirmed::ping_again_until_settled);
    for (const PingResult& other : {kReset, kTimeout, kStalled, kAccepting})
        EXPECT_EQ(pings(other), Confirmed::nothing) << to_string(other.reason);
    EXPECT_EQ(pings(kInRecovery), Confirmed::nothing);
    EXPECT_TRUE(plan.ended()) << "by the worker, because of that";
    EXPECT_EQ(pings(kRefused), Confirmed::nothing) << "without one the fast interval holds";
}

TEST_F(SessionPlanTest, ResetOnceMore) {
    open();
    for (int crashes = 0; crashes < 2; ++crashes) {
        end();
        EXPECT_EQ(pings(kReset), Confirmed::ping_again);
        EXPECT_EQ(pings(kReset), Confirmed::goes_on) << "once";
        EXPECT_EQ(pings(kInRecovery), Confirmed::goes_on);
        EXPECT_EQ(pings(kAccepting), Confirmed::goes_on);
        ASSERT_TRUE(opens());
        plan.opened({});
    }
}

TEST_F(SessionPlanTest, ResetOnceMoreThenRefusedIsGone) {
    open();
    end();
    EXPECT_EQ(pings(kReset), Confirmed::ping_again);
    EXPECT_EQ(pings(kRefused), Confirmed::gone);
}

TEST_F(SessionPlanTest, FactsAreThoseOfTheNewestCheckAndTheLagOfTheNewestThatMeasuredIt) {
    const contract::WallTime started{1'700'000'000s};
    SessionFacts at_login;
    at_login.role = Role::replica;
    at_login.writable = false;
    at_login.started_at = started;
    at_login.crashed_at = started + 1h;
    open(at_login);
    EXPECT_EQ(plan.facts(), at_login);

    SessionFacts with_lag;
    with_lag.role = Role::replica;
    with_lag.writable = false;
    with_lag.lag_ms = 20;
    with_lag.lag_bytes = 4096;
    plan.checked(with_lag);
    SessionFacts promoted;
    promoted.role = Role::primary;
    promoted.writable = true;
    plan.checked(promoted);
    EXPECT_EQ(plan.facts().role, Role::primary);
    EXPECT_EQ(plan.facts().writable, true);
    EXPECT_EQ(plan.facts().lag_ms, 20);
    EXPECT_EQ(plan.facts().lag_bytes, 4096);
    EXPECT_EQ(plan.facts().started_at, started) << "a check does not ask for it";
    EXPECT_EQ(plan.facts().crashed_at, started + 1h);

    end();
    EXPECT_EQ(plan.facts(), SessionFacts{}) << "the next session may be another life's";
}

}  // namespace
}  // namespace pgpulse::probe
