#include "aggregator/mass_lines.hpp"

#include <gtest/gtest.h>

namespace pgpulse::aggregator {
namespace {

using namespace std::chrono_literals;

class MassLinesTest : public testing::Test {
  protected:
    MassLines lines;
    MassLines::Mono now{1000s};

    /// How many of so many lines are said.
    int said(int count, const char* kind) {
        int said = 0;
        for (int i = 0; i < count; ++i)
            if (lines.allow(kind, now)) ++said;
        return said;
    }
};

TEST_F(MassLinesTest, AFewAreSaidAndNoSumFollows) {
    EXPECT_EQ(said(50, "changes to down"), 50);
    now += 1h;
    EXPECT_EQ(lines.take_sum(now), std::nullopt);
    EXPECT_EQ(said(50, "changes to up"), 50);
}

TEST_F(MassLinesTest, OfManyTheFirstAreSaidAndTheOthersSummedUpByTheirKind) {
    EXPECT_EQ(said(20, "changes to up"), 20);
    EXPECT_EQ(said(100, "changes to down"), 30);
    now += 9s;
    EXPECT_EQ(said(5, "changes to up"), 0);
    EXPECT_EQ(lines.take_sum(now), std::nullopt) << "more may come";
    now += 1s;
    EXPECT_EQ(lines.take_sum(now),
              "75 further lines in 10 s are left out: 70 changes to down, 5 changes to up");
    EXPECT_EQ(lines.take_sum(now), std::nullopt);
}

TEST_F(MassLinesTest, AfterTheSumAFewAreSaidAgain) {
    EXPECT_EQ(said(60, "changes to down"), 50);
    now += 10s;
    EXPECT_TRUE(lines.take_sum(now));
    EXPECT_EQ(said(60, "changes to up"), 50);
    now += 10s;
    EXPECT_EQ(lines.take_sum(now), "10 further lines in 10 s are left out: 10 changes to up");
}

TEST_F(MassLinesTest, NoneIsForgottenWhoseSumWasNotTakenInTime) {
    EXPECT_EQ(said(60, "changes to down"), 50);
    now += 11s;
    EXPECT_EQ(said(1, "changes to down"), 0);
    EXPECT_EQ(lines.take_sum(now), "11 further lines in 10 s are left out: 11 changes to down");
}

TEST_F(MassLinesTest, AWindowBeginsWithItsFirstLine) {
    EXPECT_EQ(said(40, "changes to down"), 40);
    now += 10s;
    EXPECT_EQ(said(40, "changes to down"), 40);
    now += 1s;
    EXPECT_EQ(said(40, "changes to down"), 10);
}

}  // namespace
}  // namespace pgpulse::aggregator
