#include "aggregator/history_pace.hpp"

#include <gtest/gtest.h>

namespace pgpulse::aggregator {
namespace {

using namespace std::chrono_literals;

class HistoryPaceTest : public testing::Test {
  protected:
    HistoryPace pace;
    HistoryPace::Mono now{1h};

    void copy(std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) pace.copied(now += 1ms);
    }
    bool rests(std::size_t writing = 0) { return pace.rests(now, writing); }
};

TEST_F(HistoryPaceTest, AFewAreCopiedAsTheyCome) {
    copy(HistoryPace::kAtOnce - 1);
    EXPECT_FALSE(rests());
}

TEST_F(HistoryPaceTest, AMassIsCopiedAfterARestAndThenToItsEnd) {
    copy(HistoryPace::kAtOnce);
    EXPECT_TRUE(rests());
    now += HistoryPace::kRest - 1ms;
    EXPECT_TRUE(rests());
    now += 1ms;
    EXPECT_FALSE(rests());
    copy(10 * HistoryPace::kAtOnce);
    EXPECT_FALSE(rests());
}

TEST_F(HistoryPaceTest, TheNextMassIsOneOfItsOwn) {
    copy(HistoryPace::kAtOnce);
    now += HistoryPace::kRest;
    copy(HistoryPace::kAtOnce);
    pace.caught_up();
    copy(HistoryPace::kAtOnce - 1);
    EXPECT_FALSE(rests());
    copy(1);
    EXPECT_TRUE(rests());
}

TEST_F(HistoryPaceTest, OneNowAndThenIsNoMass) {
    for (std::size_t i = 0; i < 3 * HistoryPace::kAtOnce; ++i) {
        copy(1);
        pace.caught_up();
        EXPECT_FALSE(rests());
    }
}

TEST_F(HistoryPaceTest, ManyStatesThatAreWrittenComeFirst) {
    EXPECT_FALSE(rests(HistoryPace::kMany - 1));
    EXPECT_TRUE(rests(HistoryPace::kMany));
    now += HistoryPace::kLongest - 1ms;
    EXPECT_TRUE(rests(HistoryPace::kMany));
    EXPECT_FALSE(rests(0));
}

TEST_F(HistoryPaceTest, ManyStatesThatAreWrittenComeFirstButNotForEver) {
    EXPECT_TRUE(rests(HistoryPace::kMany));
    now += HistoryPace::kLongest;
    EXPECT_FALSE(rests(HistoryPace::kMany));
    EXPECT_FALSE(rests(0));
    EXPECT_TRUE(rests(HistoryPace::kMany)) << "the next mass";
}

}  // namespace
}  // namespace pgpulse::aggregator
