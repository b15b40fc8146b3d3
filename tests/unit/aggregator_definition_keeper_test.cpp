#include "aggregator/definition_keeper.hpp"
#include "common/contract/names.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

namespace pgpulse::aggregator {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::int64_t kEpoch = 1'000;
constexpr std::int64_t kNextEpoch = 2'000;

/// When the test's server stored a revision, microseconds.
std::int64_t stored_at(std::uint64_t revision) { return 1'000'000 + static_cast<std::int64_t>(revision); }

Ranks all(Rank rank) {
    Ranks ranks{};
    ranks.fill(rank);
    return ranks;
}

class DefinitionKeeperTest : public testing::Test {
  protected:
    DefinitionKeeper keeper;
    DefinitionKeeper::Mono now{std::chrono::hours{1}};

    void SetUp() override { keeper.ranks(all(Rank::first), now); }

    bool tell(const std::string& key, const std::string& value, std::uint64_t revision) {
        return keeper.value(key, value, revision, stored_at(revision), now);
    }

    /// Read once, with `db1` to `dbN`, revisions 1 to N.
    void read(std::uint64_t keys) {
        keeper.opened(kEpoch);
        for (std::uint64_t i = 1; i <= keys; ++i)
            ASSERT_TRUE(tell("db" + std::to_string(i), "value " + std::to_string(i), i));
        keeper.loaded(now);
        ASSERT_THAT(puts(), IsEmpty());
    }

    /// The bucket is read again and empty.
    void lose(std::int64_t epoch = kNextEpoch) {
        keeper.opened(epoch);
        keeper.loaded(now);
    }

    /// In the order of the keys.
    std::vector<PutDefinition> puts() {
        auto taken = keeper.take_puts(now);
        std::ranges::sort(taken, {}, &PutDefinition::key);
        return taken;
    }

