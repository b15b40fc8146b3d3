#include "aggregator/partitions.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

// Which aggregator tallies which partition.
namespace pgpulse::aggregator {
namespace {

using Ids = std::vector<std::string>;

Ids ids(int count) {
    Ids result;
    for (int i = 1; i <= count; ++i) result.push_back(fmt::format("aggregator-{}", i));
    return result;
}

struct Owners {
    std::string first;
    std::string second;
    bool operator==(const Owners&) const = default;
};

/// What each of them makes of it, put together.
std::vector<Owners> owners_among(const Ids& all) {
    std::vector<Owners> owners(contract::kPartitions);
    for (const std::string& id : all) {
        const Ranks ranks = ranks_of(id, all);
        for (std::size_t partition = 0; partition < contract::kPartitions; ++partition) {
            if (ranks.at(partition) == Rank::none) continue;
            Owners& of = owners[partition];
            std::string& place = ranks.at(partition) == Rank::first ? of.first : of.second;
            EXPECT_EQ(place, "") << id << " and " << place << " both take partition " << partition;
            place = id;
        }
    }
    return owners;
}

TEST(AggregatorPartitions, AreAllOfALoneOnes) {
    const Ranks ranks = ranks_of("aggregator-1", {"aggregator-1"});
    EXPECT_EQ(tallied(ranks), contract::kPartitions);
    EXPECT_TRUE(std::ranges::all_of(ranks, [](Rank rank) { return rank == Rank::first; }));
}

TEST(AggregatorPartitions, AreNoneOfOneThatDoesNotServe) {
    EXPECT_EQ(tallied(ranks_of("aggregator-3", ids(2))), 0U);
    EXPECT_EQ(tallied(ranks_of("aggregator-1", {})), 0U);
}

TEST(AggregatorPartitions, HaveAFirstAndASecondEach) {
    for (int count = 2; count <= 12; ++count) {
        for (const Owners& each : owners_among(ids(count))) {
            EXPECT_NE(each.first, "");
            EXPECT_NE(each.second, "");
            EXPECT_NE(each.first, each.second);
        }
    }
}

TEST(AggregatorPartitions, AreSharedByAllWhoServe) {
    for (int count = 1; count <= 12; ++count) {
        std::size_t sum = 0;
        for (const std::string& id : ids(count)) {
            const std::size_t share = tallied(ranks_of(id, ids(count)));
            sum += share;
            const double fair = static_cast<double>(contract::kPartitions) * std::min(2, count) / count;
            EXPECT_GE(static_cast<double>(share), fair / 2.5) << id << " of " << count;
            EXPECT_LE(static_cast<double>(share), fair * 2.5) << id << " of " << count;
        }
        EXPECT_EQ(sum, contract::kPartitions * static_cast<std::size_t>(std::min(2, count)));
    }
}

TEST(AggregatorPartitions, DoNotDependOnTheOrderInWhichMembersAreNamed) {
    Ids reversed = ids(5);
    std::ranges::reverse(reversed);
    for (const std::string& id : reversed) EXPECT_EQ(ranks_of(id, ids(5)), ranks_of(id, reversed));
}

TEST(AggregatorPartitions, WhenOneDiesOnlyItsPlacesAreTakenAndTheSecondIsFirst) {
    for (int count = 2; count <= 8; ++count) {
        const auto before = owners_among(ids(count));
        for (const std::string& dead : ids(count)) {
            Ids left = ids(count);
            std::erase(left, dead);
            const auto after = owners_among(left);
            for (std::size_t i = 0; i < before.size(); ++i) {
                const bool lost_its_first = before[i].first == dead;
                EXPECT_EQ(after[i].first, lost_its_first ? before[i].second : before[i].first);
                if (lost_its_first || before[i].second == dead) continue;
                EXPECT_EQ(after[i], before[i]) << "nothing moves that need not";
            }
        }
    }
}

}  // namespace
}  // namespace pgpulse::aggregator
