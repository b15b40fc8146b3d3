#include "tests/support/aggregator_fleet.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <string>
#include <vector>

// Pings that are not to be believed: each kind has a rule and a counter, and none of them decides anything.
namespace pgpulse::aggregator {
namespace {

using namespace std::chrono_literals;
using contract::Health;
using contract::Opinion;
using support::a_target;
using support::AggregatorFleet;
using support::PingSource;
using Counts = std::map<Heard, int>;

class AggregatorBadInput : public testing::Test {
  protected:
    AggregatorFleet fleet{1};
    std::map<std::string, PingSource> workers;
    AggregatorFleet::Aggregator* aggregator = nullptr;
    std::size_t stored = 0;

    void SetUp() override {
        for (const char* worker : {"w1", "w2", "w3"}) workers.emplace(worker, PingSource{worker});
        fleet.members({"w1", "w2", "w3"});
        aggregator = &fleet.start("aggregator-1");
        fleet.define(a_target("db1"));
        live(8s);
        ASSERT_EQ(fleet.state("db1")->state, Health::up);
        aggregator->heard.clear();
        stored = fleet.stored.size();
    }

    contract::Ping says(const std::string& worker, Opinion opinion, const std::string& target = "db1") {
        return workers.at(worker).says(target, opinion, fleet.now);
    }

    /// For that long the observers say that it is up.
    void live(std::chrono::milliseconds time) {
        for (auto passed = 0ms; passed < time; passed += 500ms) {
            fleet.pass(500ms);
            for (const char* worker : {"w1", "w2", "w3"}) fleet.publish(says(worker, Opinion::up));
        }
    }

    void expect_nothing_written() { EXPECT_EQ(fleet.stored.size(), stored); }
};

TEST_F(AggregatorBadInput, APingOfAnUnknownTargetIsCountedAndMakesNone) {
    fleet.publish(says("w1", Opinion::down, "nobody-defined-it"));
    EXPECT_EQ(aggregator->heard, (Counts{{Heard::unknown_target, 1}}));
    fleet.pass(10s);
    EXPECT_FALSE(fleet.state("nobody-defined-it"));
}

TEST_F(AggregatorBadInput, AnUnknownWorkerHasNoVoice) {
    std::vector<PingSource> strangers;
    for (int i = 0; i < 5; ++i) strangers.emplace_back("stranger-" + std::to_string(i));
    for (int i = 0; i < 10; ++i) {
        for (PingSource& stranger : strangers) fleet.publish(stranger.says("db1", Opinion::down, fleet.now));
        live(500ms);
    }
    EXPECT_EQ(aggregator->heard.at(Heard::no_observer), 50);
    expect_nothing_written();
}

TEST_F(AggregatorBadInput, AnUnknownWorkerAloneDecidesNothing) {
    PingSource stranger{"stranger"};
    fleet.define(a_target("db2"));
    for (int i = 0; i < 30; ++i) {
        fleet.publish(stranger.says("db2", i < 15 ? Opinion::up : Opinion::down, fleet.now));
        live(500ms);
    }
    const auto state = fleet.state("db2");
    EXPECT_TRUE(!state || state->state == Health::unknown);
}

TEST_F(AggregatorBadInput, ManyMadeUpWorkersCostNoMemoryAndSilenceNobody) {
    for (int i = 0; i < 20'000; ++i)
        fleet.publish(PingSource{"made-up-" + std::to_string(i)}.says("db1", Opinion::down, fleet.now));
    EXPECT_EQ(aggregator->heard.at(Heard::no_observer), 8) << "so many others' words are kept of a target";
    EXPECT_EQ(aggregator->heard.at(Heard::too_many_workers), 20'000 - 8);
    expect_nothing_written();
    aggregator->heard.clear();
    live(500ms);
    EXPECT_EQ(aggregator->heard, (Counts{{Heard::counted, 3}}));
}

TEST_F(AggregatorBadInput, APingFromTheFutureIsCountedAndMovesNoClock) {
    for (const auto ahead : {61s, 3600s, 86'400s}) {
        for (const char* worker : {"w1", "w2", "w3"}) {
            contract::Ping ping = says(worker, Opinion::down);
            ping.mono_ms += std::chrono::milliseconds{ahead}.count();
            fleet.publish(ping);
        }
        live(500ms);
    }
    EXPECT_EQ(aggregator->heard, (Counts{{Heard::from_the_future, 9}, {Heard::counted, 9}}));
    expect_nothing_written();
}

TEST_F(AggregatorBadInput, WhatAReconnectBufferReplaysDecidesNothing) {
    // The workers were cut off from NATS for four seconds in which they could not reach the server either. What they
    // kept comes at once, and then what they find now.
    std::vector<contract::Ping> kept;
    for (int i = 0; i < 8; ++i) {
        fleet.pass(500ms);
        if (i == 6) break;  // and a second passes until they are back
        for (const char* worker : {"w1", "w2", "w3"}) kept.push_back(says(worker, Opinion::down));
    }
    fleet.pass(1s);
    for (const contract::Ping& ping : kept) fleet.publish(ping);
    EXPECT_EQ(aggregator->heard, (Counts{{Heard::late, 18}}));
    expect_nothing_written();
    live(1s);
    // The buffer is sent twice.
    aggregator->heard.clear();
    for (const contract::Ping& ping : kept) fleet.publish(ping);
    EXPECT_EQ(aggregator->heard, (Counts{{Heard::replayed, 18}}));
    expect_nothing_written();
}

TEST_F(AggregatorBadInput, APingThatIsHeardTwiceCountsOnce) {
    const contract::Ping down = says("w1", Opinion::down);
    for (int i = 0; i < 5; ++i) fleet.publish(down);
    EXPECT_EQ(aggregator->heard, (Counts{{Heard::counted, 1}, {Heard::replayed, 4}}));
    expect_nothing_written();
}

TEST_F(AggregatorBadInput, APingOfAnEndedRunIsReplayed) {
    const contract::Ping old = says("w1", Opinion::down);
    workers.insert_or_assign("w1", PingSource{"w1", 2});
    live(500ms);
    aggregator->heard.clear();
    fleet.publish(old);
    EXPECT_EQ(aggregator->heard, (Counts{{Heard::replayed, 1}}));
    expect_nothing_written();
}

TEST_F(AggregatorBadInput, APingOfATargetThatOthersTallyIsLeftToThem) {
    Ranks none{};
    aggregator->tally.ranks(none, fleet.now, aggregator->actions);
    fleet.publish(says("w1", Opinion::down));
    EXPECT_EQ(aggregator->heard, (Counts{{Heard::not_tallied, 1}}));
    expect_nothing_written();
}

}  // namespace
}  // namespace pgpulse::aggregator