    void written(const PutDefinition& put, Written outcome) {
        keeper.written(put.key, outcome, put.expected, now);
    }
};

TEST_F(DefinitionKeeperTest, LostIsPutBackVerbatim) {
    const std::string value = "{ \"name\" : \"db1\",\n\t\"not known\": [1.50, \"\\u00e9\"] }";
    keeper.opened(kEpoch);
    tell("db1", value, 7);
    keeper.loaded(now);
    lose();
    EXPECT_THAT(puts(), ElementsAre(PutDefinition{"db1", value, 0}));
}

TEST_F(DefinitionKeeperTest, NothingIsPutBackBeforeTheBucketIsRead) {
    read(2);
    keeper.opened(kNextEpoch);
    EXPECT_THAT(puts(), IsEmpty());
    tell("db2", "value 2", 1);
    EXPECT_THAT(puts(), IsEmpty());
    keeper.loaded(now);
    EXPECT_THAT(puts(), ElementsAre(PutDefinition{"db1", "value 1", 0}));
}

TEST_F(DefinitionKeeperTest, NothingIsPutBackOfABucketThatIsAsItWas) {
    read(3);
    keeper.opened(kEpoch);
    for (std::uint64_t i = 1; i <= 3; ++i) tell("db" + std::to_string(i), "value " + std::to_string(i), i);
    keeper.loaded(now);
    EXPECT_THAT(puts(), IsEmpty());
    EXPECT_THAT(keeper.take_notices(), IsEmpty());
}

TEST_F(DefinitionKeeperTest, ManyThatAreLostAreOneLineThatNamesThree) {
    read(1000);
    lose();
    const auto lines = keeper.take_notices();
    ASSERT_EQ(lines.size(), 1U);
    EXPECT_THAT(lines.front(), HasSubstr("bucket 'health_targets': 1000 definitions were lost (db"));
    EXPECT_EQ(std::ranges::count(lines.front(), ','), 3);
    EXPECT_THAT(keeper.take_notices(), IsEmpty());
}

TEST_F(DefinitionKeeperTest, SpoiledIsOverwrittenWithTheLastValidValue) {
    read(2);
    keeper.invalid_value("db1", 3, now);
    EXPECT_THAT(puts(), ElementsAre(PutDefinition{"db1", "value 1", 3}));
    EXPECT_THAT(keeper.take_notices(),
                ElementsAre(HasSubstr("1 definition was overwritten with what is no")));
}

TEST_F(DefinitionKeeperTest, SpoiledWhileNobodyLookedIsOverwrittenOnceTheBucketIsRead) {
    read(1);
    keeper.opened(kEpoch);
    keeper.invalid_value("db1", 2, now);
    EXPECT_THAT(puts(), IsEmpty());
    keeper.loaded(now);
    EXPECT_THAT(puts(), ElementsAre(PutDefinition{"db1", "value 1", 2}));
}

TEST_F(DefinitionKeeperTest, SpoiledFromTheStartIsLeftToWhoWroteIt) {
    keeper.opened(kEpoch);
    keeper.invalid_value("db1", 1, now);
    keeper.loaded(now);
    EXPECT_THAT(puts(), IsEmpty());
    lose();
    EXPECT_THAT(puts(), IsEmpty());
}

TEST_F(DefinitionKeeperTest, OlderValueIsOverwritten) {
    keeper.opened(kEpoch);
    tell("db1", "old", 1);
    tell("db1", "new", 5);
    keeper.loaded(now);
    keeper.opened(kEpoch);
    EXPECT_FALSE(tell("db1", "old", 1));
    keeper.loaded(now);
    EXPECT_THAT(puts(), ElementsAre(PutDefinition{"db1", "new", 1}));
    EXPECT_THAT(keeper.take_notices(), ElementsAre(HasSubstr("went back to an older value (db1)")));
}

TEST_F(DefinitionKeeperTest, OlderMarkerIsOverwritten) {
    keeper.opened(kEpoch);
    tell("db1", "new", 5);
    keeper.loaded(now);
    keeper.opened(kEpoch);
    EXPECT_FALSE(keeper.removed("db1", 4, stored_at(4), now));
    keeper.loaded(now);
    EXPECT_THAT(puts(), ElementsAre(PutDefinition{"db1", "new", 4}));
}

TEST_F(DefinitionKeeperTest, OlderValueThatANewerOneFollowsHarmsNothing) {
    keeper.opened(kEpoch);
    tell("db1", "new", 5);
    keeper.loaded(now);
    // A watch whose delivery was interrupted tells what is left of a key's history as well.
    keeper.opened(kEpoch);
    EXPECT_FALSE(tell("db1", "old", 1));
    EXPECT_TRUE(tell("db1", "new", 5));
    keeper.loaded(now);
    EXPECT_THAT(puts(), IsEmpty());
    EXPECT_THAT(keeper.take_notices(), IsEmpty());
}

TEST_F(DefinitionKeeperTest, EditStandsThatTookTheRevisionOfALostWrite) {
    keeper.opened(kEpoch);
    tell("db1", "old", 1);
    tell("db1", "lost", 5);
    keeper.loaded(now);
    keeper.opened(kEpoch);
    EXPECT_TRUE(keeper.value("db1", "an operator's", 2, stored_at(6), now));
    keeper.loaded(now);
    EXPECT_THAT(puts(), IsEmpty());
}

TEST_F(DefinitionKeeperTest, EditStandsInABucketThatWasCreatedAnew) {
    keeper.opened(kEpoch);
    tell("db1", "held", 500);
    keeper.loaded(now);
    keeper.opened(kNextEpoch);
    // Its server's clock is behind: revisions of two buckets say nothing of each other.
    EXPECT_TRUE(keeper.value("db1", "an operator's", 1, stored_at(1), now));
    keeper.loaded(now);
    EXPECT_THAT(puts(), IsEmpty());
    lose(kNextEpoch + 1);
    EXPECT_THAT(puts(), ElementsAre(PutDefinition{"db1", "an operator's", 0}));
}

TEST_F(DefinitionKeeperTest, EditStandsAlthoughTheServersClockSteppedBack) {
    read(1);
    EXPECT_TRUE(keeper.value("db1", "an operator's", 2, stored_at(0), now));
    EXPECT_THAT(puts(), IsEmpty());
}

TEST_F(DefinitionKeeperTest, EditStandsOfWhatWasToBePutBack) {
    read(1);
    lose();
    tell("db1", "an operator's", 1);
    EXPECT_THAT(puts(), IsEmpty());
}

TEST_F(DefinitionKeeperTest, MarkerStands) {
    read(2);
    EXPECT_TRUE(keeper.removed("db1", 3, stored_at(3), now));
    EXPECT_THAT(puts(), IsEmpty());
    lose();
    EXPECT_THAT(puts(), ElementsAre(PutDefinition{"db2", "value 2", 0}));
    EXPECT_EQ(keeper.held(), 1U);
}

TEST_F(DefinitionKeeperTest, MarkerStandsOfAKeyThatWasNeverSeen) {
    keeper.opened(kEpoch);
    EXPECT_TRUE(keeper.removed("db1", 3, stored_at(3), now));
    keeper.loaded(now);
    lose();
    EXPECT_THAT(puts(), IsEmpty());
}

TEST_F(DefinitionKeeperTest, MarkerStandsThatCameWhileAWriteWasUnderWay) {
    read(1);
    keeper.invalid_value("db1", 2, now);
    const auto put = puts().at(0);
    EXPECT_TRUE(keeper.removed("db1", 3, stored_at(3), now));
    written(put, Written::lost);
    now += std::chrono::minutes{1};
    EXPECT_THAT(puts(), IsEmpty());
}

TEST_F(DefinitionKeeperTest, OwnPartitionsAloneArePutBack) {
    Ranks ranks{};
    ranks.at(contract::partition_of("db1")) = Rank::first;
    ASSERT_NE(contract::partition_of("db1"), contract::partition_of("db2"));
    read(2);
    keeper.ranks(ranks, now);
    lose();
    EXPECT_THAT(puts(), ElementsAre(PutDefinition{"db1", "value 1", 0}));
    EXPECT_THAT(keeper.take_notices(), ElementsAre(HasSubstr("1 definition was lost (db1)")));
    // Whoever had the other partition is gone.
    keeper.ranks(all(Rank::first), now);
    EXPECT_THAT(puts(), ElementsAre(PutDefinition{"db2", "value 2", 0}));
    EXPECT_THAT(keeper.take_notices(), ElementsAre(HasSubstr("1 definition was lost (db2)")));
}

TEST_F(DefinitionKeeperTest, OwnPartitionsThatWentToOthersAreLeftToThem) {
    read(1);
    lose();
    keeper.ranks(all(Rank::none), now);
    EXPECT_THAT(puts(), IsEmpty());
}

TEST_F(DefinitionKeeperTest, OwnPartitionsOfTheSecondWaitForTheFirst) {
    read(2);
    keeper.ranks(all(Rank::second), now);
    lose();
    EXPECT_THAT(puts(), IsEmpty());
    tell("db1", "value 1", 1);
    now += milliseconds{1000};
    EXPECT_THAT(puts(), ElementsAre(PutDefinition{"db2", "value 2", 0}));
}

TEST_F(DefinitionKeeperTest, OwnPartitionsOfTheSecondWaitAsLongAsTheFirstGoesOn) {
    read(10);
    keeper.ranks(all(Rank::second), now);
    lose();
    for (std::uint64_t i = 1; i < 10; ++i) {
        now += milliseconds{900};
        tell("db" + std::to_string(i), "value " + std::to_string(i), i);
        ASSERT_THAT(puts(), IsEmpty());
    }
    now += milliseconds{1000};
    EXPECT_THAT(puts(), ElementsAre(PutDefinition{"db10", "value 10", 0}));
}

TEST_F(DefinitionKeeperTest, OwnPartitionsOfASecondThatBecomesTheFirstWaitNoLonger) {
    read(1);
    keeper.ranks(all(Rank::second), now);
    lose();
    ASSERT_THAT(puts(), IsEmpty());
    keeper.ranks(all(Rank::first), now);
    EXPECT_THAT(puts(), ElementsAre(PutDefinition{"db1", "value 1", 0}));
    EXPECT_EQ(keeper.take_notices().size(), 1U) << "said once";
}

TEST_F(DefinitionKeeperTest, WatchDecidesThatAWriteIsDone) {
    read(1);
    lose();
    const auto put = puts().at(0);
    written(put, Written::stored);
    EXPECT_EQ(keeper.put_back(), 1U);
    EXPECT_THAT(puts(), IsEmpty()) << "its word may be on the way";
    tell("db1", "value 1", 1);
    now += std::chrono::minutes{1};
    EXPECT_THAT(puts(), IsEmpty());
}

TEST_F(DefinitionKeeperTest, WatchDecidesThatAWriteIsNotDone) {
    read(1);
    lose();
    written(puts().at(0), Written::stored);
    now += milliseconds{2000};
    EXPECT_THAT(puts(), ElementsAre(PutDefinition{"db1", "value 1", 0}));
}

TEST_F(DefinitionKeeperTest, WatchDecidesBeforeTheAcknowledgementComes) {
    read(1);
    lose();
    const auto put = puts().at(0);
    tell("db1", "value 1", 1);
    written(put, Written::failed);
    now += std::chrono::minutes{1};
    EXPECT_THAT(puts(), IsEmpty());
}

TEST_F(DefinitionKeeperTest, WriteThatFailedIsRepeated) {
    read(1);
    lose();
    written(puts().at(0), Written::failed);
    EXPECT_THAT(puts(), IsEmpty());
    now += milliseconds{500};
    EXPECT_THAT(puts(), ElementsAre(PutDefinition{"db1", "value 1", 0}));
    EXPECT_EQ(keeper.put_back(), 0U);
}

TEST_F(DefinitionKeeperTest, WriteThatLostAgainstAnotherInvalidValueIsRepeatedAgainstThatOne) {
    read(1);
    keeper.invalid_value("db1", 2, now);
    const auto put = puts().at(0);
    keeper.invalid_value("db1", 3, now);
    EXPECT_THAT(puts(), IsEmpty()) << "one write in flight a key";
    written(put, Written::lost);
    EXPECT_THAT(puts(), ElementsAre(PutDefinition{"db1", "value 1", 3}));
}

TEST_F(DefinitionKeeperTest, WriteUnderWayWhileTheBucketIsLostAgainIsRepeated) {
    read(1);
    lose();
    const auto put = puts().at(0);
    keeper.opened(kNextEpoch + 1);
    written(put, Written::stored);
    keeper.loaded(now);
    EXPECT_THAT(puts(), ElementsAre(PutDefinition{"db1", "value 1", 0}));
}

TEST_F(DefinitionKeeperTest, WritesInFlightAreBounded) {
    constexpr std::size_t kKeys = 3 * DefinitionKeeper::kMostInFlight;
    read(kKeys);
    lose();
    std::size_t back = 0;
    while (back < kKeys) {
        const auto taken = puts();
        ASSERT_EQ(taken.size(), DefinitionKeeper::kMostInFlight);
        ASSERT_THAT(puts(), IsEmpty());
        for (const PutDefinition& put : taken) {
            ++back;
            tell(put.key, put.value, back);
            written(put, Written::stored);
        }
    }
    EXPECT_THAT(puts(), IsEmpty());
    EXPECT_EQ(keeper.put_back(), kKeys);
}

TEST_F(DefinitionKeeperTest, FurtherOnesAreWorthTakingOnceHalfHaveEnded) {
    read(2 * DefinitionKeeper::kMostInFlight);
    EXPECT_TRUE(keeper.has_room());
    lose();
    const auto taken = puts();
    std::size_t ended = 0;
    for (const PutDefinition& put : taken) {
        EXPECT_EQ(keeper.has_room(), 2 * ended >= DefinitionKeeper::kMostInFlight);
        written(put, Written::stored);
        ++ended;
    }
    EXPECT_TRUE(keeper.has_room());
}

TEST_F(DefinitionKeeperTest, HoldsAValueUntilAnotherOneTakesItsPlace) {
    EXPECT_FALSE(keeper.holds("db1", "value 1"));
    read(1);
    EXPECT_TRUE(keeper.holds("db1", "value 1"));
    EXPECT_FALSE(keeper.holds("db1", "value 2"));
    lose();
    EXPECT_TRUE(keeper.holds("db1", "value 1")) << "lost, and to be put back";
    EXPECT_TRUE(tell("db1", "value 2", 7));
    EXPECT_FALSE(keeper.holds("db1", "value 1"));
    EXPECT_TRUE(keeper.removed("db1", 8, stored_at(8), now));
    EXPECT_FALSE(keeper.holds("db1", "value 2"));
}

}  // namespace
}  // namespace pgpulse::aggregator
