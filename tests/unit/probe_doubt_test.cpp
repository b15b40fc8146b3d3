#include "probe/doubt.hpp"

#include <gtest/gtest.h>

#include <vector>

// One test or more for each rule in doubt.hpp, named after it.
namespace pgpulse::probe {
namespace {

using namespace std::chrono_literals;

class DoubtTest : public testing::Test {
  protected:
    Mono now{1h};

    /// All of them answered just now.
    void all_answer(Doubt& doubt, TargetIndex targets) {
        for (TargetIndex target = 0; target < targets; ++target) doubt.trusted(target, now, now);
    }

    /// A ping that started `ago` fails without an answer now.
    Doubt::Weight fails(Doubt& doubt, TargetIndex target, std::chrono::milliseconds ago = 500ms) {
        return doubt.weigh({target, now - ago, 500ms, 1s}, now);
    }

    /// Targets 0 to `failing` - 1 fail one after the other in ten milliseconds' distance, all from pings that started
    /// after the others had answered.
    void fail_together(Doubt& doubt, TargetIndex failing) {
        now += 600ms;
        for (TargetIndex target = 0; target < failing; ++target) {
            now += 11ms;
            fails(doubt, target);
        }
    }
};

TEST_F(DoubtTest, HardIsNoDoubtHoweverManyThereAre) {
    Doubt doubt{false};
    all_answer(doubt, 10);
    now += 600ms;
    all_answer(doubt, 10);  // the worker tells of hard evidence as of an answer
    EXPECT_FALSE(doubt.suspect());
}

TEST_F(DoubtTest, AloneIsTrusted) {
    Doubt doubt{false};
    all_answer(doubt, 4);
    now += 600ms;
    for (TargetIndex target = 0; target < 4; ++target) {
        const auto weight = fails(doubt, target);
        EXPECT_TRUE(weight.decides) << target;
        EXPECT_FALSE(weight.controls_wanted) << target;
    }
    EXPECT_FALSE(doubt.suspect());
}

TEST_F(DoubtTest, AloneIsTrustedAlsoBesideThoseThatFailForLong) {
    Doubt doubt{false};
    all_answer(doubt, 5);
    now += 600ms;
    fails(doubt, 0);
    for (int step = 0; step < 4; ++step) {
        now += 600ms;
        for (TargetIndex target = 1; target < 5; ++target) doubt.trusted(target, now, now);
        fails(doubt, 0);
    }
    EXPECT_TRUE(fails(doubt, 1).decides) << "one of four that are left";
}

TEST_F(DoubtTest, AloneIsTrustedNotWhileOthersAwaitTheirFirstResult) {
    Doubt doubt{false};
    for (TargetIndex target = 0; target < 5; ++target) doubt.add(target, now);
    now += 500ms;
    EXPECT_FALSE(fails(doubt, 0).decides) << "the others may fail as well";
    now += 501ms;
    EXPECT_TRUE(fails(doubt, 1).decides) << "whoever says nothing for a window is no help";
}

TEST_F(DoubtTest, WaitForSampleGoesOnWhereOneOfFiveBeganToFailBefore) {
    Doubt doubt{false};
    all_answer(doubt, 5);
    now += 600ms;
    fails(doubt, 0, 0ms);
    now += 5ms;
    // These began after the first one failed: it is in none of their samples before it is pinged again.
    for (TargetIndex target = 1; target < 5; ++target) EXPECT_FALSE(fails(doubt, target, 0ms).decides);
    now += 20ms;
    for (TargetIndex target = 1; target < 5; ++target) EXPECT_FALSE(fails(doubt, target, 0ms).decides);
    fails(doubt, 0, 0ms);
    EXPECT_TRUE(doubt.suspect());
}

TEST_F(DoubtTest, WaitForSampleTakesNoSuccessOfAPingThatStartedBefore) {
    Doubt doubt{false};
    all_answer(doubt, 10);
    now += 600ms;
    const Mono cut = now;
    now += 5ms;
    for (TargetIndex target = 5; target < 10; ++target) doubt.trusted(target, cut - 1ms, now);
    const auto weight = doubt.weigh({0, cut, 500ms, 1s}, now);
    EXPECT_FALSE(weight.decides) << "they tell of the time before the cut";
    EXPECT_TRUE(weight.controls_wanted);
}

TEST_F(DoubtTest, WaitForSampleTakesNoSuccessFromBeforeTheNewestPing) {
    Doubt doubt{true};
    all_answer(doubt, 10);
    // Three pings of one target are under way; before the third the others answer, and the cable is pulled.
    const Mono begin = now;
    now += 200ms;
    for (TargetIndex target = 1; target < 10; ++target) doubt.trusted(target, now, now);
    for (const auto start : {begin + 10ms, begin + 110ms}) {
        now = start + 1s;
        doubt.weigh({0, start, 1s, 1s}, now);
    }
    now = begin + 1210ms;
    const auto weight = doubt.weigh({0, begin + 210ms, 1s, 1s}, now);
    EXPECT_FALSE(weight.decides) << "the others answered before the cut";
    EXPECT_TRUE(weight.controls_wanted);
}

TEST_F(DoubtTest, WaitForSampleIsNotCutShortByTheSampleOfAnother) {
    Doubt doubt{false};
    all_answer(doubt, 20);
    now += 600ms;
    fails(doubt, 0, 0ms);
    for (TargetIndex control = 10; control < 20; ++control) doubt.trusted(control, now, now);
    now += 1ms;
    ASSERT_TRUE(fails(doubt, 0, 0ms).decides);
    now += 1ms;
    EXPECT_FALSE(fails(doubt, 1, 0ms).decides) << "it was well when that sample was taken";
}

TEST_F(DoubtTest, WaitForSampleAsLongAsAControlNeedsToFail) {
    Doubt doubt{false};
    all_answer(doubt, 5);
    const auto times_out = [&](TargetIndex target) { return doubt.weigh({target, now - 5s, 5s, 10s}, now); };
    now += 6s;
    EXPECT_TRUE(times_out(0).controls_wanted);
    now += 5100ms;  // the controls, and then the second and the third ping of the first one
    for (TargetIndex target = 1; target < 5; ++target) EXPECT_FALSE(times_out(target).decides);
    EXPECT_FALSE(times_out(0).decides);
    EXPECT_TRUE(doubt.suspect());
}

TEST_F(DoubtTest, WaitForSampleAsksForControlsAndDecidesNothing) {
    Doubt doubt{false};
    all_answer(doubt, 10);
    now += 600ms;
    auto weight = fails(doubt, 0);
    EXPECT_FALSE(weight.decides);
    EXPECT_TRUE(weight.controls_wanted);
    for (TargetIndex control = 1; control < 5; ++control) {
        EXPECT_TRUE(doubt.fit_for_control(control));
        doubt.trusted(control, now, now);
    }
    now += 100ms;
    weight = fails(doubt, 0);
    EXPECT_TRUE(weight.decides) << "the controls answered: it is the target";
    EXPECT_FALSE(weight.controls_wanted);
}

TEST_F(DoubtTest, WaitForSampleNoLongerThanAWindow) {
    Doubt doubt{false};
    all_answer(doubt, 10);
    now += 600ms;
    EXPECT_FALSE(fails(doubt, 0).decides);
    now += Doubt::kWindow + 1ms;
    EXPECT_TRUE(fails(doubt, 0).decides);
}

TEST_F(DoubtTest, MajorityIsDoubt) {
    Doubt doubt{false};
    all_answer(doubt, 10);
    fail_together(doubt, 5);
    EXPECT_TRUE(doubt.suspect());
    EXPECT_TRUE(doubt.takes_beginning());
    EXPECT_FALSE(doubt.takes_beginning()) << "told once";
    EXPECT_FALSE(fails(doubt, 5).decides);
}

TEST_F(DoubtTest, MajorityIsDoubtAndHalfIsNot) {
    Doubt doubt{false};
    all_answer(doubt, 10);
    now += 600ms;
    for (TargetIndex target = 5; target < 10; ++target) doubt.trusted(target, now, now);
    for (TargetIndex target = 0; target < 5; ++target) {
        now += 11ms;
        fails(doubt, target, 200ms);
    }
    EXPECT_FALSE(doubt.suspect());
}

TEST_F(DoubtTest, TwoIntervalsAndThenWhatFailsIsBelieved) {
    Doubt doubt{false};
    all_answer(doubt, 10);
    fail_together(doubt, 10);
    ASSERT_TRUE(doubt.suspect());
    const Mono end = doubt.next_due();
    EXPECT_LE(end - now, 2s);
    now = end - 1ms;
    doubt.tick(now);
    EXPECT_TRUE(doubt.suspect());
    now = end;
    doubt.tick(now);
    EXPECT_FALSE(doubt.suspect());
    for (TargetIndex target = 0; target < 10; ++target) {
        EXPECT_TRUE(fails(doubt, target).decides) << target;
        EXPECT_FALSE(doubt.suspect()) << "not doubted twice";
    }
}

TEST_F(DoubtTest, TwoIntervalsAreTheShortestOfThoseThatFail) {
    Doubt doubt{false};
    all_answer(doubt, 5);
    now += 600ms;
    for (TargetIndex target = 0; target < 5; ++target)
        doubt.weigh({target, now, 500ms, target == 3 ? 2s : 30s}, now);
    ASSERT_TRUE(doubt.suspect());
    EXPECT_EQ(doubt.next_due(), now + 4s);
}

TEST_F(DoubtTest, TwoIntervalsLongAndNotAgainBeforeASuccess) {
    Doubt doubt{false};
    all_answer(doubt, 20);
    fail_together(doubt, 10);
    now = doubt.next_due();
    doubt.tick(now);
    ASSERT_FALSE(doubt.suspect());
    ASSERT_TRUE(doubt.believed(0));
    doubt.trusted(1, now, now);
    EXPECT_FALSE(doubt.believed(1));
    // Now the others fail too, and with them the one that had recovered.
    now += 600ms;
    for (TargetIndex target = 10; target < 20; ++target) fails(doubt, target, 100ms);
    ASSERT_TRUE(doubt.suspect());
    EXPECT_TRUE(fails(doubt, 0).decides) << "believed before";
    EXPECT_FALSE(fails(doubt, 1).decides);
}

TEST_F(DoubtTest, OldFailuresAside) {
    Doubt doubt{false};
    // Six of eleven have been failing for long; one more that fails is its own affair.
    all_answer(doubt, 11);
    for (TargetIndex target = 0; target < 6; ++target) {
        now += 3s;
        for (TargetIndex healthy = target + 1; healthy < 11; ++healthy) doubt.trusted(healthy, now, now);
        fails(doubt, target, 1ms);
        now += 2s;
        for (TargetIndex healthy = target + 1; healthy < 11; ++healthy) doubt.trusted(healthy, now, now);
        for (TargetIndex failing = 0; failing <= target; ++failing) fails(doubt, failing, 1ms);
    }
    ASSERT_FALSE(doubt.suspect());
    now += 100ms;
    for (TargetIndex failing = 0; failing < 6; ++failing) fails(doubt, failing, 50ms);
    for (TargetIndex healthy = 7; healthy < 11; ++healthy) doubt.trusted(healthy, now, now);
    EXPECT_TRUE(fails(doubt, 6, 50ms).decides);
    EXPECT_FALSE(doubt.suspect());
}

TEST_F(DoubtTest, ReferencesDecideThatItIsTheTargets) {
    Doubt doubt{true};
    all_answer(doubt, 10);
    fail_together(doubt, 10);
    ASSERT_TRUE(doubt.suspect());
    ASSERT_TRUE(doubt.takes_question(now));
    EXPECT_FALSE(doubt.takes_question(now)) << "one at a time";
    doubt.answered(true, now);
    EXPECT_FALSE(doubt.suspect());
    EXPECT_TRUE(fails(doubt, 3).decides);
}

TEST_F(DoubtTest, ReferencesDecideThatItIsTheObserverForAsLongAsNoneAnswers) {
    Doubt doubt{true};
    all_answer(doubt, 10);
    fail_together(doubt, 10);
    for (int minute = 0; minute < 240; ++minute) {
        ASSERT_TRUE(doubt.suspect()) << minute;
        if (doubt.takes_question(now)) doubt.answered(false, now);
        now += 250ms;
        doubt.tick(now);
        EXPECT_FALSE(fails(doubt, 0).decides);
    }
    ASSERT_TRUE(doubt.takes_question(now));
    doubt.answered(true, now);
    EXPECT_FALSE(doubt.suspect());
}

TEST_F(DoubtTest, ReferencesDecideAlsoWhereThereIsNobodyToCompareWith) {
    Doubt doubt{true};
    all_answer(doubt, 1);
    now += 600ms;
    EXPECT_FALSE(fails(doubt, 0).decides);
    ASSERT_TRUE(doubt.takes_question(now));
    doubt.answered(true, now);
    EXPECT_TRUE(fails(doubt, 0).decides);
    now += 1s;
    doubt.trusted(0, now, now);
    now += 1s;
    EXPECT_FALSE(fails(doubt, 0).decides);
    ASSERT_TRUE(doubt.takes_question(now));
    doubt.answered(false, now);
    EXPECT_TRUE(doubt.suspect());
}

TEST_F(DoubtTest, ReferencesDecideAndAreAskedAgainAfterAWhileAlone) {
    Doubt doubt{true};
    all_answer(doubt, 10);
    fail_together(doubt, 10);
    ASSERT_TRUE(doubt.takes_question(now));
    doubt.answered(false, now + 1ms);
    EXPECT_FALSE(doubt.takes_question(now + 1ms));
    EXPECT_EQ(doubt.next_due(), now + Doubt::kAskInterval);
    EXPECT_TRUE(doubt.takes_question(now + Doubt::kAskInterval));
}

TEST_F(DoubtTest, ReferencesDecideForAsLongAsTheirAnswerCounts) {
    Doubt doubt{true};
    all_answer(doubt, 10);
    doubt.answered(true, now);
    now += 200ms;
    for (TargetIndex target = 0; target < 5; ++target) fails(doubt, target, 100ms);
    EXPECT_FALSE(doubt.suspect()) << "one has just answered";
    now += 100ms;
    for (TargetIndex target = 5; target < 10; ++target) fails(doubt, target, 50ms);
    EXPECT_TRUE(doubt.suspect());
}

TEST_F(DoubtTest, BlindUntilThenTheRowsBeginAnew) {
    Doubt doubt{true};
    all_answer(doubt, 10);
    fail_together(doubt, 10);
    ASSERT_TRUE(doubt.takes_beginning());
    ASSERT_TRUE(doubt.takes_question(now));
    doubt.answered(false, now);
    now += 250ms;
    ASSERT_TRUE(doubt.takes_question(now));
    doubt.answered(true, now);
    EXPECT_FALSE(doubt.suspect());
    EXPECT_TRUE(doubt.takes_beginning());
    EXPECT_TRUE(doubt.blind_at(now - 1ms));
    EXPECT_FALSE(doubt.blind_at(now));
    EXPECT_FALSE(doubt.believed(0));
}

TEST_F(DoubtTest, BlindUntilThenIsNobodyWhomAReferenceAnswersAtOnce) {
    Doubt doubt{true};
    all_answer(doubt, 10);
    fail_together(doubt, 10);
    ASSERT_TRUE(doubt.takes_beginning());
    ASSERT_TRUE(doubt.takes_question(now));
    doubt.answered(true, now);
    EXPECT_FALSE(doubt.takes_beginning());
    EXPECT_FALSE(doubt.blind_at(now - 1ms));
    EXPECT_TRUE(doubt.believed(0));
}

TEST_F(DoubtTest, ARemovedTargetIsInNoSample) {
    Doubt doubt{false};
    all_answer(doubt, 10);
    for (TargetIndex target = 4; target < 10; ++target) doubt.remove(target);
    now += 600ms;
    EXPECT_TRUE(fails(doubt, 0).decides) << "four are left, too few to compare with";
}

}  // namespace
}  // namespace pgpulse::probe
