#include "tests/support/aggregator_fleet.hpp"

#include <gtest/gtest.h>

#include <chrono>

// The end of a target: its definition's delete marker, and what the aggregators make of its state.
namespace pgpulse::aggregator {
namespace {

using namespace std::chrono_literals;
using contract::Health;
using contract::Opinion;
using contract::Role;
using support::a_target;
using support::AggregatorFleet;
using support::PingSource;

class AggregatorRemoval : public testing::Test {
  protected:
    AggregatorFleet fleet{1};
    PingSource worker{"w1"};

    void SetUp() override {
        fleet.members({"w1"});
        fleet.start("aggregator-1");
        fleet.start("aggregator-2");
        fleet.define(a_target("db1"));
        fleet.publish(worker.tells("db1", Role::primary, fleet.now, contract::WallTime{100s}));
        ASSERT_TRUE(fleet.state("db1"));
    }
};

TEST_F(AggregatorRemoval, IsNotUndoneByWhoHasNotReadOfItYet) {
    // One aggregator reads of the definition's end before the other does, and the other of the state's end first.
    fleet.undefine("db1");
    EXPECT_FALSE(fleet.state("db1"));
    EXPECT_EQ(fleet.stored.size(), 1U);
    fleet.pass(5s);
    EXPECT_FALSE(fleet.state("db1"));
    EXPECT_EQ(fleet.stored.size(), 1U);
}

TEST_F(AggregatorRemoval, APingOfARemovedTargetIsOfAnUnknownOne) {
    fleet.undefine("db1");
    auto& heard = fleet.aggregators.at("aggregator-1")->heard;
    heard.clear();
    fleet.publish(worker.says("db1", Opinion::up, fleet.now));
    fleet.publish(worker.says("db1", Opinion::down, fleet.now));
    EXPECT_EQ(heard, (std::map<Heard, int>{{Heard::unknown_target, 2}}));
    fleet.pass(5s);
    EXPECT_FALSE(fleet.state("db1"));
}

TEST_F(AggregatorRemoval, WhatIsDefinedAnewBeginsFromNothing) {
    fleet.undefine("db1");
    fleet.pass(2s);
    fleet.define(a_target("db1"));
    // Another server has the name.
    fleet.publish(worker.tells("db1", Role::replica, fleet.now, contract::WallTime{500s}));
    const auto state = fleet.state("db1");
    ASSERT_TRUE(state);
    EXPECT_EQ(state->transition, 1U);
    EXPECT_EQ(state->state, Health::up);
    EXPECT_EQ(state->role, Role::replica);
    EXPECT_EQ(state->started_at, contract::WallTime{500s});
    EXPECT_EQ(state->restarts, 0U) << "a life of the former server is none of this one";
    fleet.pass(1s);
    fleet.publish(worker.tells("db1", Role::replica, fleet.now, contract::WallTime{600s}));
    EXPECT_EQ(fleet.state("db1")->restarts, 1U);
}

}  // namespace
}  // namespace pgpulse::aggregator
