#include "aggregator/server_clock.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace pgpulse::aggregator {
namespace {

using namespace std::chrono_literals;
using contract::WallTime;

class AggregatorServerClock : public testing::Test {
  protected:
    ServerClock clock;
    ServerClock::Mono mono{1h};
    WallTime server{1'700'000'000s};

    void pass(std::chrono::milliseconds time) {
        mono += time;
        server += time;
    }
    /// A message that was stored so long ago is received.
    void told(std::chrono::milliseconds ago = 0ms) { clock.told(server - ago, mono); }
};

TEST_F(AggregatorServerClock, IsNotKnownUntilSomethingWasTold) {
    EXPECT_EQ(clock.at(mono), std::nullopt);
    told();
    EXPECT_EQ(clock.at(mono), server);
}

TEST_F(AggregatorServerClock, GoesOnWithTheMonotonicTime) {
    told();
    pass(10min);
    EXPECT_EQ(clock.at(mono), server);
}

TEST_F(AggregatorServerClock, OldMessagesDoNotSetItBack) {
    told(90s);  // what a watch reads at first may be of any age
    EXPECT_EQ(clock.at(mono), server - 90s);
    told(2ms);
    EXPECT_EQ(clock.at(mono), server - 2ms);
    for (int i = 0; i < 1000; ++i) told(1h);
    EXPECT_EQ(clock.at(mono), server - 2ms) << "the newest of them is the nearest";
    pass(30s);
    told(5ms);
    EXPECT_EQ(clock.at(mono), server - 2ms);
}

TEST_F(AggregatorServerClock, AClockThatIsSetForwardShowsAtOnce) {
    told();
    server += 1h;
    pass(1s);
    told();
    EXPECT_EQ(clock.at(mono), server);
}

TEST_F(AggregatorServerClock, AClockThatIsSetBackShowsWithinTwoMinutes) {
    told();
    server -= 1h;
    for (int i = 0; i < 125; ++i) {
        pass(1s);
        told();
    }
    EXPECT_EQ(clock.at(mono), server);
}

TEST_F(AggregatorServerClock, OldMessagesAfterALongSilenceDoNotSetItBackAtOnce) {
    told();
    pass(10min);
    told(30s);
    EXPECT_EQ(clock.at(mono), server) << "what was told before is nearer";
}

}  // namespace
}  // namespace pgpulse::aggregator
