#include "aggregator/workers.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

namespace pgpulse::aggregator {
namespace {

using namespace std::chrono_literals;

/// As many names as are known at a time, each of whom somebody keeps a word.
void fill(Workers& workers) {
    for (std::size_t i = 0; i < Workers::kMost; ++i) {
        const auto index = workers.meet("made-up-" + std::to_string(i));
        ASSERT_TRUE(index);
        workers.at(*index).words = 1;
    }
}

TEST(AggregatorWorkers, AreKnownByTheirIds) {
    Workers workers;
    const auto first = workers.meet("w1");
    const auto second = workers.meet("w2");
    ASSERT_TRUE(first && second);
    EXPECT_NE(*first, *second);
    EXPECT_EQ(workers.meet("w1"), first);
    EXPECT_EQ(workers.at(*second).id, "w2");
    EXPECT_FALSE(workers.at(*first).serves);
}

TEST(AggregatorWorkers, MadeUpNamesAreBounded) {
    Workers workers;
    fill(workers);
    for (int i = 0; i < 3000; ++i) EXPECT_EQ(workers.meet("another-" + std::to_string(i)), std::nullopt);
    EXPECT_TRUE(workers.meet("made-up-0")) << "whoever is known goes on to be heard";
}

TEST(AggregatorWorkers, ThoseOfWhomNobodyKeepsAWordMakeRoom) {
    Workers workers;
    fill(workers);
    const auto silent = *workers.meet("made-up-7");
    workers.at(silent).words = 0;
    workers.at(silent).site = "fra1";
    workers.at(silent).run.meet("a");
    const auto added = workers.meet("w1");
    ASSERT_EQ(added, silent) << "its place is reused";
    EXPECT_EQ(workers.at(*added).id, "w1");
    EXPECT_EQ(workers.at(*added).site, "") << "and nothing of who had it before";
    EXPECT_EQ(workers.meet("made-up-7"), std::nullopt);
}

TEST(AggregatorWorkers, ARefusalDoesNotCostAWalkEachAndRoomIsFoundAllTheSame) {
    Workers workers;
    fill(workers);
    EXPECT_EQ(workers.meet("w1"), std::nullopt);
    for (Workers::Index i = 0; i < Workers::kMost; ++i) workers.at(i).words = 0;
    int refused = 0;
    while (!workers.meet("w1") && refused < 10'000) ++refused;
    EXPECT_GT(refused, 0);
    EXPECT_LE(refused, 1000);
}

TEST(AggregatorWorkers, AMemberIsAlwaysKnown) {
    Workers workers;
    fill(workers);
    workers.members({"w1", "w2"}, 0ms);
    const auto member = workers.meet("w1");
    ASSERT_TRUE(member);
    EXPECT_TRUE(workers.at(*member).serves);
    // And stays so while somebody makes names up, though nobody has heard it yet.
    for (Workers::Index i = 0; i < Workers::kMost; ++i) workers.at(i).words = 0;
    for (int i = 0; i < 10'000; ++i) workers.meet("another-" + std::to_string(i));
    EXPECT_EQ(workers.meet("w1"), member);
    EXPECT_EQ(workers.at(*member).served_until, std::nullopt);
    workers.members({"w2"}, 7ms);
    EXPECT_FALSE(workers.at(*member).serves);
    workers.members({"w2"}, 8ms);
    EXPECT_EQ(workers.at(*member).served_until, 7ms);
}

TEST(AggregatorWorkers, ObserversAreTheFirstOfTheMembersByRank) {
    Workers workers;
    EXPECT_EQ(workers.generation(), 0U);
    EXPECT_TRUE(workers.observers("db1", 3).empty());
    const std::vector<std::string> members{"w4", "w2", "w1", "w3"};
    workers.members(members, 0ms);
    EXPECT_EQ(workers.generation(), 1U);
    std::vector<std::string> observers;
    for (const auto index : workers.observers("db1", 3)) observers.push_back(workers.at(index).id);
    EXPECT_EQ(observers, (cluster::Rendezvous{members}.owners("db1", 3)));
    EXPECT_EQ(workers.observers("db1", 64).size(), 4U) << "as many as there are";
    // Of those who are left nobody changes places.
    workers.members({"w1", "w2", "w3"}, 1ms);
    std::erase(observers, "w4");
    const auto left = workers.observers("db1", 3);
    ASSERT_EQ(left.size(), 3U);
    for (std::size_t i = 0; i < observers.size(); ++i) EXPECT_EQ(workers.at(left[i]).id, observers[i]);
}

}  // namespace
}  // namespace pgpulse::aggregator
