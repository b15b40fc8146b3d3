#include "common/cluster/membership.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <algorithm>
#include <string>
#include <vector>

// The rules of common/cluster/membership.hpp under their names.
namespace pgpulse::cluster {
namespace {

using namespace std::chrono_literals;
using contract::Member;
using contract::MemberKind;
using contract::MemberPhase;
using testing::ElementsAre;
using testing::IsEmpty;
using Mono = Membership::Mono;
using Standing = Membership::Standing;
using View = Membership::View;

constexpr auto kTtl = Membership::kTtl;
constexpr auto kTick = 50ms;

const std::string kSmallRun = "0000000000000001";
const std::string kRun = "5555555555555555";
const std::string kLargeRun = "ffffffffffffffff";

Member a_member(const std::string& id, const std::string& run = kRun,
                MemberPhase phase = MemberPhase::serving, MemberKind kind = MemberKind::probe) {
    return {kind, id, run, "", phase};
}

/// The probe `own` as its shell drives it: a tick every 50 ms, a refresh every 500 ms of itself and of
/// whoever else is there, each heard at once.
class MembershipTest : public testing::Test {
  protected:
    Membership membership{a_member("own")};
    Mono now{1000s};
    bool echo = true;            // its own refreshes come back
    std::vector<Member> others;  // who refreshes besides
    std::vector<View> views;     // the view after each change
    Mono next_refresh = now;

    void tick() {
        if (membership.tick(now)) views.push_back(membership.view());
    }

    void turn() {
        if (now >= next_refresh) {
            next_refresh = now + Membership::kRefresh;
            if (echo) membership.heard(membership.own(), now);
            for (const Member& member : others) membership.heard(member, now);
        }
        tick();
    }

    void pass(std::chrono::milliseconds time) {
        for (const Mono end = now + time; now < end; now += kTick) turn();
    }

    /// Another program starts.
    void become(const Member& own) {
        membership = Membership{own};
        next_refresh = now;
    }

    void serve() {
        pass(kTtl + kTick);
        ASSERT_EQ(membership.standing(), Standing::serving);
        views.clear();
    }

    /// How long it takes until it serves or is taken.
    std::chrono::milliseconds until_standing(Standing standing) {
        const Mono from = now;
        while (membership.standing() != standing && now < from + 30s) {
            turn();
            if (membership.standing() != standing) now += kTick;
        }
        return std::chrono::duration_cast<std::chrono::milliseconds>(now - from);
    }

