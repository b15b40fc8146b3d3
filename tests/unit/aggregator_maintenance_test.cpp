#include "aggregator/maintenance.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>

namespace pgpulse::aggregator {
namespace {

using namespace std::chrono_literals;
using contract::WallTime;

class AggregatorMaintenance : public testing::Test {
  protected:
    Maintenance maintenance;
    Maintenance::Mono mono{1h};
    WallTime server{1'700'000'000s};

    void pass(std::chrono::seconds time) {
        mono += time;
        server += time;
    }
    bool active() { return maintenance.active(mono, server); }
};

TEST_F(AggregatorMaintenance, IsNoneWithoutADefinitionThatNamesATime) {
    EXPECT_FALSE(active());
    EXPECT_EQ(maintenance.until(), std::nullopt);
    maintenance.define(std::nullopt);
    EXPECT_FALSE(active());
}

TEST_F(AggregatorMaintenance, BeginsWithATimeThatLiesAheadAndEndsThenOnce) {
    const WallTime until = server + 60s;
    maintenance.define(until);
    EXPECT_TRUE(active());
    pass(59s);
    EXPECT_TRUE(active());
    pass(1s);
    EXPECT_FALSE(active());
    server -= 1h;
    maintenance.define(until);
    EXPECT_FALSE(active()) << "the same definition again is no other time";
    EXPECT_EQ(maintenance.until(), until);
}

TEST_F(AggregatorMaintenance, OfATimeThatIsPastIsNone) {
    maintenance.define(server);
    EXPECT_FALSE(active());
    maintenance.define(server - 1h);
    EXPECT_FALSE(active());
}

TEST_F(AggregatorMaintenance, LastsAsLongWhateverClockIsSet) {
    for (const auto jump : {1h, -1h}) {
        const WallTime until = server + 60s;
        maintenance.define(until);
        EXPECT_TRUE(active());
        server += jump;
        pass(59s);
        EXPECT_TRUE(active());
        pass(1s);
        EXPECT_FALSE(active());
        server -= jump;
    }
}

TEST_F(AggregatorMaintenance, AnotherTimeIsReckonedAnew) {
    maintenance.define(server + 60s);
    EXPECT_TRUE(active());
    maintenance.define(server + 120s);
    pass(90s);
    EXPECT_TRUE(active()) << "it was made longer";
    maintenance.define(server + 10s);
    pass(10s);
    EXPECT_FALSE(active()) << "and shorter";
    maintenance.define(server + 10s);
    EXPECT_TRUE(active()) << "and began again";
    maintenance.define(std::nullopt);
    EXPECT_FALSE(active()) << "and was called off";
}

TEST_F(AggregatorMaintenance, IsOverWhereTheBucketSaysSo) {
    // Of an aggregator that is started while the server's clock is behind what it was.
    maintenance.define(server + 60s);
    maintenance.over(server + 60s);
    EXPECT_FALSE(active());
    maintenance.define(server + 120s);
    maintenance.over(server + 60s);
    EXPECT_TRUE(active()) << "of another time it says nothing";
    maintenance.over(std::nullopt);
    EXPECT_TRUE(active());
    maintenance.define(std::nullopt);
    maintenance.over(std::nullopt);
    maintenance.define(server + 30s);
    EXPECT_TRUE(active()) << "nor of the next one";
}

TEST_F(AggregatorMaintenance, OfATimeThatNoClockCountsToLasts) {
    for (const WallTime until :
         {WallTime::max(), WallTime{std::chrono::sys_days{std::chrono::year{9999} / 12 / 31}}}) {
        maintenance.define(until);
        EXPECT_TRUE(active());
        pass(24h * 3650);
        EXPECT_TRUE(active());
    }
}

}  // namespace
}  // namespace pgpulse::aggregator
