#include "tests/support/aggregator_fleet.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

// Twenty thousand targets that change together, and writes that are answered in any order.
namespace pgpulse::aggregator {
namespace {

using namespace std::chrono_literals;
using contract::Health;
using contract::Opinion;
using support::a_target;
using support::PingSource;

constexpr std::size_t kOutageTargets = 20'000;
constexpr std::size_t kMostWritesInFlight = 2048;
constexpr std::size_t kMostWritesInFlightAsSecond = 64;

class AggregatorMassOutage : public testing::Test {
  protected:
    struct UnderWay {
        std::string target;
        contract::State state;
        std::uint64_t expected;
    };

    Tally tally{"aggregator-1"};
    Tally::Actions actions;
    Now now{std::chrono::steady_clock::time_point{1h}, contract::WallTime{1'700'000'000s}};
    PingSource worker{"w1"};
    std::mt19937 random{1};
    std::vector<std::string> names;
    std::vector<UnderWay> under_way;
    std::map<std::string, std::pair<contract::State, std::uint64_t>> bucket;
    std::uint64_t revision = 0;
    std::size_t most_under_way = 0;

    AggregatorMassOutage() {
        tally.members({"w1"}, now, actions);
        rank(Rank::first);
        for (std::size_t i = 0; i < kOutageTargets; ++i) {
            names.push_back(fmt::format("db{}", i));
            tally.definition(a_target(names.back()), now, actions);
        }
        tally.definitions_loaded(now, actions);
        tally.states_opened();
        tally.states_loaded(now, actions);
    }

    void rank(Rank rank) {
        Ranks ranks{};
        ranks.fill(rank);
        tally.ranks(ranks, now, actions);
    }

    void all_say(Opinion opinion) {
        std::ranges::shuffle(names, random);
        for (const std::string& name : names) {
            EXPECT_EQ(tally.ping(worker.says(name, opinion, now), now, actions), Heard::counted);
            send();
        }
    }

    void send() {
        for (const Action& action : std::exchange(actions, {})) {
            if (const auto* const put = std::get_if<PutState>(&action))
                under_way.push_back({put->state.target, put->state, put->expected});
        }
        most_under_way = std::max(most_under_way, under_way.size());
        ASSERT_LE(under_way.size(), kMostWritesInFlight);
    }

    /// Any one of those under way is answered; one in `fails` is not, in time.
    void answer_one(unsigned fails) {
        std::swap(under_way[random() % under_way.size()], under_way.back());
        const UnderWay write = std::move(under_way.back());
        under_way.pop_back();
        if (random() % fails == 0) {
            tally.written(write.target, Written::failed, write.expected, 0, now, actions);
        } else {
            auto& [state, stored] = bucket[write.target];
            ASSERT_EQ(stored, write.expected);
            state = write.state;
            stored = ++revision;
            tally.written(write.target, Written::stored, write.expected, stored, now, actions);
        }
        send();
    }

    void answer_all(unsigned fails) {
        for (int rounds = 0; rounds < 200; ++rounds) {
            while (!under_way.empty()) ASSERT_NO_FATAL_FAILURE(answer_one(fails));
            if (tally.census().writing == 0 && rounds > 50) return;
            now.mono += 50ms;
            now.wall += 50ms;
            tally.echo(now);
            tally.stored_echo(now);
            tally.tick(now, actions);
            send();
        }
    }
};

TEST_F(AggregatorMassOutage, EverythingIsWrittenOnceWithinABoundOfWritesInFlight) {
    all_say(Opinion::up);
    answer_all(1000);
    ASSERT_EQ(bucket.size(), kOutageTargets);
    for (const auto& [name, stored] : bucket) EXPECT_EQ(stored.first.transition, 1U);
    all_say(Opinion::down);
    EXPECT_EQ(most_under_way, kMostWritesInFlight) << "the bound is reached";
    EXPECT_EQ(tally.census().writing, kOutageTargets) << "the others wait for their turn";
    answer_all(1000);
    EXPECT_EQ(tally.census().by_state.at(Health::down), kOutageTargets);
    EXPECT_EQ(tally.census().writing, 0U);
    for (const auto& [name, stored] : bucket) {
        EXPECT_EQ(stored.first.state, Health::down) << name;
        EXPECT_EQ(stored.first.transition, 2U) << name;
    }
    EXPECT_EQ(tally.counts().transitions, 2 * kOutageTargets);
    EXPECT_GT(tally.counts().writes_failed, 0U);
    EXPECT_EQ(tally.counts().writes_retried, tally.counts().writes_failed);
}

TEST_F(AggregatorMassOutage, WhatChangesBackWhileItWaitsIsWrittenAsItIsThen) {
    all_say(Opinion::up);
    answer_all(1'000'000);
    all_say(Opinion::down);
    // Most of them come back before it is their turn.
    all_say(Opinion::up);
    answer_all(1'000'000);
    std::size_t told = 0;
    for (const auto& [name, stored] : bucket) {
        EXPECT_EQ(stored.first.state, Health::up) << name;
        EXPECT_TRUE(stored.first.transition == 1 || stored.first.transition == 3) << name;
        if (stored.first.transition == 3) ++told;
    }
    EXPECT_EQ(told, kMostWritesInFlight) << "of those alone whose outage was on its way";
}

TEST_F(AggregatorMassOutage, WhoRanksSecondWritesAFewAndFindsTheOthersWritten) {
    rank(Rank::second);
    all_say(Opinion::up);
    EXPECT_EQ(most_under_way, kMostWritesInFlightAsSecond);
    std::set<std::string> own;
    for (const UnderWay& write : under_way) own.insert(write.target);
    // The first one writes the others meanwhile.
    for (const std::string& name : names) {
        if (own.contains(name)) continue;
        contract::State state = under_way.front().state;
        state.target = name;
        state.decided_by = "aggregator-2";
        bucket[name] = {state, ++revision};
        tally.state(name, state, revision, true, now, actions);
    }
    answer_all(1'000'000);
    EXPECT_EQ(tally.counts().transitions, kMostWritesInFlightAsSecond);
    EXPECT_EQ(bucket.size(), kOutageTargets);
}

TEST_F(AggregatorMassOutage, WhoRanksSecondWritesAllWhereNobodyElseDoes) {
    rank(Rank::second);
    all_say(Opinion::up);
    answer_all(1000);
    EXPECT_EQ(most_under_way, kMostWritesInFlightAsSecond);
    EXPECT_EQ(bucket.size(), kOutageTargets);
    EXPECT_EQ(tally.census().by_state.at(Health::up), kOutageTargets);
}

}  // namespace
}  // namespace pgpulse::aggregator