    [[nodiscard]] const std::vector<std::string>& probes() const { return membership.view().probes; }
};

TEST_F(MembershipTest, StartingOwnsNothingUntilItsEchoHasComeForATtl) {
    EXPECT_EQ(membership.own().phase, MemberPhase::starting);
    EXPECT_EQ(until_standing(Standing::serving), kTtl);
    EXPECT_THAT(views, ElementsAre(View{{"own"}, {}, {}}));
    EXPECT_EQ(membership.own(), a_member("own"));
    EXPECT_TRUE(membership.steady(now));
}

TEST_F(MembershipTest, StartingOwnsNothingWhileItHearsOthersAlone) {
    echo = false;
    others = {a_member("w1")};
    pass(60s);
    EXPECT_EQ(membership.standing(), Standing::starting);
    EXPECT_THAT(views, IsEmpty());
    EXPECT_EQ(membership.view(), View{});
    EXPECT_FALSE(membership.steady(now));
}

TEST_F(MembershipTest, StartingOwnsNothingAndAGapBeginsItAnew) {
    pass(900ms);
    echo = false;
    pass(2s);
    EXPECT_EQ(membership.standing(), Standing::starting);
    echo = true;
    next_refresh = now;
    EXPECT_EQ(until_standing(Standing::serving), kTtl);
}

TEST_F(MembershipTest, StartingOwnsNothingAndNobodyElseStartingIsInTheView) {
    others = {a_member("w1", kRun, MemberPhase::starting), a_member("w2")};
    serve();
    EXPECT_THAT(probes(), ElementsAre("own", "w2"));
    others[0].phase = MemberPhase::serving;
    pass(600ms);
    EXPECT_THAT(probes(), ElementsAre("own", "w1", "w2"));
    EXPECT_EQ(views.size(), 1U);
}

TEST_F(MembershipTest, ViewIsByKindAndSorted) {
    others = {a_member("z"),
              a_member("b1", kRun, MemberPhase::serving, MemberKind::bridge),
              a_member("a"),
              a_member("own", kRun, MemberPhase::serving, MemberKind::aggregator),
              a_member("a1", kRun, MemberPhase::serving, MemberKind::aggregator),
              a_member("Own")};
    serve();
    EXPECT_EQ(membership.view(), (View{{"Own", "a", "own", "z"}, {"a1", "own"}, {"b1"}}));
    EXPECT_EQ(membership.rival(now), "") << "an aggregator of this id is another member";
}

TEST_F(MembershipTest, ViewHasEachKindOfItself) {
    for (const MemberKind kind : {MemberKind::probe, MemberKind::aggregator, MemberKind::bridge}) {
        become(a_member("own", kRun, MemberPhase::serving, kind));
        others = {a_member("w1"), a_member("a1", kRun, MemberPhase::serving, MemberKind::aggregator),
                  a_member("b1", kRun, MemberPhase::serving, MemberKind::bridge)};
        serve();
        View expected{{"w1"}, {"a1"}, {"b1"}};
        auto& of_its_kind = kind == MemberKind::probe        ? expected.probes
                            : kind == MemberKind::aggregator ? expected.aggregators
                                                             : expected.bridges;
        of_its_kind.emplace_back("own");
        std::ranges::sort(of_its_kind);
        EXPECT_EQ(membership.view(), expected) << to_string(kind);
    }
}

TEST_F(MembershipTest, SilentIsDeadAfterATtl) {
    others = {a_member("w1")};
    serve();
    membership.heard(others[0], now);
    const Mono last = now;
    others.clear();
    while (probes().size() == 2 && now < last + 10s) {
        now += kTick;
        turn();
    }
    EXPECT_EQ(now - last, kTtl + kTick);
    EXPECT_THAT(probes(), ElementsAre("own"));
}

TEST_F(MembershipTest, SilentIsDeadNotBefore) {
    others = {a_member("w1")};
    serve();
    for (int time = 0; time < 20; ++time) {
        others = {a_member("w1")};
        next_refresh = now;
        turn();
        others.clear();
        pass(kTtl);
    }
    EXPECT_THAT(views, IsEmpty()) << "it is late every time, and heard every time";
}

TEST_F(MembershipTest, LeaveAtOnceAtADeleteMarker) {
    others = {a_member("w1"), a_member("w1", kRun, MemberPhase::serving, MemberKind::aggregator)};
    serve();
    others.clear();
    membership.left(MemberKind::probe, "w1");
    tick();
    EXPECT_EQ(membership.view(), (View{{"own"}, {"w1"}, {}})) << "the other kind's member stays";
    membership.left(MemberKind::probe, "w1");
    membership.left(MemberKind::bridge, "nobody");
    EXPECT_FALSE(membership.tick(now));
}

TEST_F(MembershipTest, AsideOwnsNothingAndIsThereStill) {
    others = {a_member("w1")};
    serve();
    membership.stand_aside(true);
    pass(5s);
    EXPECT_EQ(membership.own().phase, MemberPhase::aside);
    EXPECT_THAT(probes(), ElementsAre("w1"));
    EXPECT_TRUE(membership.steady(now));
    EXPECT_THAT(membership.view().bridges_aside, IsEmpty()) << "it is no bridge";
    membership.stand_aside(false);
    pass(1s);
    EXPECT_THAT(probes(), ElementsAre("own", "w1"));
}

TEST_F(MembershipTest, AsideOwnsNothingAndIsCountedAmongBridges) {
    become(a_member("own", kRun, MemberPhase::serving, MemberKind::bridge));
    others = {a_member("b1", kRun, MemberPhase::aside, MemberKind::bridge),
              a_member("z1", kRun, MemberPhase::serving, MemberKind::bridge)};
    serve();
    EXPECT_THAT(membership.view().bridges, ElementsAre("own", "z1"));
    EXPECT_THAT(membership.view().bridges_aside, ElementsAre("b1"));
    membership.stand_aside(true);
    pass(1s);
    EXPECT_THAT(membership.view().bridges, ElementsAre("z1"));
    EXPECT_THAT(membership.view().bridges_aside, ElementsAre("b1", "own"));
}

TEST_F(MembershipTest, AsideOwnsNothingAndKeepsItsId) {
    others = {a_member("w1", kRun, MemberPhase::aside)};
    serve();
    EXPECT_THAT(probes(), ElementsAre("own"));
    membership.heard(a_member("w1", kSmallRun, MemberPhase::starting), now);
    others[0].phase = MemberPhase::serving;
    pass(1s);
    EXPECT_THAT(probes(), ElementsAre("own", "w1"));
}

TEST_F(MembershipTest, LeaveAtOnceAndComeBackUnderTheSameId) {
    others = {a_member("w1", kLargeRun)};
    serve();
    membership.left(MemberKind::probe, "w1");
    others = {a_member("w1", kSmallRun, MemberPhase::starting)};
    pass(1s);
    EXPECT_THAT(probes(), ElementsAre("own"));
    others[0].phase = MemberPhase::serving;
    pass(1s);
    EXPECT_THAT(probes(), ElementsAre("own", "w1"));
    EXPECT_EQ(views.size(), 2U);
}

TEST_F(MembershipTest, AMarkerOfItsOwnKeyIsNotItsEnd) {
    // An operator can delete the key; the next refresh writes it again.
    serve();
    membership.left(MemberKind::probe, "own");
    pass(5s);
    EXPECT_THAT(views, IsEmpty());
    EXPECT_TRUE(membership.steady(now));
}

TEST_F(MembershipTest, SecondStartTakesNothingFromTheOneThatServes) {
    others = {a_member("w1", kLargeRun), a_member("w1", kSmallRun, MemberPhase::starting)};
    serve();
    EXPECT_THAT(probes(), ElementsAre("own", "w1"));
    pass(30s);
    EXPECT_THAT(views, IsEmpty()) << "nothing is handed to and fro";
}

TEST_F(MembershipTest, SecondStartCountsOnceTheOtherWasSilentForATtl) {
    // Killed, and started again at once: no delete marker.
    others = {a_member("w1", kLargeRun)};
    serve();
    membership.heard(others[0], now);
    const Mono killed = now;
    others = {a_member("w1", kSmallRun, MemberPhase::starting)};
    while (probes().size() == 2 && now < killed + 10s) {
        now += kTick;
        turn();
    }
    EXPECT_LE(now - killed, kTtl + Membership::kRefresh);
    others[0].phase = MemberPhase::serving;
    pass(600ms);
    EXPECT_THAT(probes(), ElementsAre("own", "w1"));
}

TEST_F(MembershipTest, FrozenWithoutEchoNobodyLeaves) {
    others = {a_member("w1"), a_member("w2")};
    serve();
    echo = false;
    pass(500ms);
    others.clear();
    pass(60s);
    EXPECT_THAT(views, IsEmpty());
    EXPECT_THAT(probes(), ElementsAre("own", "w1", "w2"));
    EXPECT_EQ(membership.standing(), Standing::serving);
    EXPECT_FALSE(membership.steady(now));
}

TEST_F(MembershipTest, FrozenWithoutEchoNobodyJoinsAndNoMarkerCounts) {
    others = {a_member("w1")};
    serve();
    echo = false;
    pass(1600ms);
    membership.left(MemberKind::probe, "w1");
    others = {a_member("w2")};
    pass(30s);
    EXPECT_THAT(probes(), ElementsAre("own", "w1"));
    EXPECT_THAT(views, IsEmpty());
}

TEST_F(MembershipTest, FrozenWithoutEchoUntilItHasComeForTwoTtls) {
    others = {a_member("w1")};
    serve();
    echo = false;
    others.clear();
    pass(10s);
    echo = true;
    next_refresh = now;
    const Mono back = now;
    while (views.empty() && now < back + 30s) {
        EXPECT_FALSE(membership.steady(now));
        turn();
        if (views.empty()) now += kTick;
    }
    EXPECT_EQ(now - back, 2 * kTtl);
    EXPECT_TRUE(membership.steady(now));
    EXPECT_THAT(views, ElementsAre(View{{"own"}, {}, {}})) << "what happened meanwhile counts now";
}

TEST_F(MembershipTest, FrozenWithoutEchoAndASecondGapBeginsTheWaitAnew) {
    serve();
    for (int gap = 0; gap < 5; ++gap) {
        echo = false;
        pass(1100ms);
        others = {a_member("w1")};
        pass(900ms);
        echo = true;
        next_refresh = now;
        pass(2 * kTtl - Membership::kEchoGap - 100ms);
        EXPECT_THAT(probes(), ElementsAre("own")) << "gap " << gap;
    }
    pass(2s);
    EXPECT_THAT(probes(), ElementsAre("own", "w1"));
}

TEST_F(MembershipTest, FrozenWithoutEchoAndAllBackInTimeNothingChanges) {
    others = {a_member("w1"), a_member("w2")};
    serve();
    echo = false;
    const auto away = std::move(others);
    others.clear();
    pass(20s);
    echo = true;
    next_refresh = now;
    pass(1500ms);
    others = {away[0]};
    pass(1500ms);  // reconnecting takes some longer
    others = away;
    pass(10s);
    EXPECT_THAT(views, IsEmpty());
    EXPECT_TRUE(membership.steady(now));
}

TEST_F(MembershipTest, FrozenWithoutEchoByAGapOfMoreThanKEchoGapAndByNoShorterOne) {
    others = {a_member("w1")};
    serve();
    membership.heard(membership.own(), now);
    now += Membership::kEchoGap;
    tick();
    EXPECT_TRUE(membership.steady(now));
    now += 1ms;
    tick();
    EXPECT_FALSE(membership.steady(now));
}

TEST_F(MembershipTest, FrozenWithoutEchoAlsoWhenTheGapIsSeenOnlyAfterAStopWithMessagesWaiting) {
    others = {a_member("w1"), a_member("w2")};
    serve();
    // The process was stopped, and w1 died meanwhile. What waited is heard at one instant, before any tick.
    now += 60s;
    membership.heard(membership.own(), now);
    membership.heard(a_member("w2"), now);
    membership.heard(membership.own(), now);
    tick();
    EXPECT_FALSE(membership.steady(now));
    others = {a_member("w2")};
    next_refresh = now;
    pass(2 * kTtl);
    EXPECT_THAT(views, IsEmpty());
    pass(kTick);
    EXPECT_THAT(views, ElementsAre(View{{"own", "w2"}, {}, {}}));
}

TEST_F(MembershipTest, FrozenWithoutEchoAfterAStopThoughNothingWaited) {
    others = {a_member("w1")};
    serve();
    now += 60s;
    EXPECT_FALSE(membership.tick(now)) << "that w1 was silent is this process's own doing";
    EXPECT_THAT(probes(), ElementsAre("own", "w1"));
    next_refresh = now;
    pass(10s);
    EXPECT_THAT(views, IsEmpty());
}

TEST_F(MembershipTest, TakenByTheOneThatServes) {
    others = {a_member("own", kLargeRun)};
    EXPECT_EQ(until_standing(Standing::taken), kTtl);
    EXPECT_EQ(membership.rival(now), kLargeRun);
    EXPECT_EQ(membership.view(), View{});
    EXPECT_EQ(membership.own().phase, MemberPhase::starting);
    others.clear();
    pass(60s);
    EXPECT_EQ(membership.standing(), Standing::taken) << "it is final";
}

TEST_F(MembershipTest, TakenByTheSmallerRunOfTwoThatStart) {
    others = {a_member("own", kSmallRun, MemberPhase::starting)};
    EXPECT_EQ(until_standing(Standing::taken), kTtl);
}

TEST_F(MembershipTest, TakenIsNotTheSmallerRunOfTwoThatStart) {
    others = {a_member("own", kLargeRun, MemberPhase::starting)};
    EXPECT_EQ(until_standing(Standing::serving), kTtl) << "the other gives up meanwhile";
}

TEST_F(MembershipTest, TakenIsNotTheSmallestRunThoughOthersAreStartedAnewForEver) {
    // As a supervisor does with what ended.
    for (int start = 0; start < 4; ++start) {
        others = {a_member("own", "fffffffffffffff" + std::to_string(start), MemberPhase::starting)};
        pass(1s);
    }
    EXPECT_EQ(membership.standing(), Standing::serving);
}

TEST_F(MembershipTest, TakenAlsoWhereSeveralOthersHaveTheId) {
    // Each of the three hears two others by turns.
    const auto run_among = [this](const std::string& run, const std::vector<Member>& them) {
        become(a_member("own", run));
        others = them;
        pass(kTtl + kTick);
        return membership.standing();
    };
    const Member small = a_member("own", kSmallRun, MemberPhase::starting);
    const Member middle = a_member("own", kRun, MemberPhase::starting);
    const Member large = a_member("own", kLargeRun, MemberPhase::starting);
    EXPECT_EQ(run_among(kSmallRun, {middle, large}), Standing::serving);
    EXPECT_EQ(run_among(kRun, {large, small}), Standing::taken);
    EXPECT_EQ(run_among(kLargeRun, {small, middle}), Standing::taken);
    EXPECT_EQ(run_among(kSmallRun, {middle, a_member("own", kLargeRun)}), Standing::taken)
        << "that one serves";
    EXPECT_EQ(membership.rival(now), kLargeRun) << "of the two it is the one to name";
}

TEST_F(MembershipTest, TakenIsNotByTheStaleValueOfAKilledRun) {
    // The bucket still holds it when this program starts; two runs may have been killed one after the other.
    membership.heard(a_member("own", kSmallRun), now);
    membership.heard(a_member("own", kSmallRun, MemberPhase::starting), now);
    EXPECT_EQ(until_standing(Standing::serving), kTtl + kTick) << "once it is sure that nobody refreshes it";
    EXPECT_EQ(membership.rival(now), "");
}

TEST_F(MembershipTest, TakenIsNotByAValueThatTheWatchTellsAnew) {
    membership.heard(a_member("own", kSmallRun), now);
    pass(1900ms);
    membership.heard(a_member("own", kSmallRun), now);
    EXPECT_EQ(until_standing(Standing::serving), kTtl + kTick);
}

TEST_F(MembershipTest, TakenIsNotByARunThatLeavesInTime) {
    others = {a_member("own", kSmallRun)};
    pass(1900ms);
    others.clear();
    membership.left(MemberKind::probe, "own");
    EXPECT_LE(until_standing(Standing::serving), 100ms) << "the marker says that the id is free";
}

TEST_F(MembershipTest, TakenIsNotByARunOfWhichALongSilenceParts) {
    membership.heard(a_member("own", kSmallRun), now);
    echo = false;  // so that it does not serve meanwhile
    pass(kTtl + 500ms);
    membership.heard(a_member("own", kSmallRun), now);
    membership.heard(membership.own(), now);
    tick();
    EXPECT_EQ(membership.standing(), Standing::starting) << "twice a value, and no refreshing for a TTL";
}

TEST_F(MembershipTest, IdSharedIsReportedAndChangesNothing) {
    others = {a_member("w1")};
    serve();
    for (const MemberPhase phase : {MemberPhase::starting, MemberPhase::serving}) {
        others = {a_member("w1"), a_member("own", kSmallRun, phase)};
        pass(10s);
        EXPECT_EQ(membership.rival(now), kSmallRun);
        EXPECT_EQ(membership.standing(), Standing::serving);
        EXPECT_TRUE(membership.steady(now));
    }
    others = {a_member("w1")};
    pass(kTtl + 500ms + kTick);
    EXPECT_EQ(membership.rival(now), "") << "it is over";
    EXPECT_THAT(views, IsEmpty());
}

TEST_F(MembershipTest, IdSharedIsNoEcho) {
    serve();
    others = {a_member("own", kSmallRun)};
    echo = false;
    pass(2s);
    EXPECT_FALSE(membership.steady(now)) << "that it hears the other is no proof that it is heard";
}

}  // namespace
}  // namespace pgpulse::cluster
