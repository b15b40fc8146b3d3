#include "consul-bridge/standing_aside.hpp"

#include <gtest/gtest.h>

// One test or more for each rule in standing_aside.hpp, named after it.
namespace pgpulse::consul_bridge {
namespace {

using namespace std::chrono_literals;

class StandingAsideTest : public testing::Test {
  protected:
    StandingAside self;
    Mono now{1h};

    /// As `time` passes nothing changes; the last answer.
    bool after(std::chrono::milliseconds time, bool away, bool another_serves) {
        bool aside = self.observe(away, another_serves, now);
        for (const Mono end = now + time; now < end;) {
            now += 100ms;
            aside = self.observe(away, another_serves, now);
        }
        return aside;
    }
};

TEST_F(StandingAsideTest, AfterPatienceWhereAnotherServes) {
    EXPECT_FALSE(after(1h, false, true));
    EXPECT_FALSE(after(StandingAside::kPatience - 100ms, true, true));
    EXPECT_TRUE(after(100ms, true, true));
    EXPECT_TRUE(after(1h, true, true));
}

TEST_F(StandingAsideTest, AfterPatienceNotBecauseOfManyShortOnes) {
    for (int i = 0; i < 20; ++i) {
        EXPECT_FALSE(after(1s, true, true));
        EXPECT_FALSE(after(100ms, false, true));
    }
}

TEST_F(StandingAsideTest, BackAtOnce) {
    ASSERT_TRUE(after(5s, true, true));
    EXPECT_FALSE(self.observe(false, true, now));
    EXPECT_FALSE(after(1s, true, true)) << "and its patience begins anew";
    EXPECT_TRUE(after(1s, true, true));
}

TEST_F(StandingAsideTest, NotTheLast) {
    EXPECT_FALSE(after(1h, true, false)) << "alone it keeps its share";
    EXPECT_TRUE(after(100ms, true, true)) << "until another one serves";
}

TEST_F(StandingAsideTest, NotTheLastAndThenForTheWholeOutage) {
    ASSERT_TRUE(after(5s, true, true));
    EXPECT_FALSE(self.observe(true, false, now)) << "the other stood aside as well";
    EXPECT_FALSE(after(1h, true, true)) << "and took its share again as this one did";
    EXPECT_FALSE(after(1s, false, true));
    EXPECT_TRUE(after(5s, true, true)) << "the next outage is one of its own";
}

}  // namespace
}  // namespace pgpulse::consul_bridge
