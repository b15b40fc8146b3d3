#include "common/nats/bucket_continuity.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace pgpulse::nats {
namespace {

using Break = BucketContinuity::Break;
using Look = BucketContinuity::Look;

constexpr std::int64_t kCreated = 1'000;

/// When the test's server stored a revision.
std::int64_t stored_at(std::uint64_t revision) { return 1'000'000 + static_cast<std::int64_t>(revision); }

Look look_at(std::uint64_t last_revision, std::uint64_t messages, std::uint64_t keys) {
    return {kCreated, last_revision, stored_at(last_revision), messages, keys, false};
}

class BucketContinuityTest : public testing::Test {
  protected:
    BucketContinuity continuity;

    /// `pending`: what the server thinks is to come.
    std::optional<Break> tell(const std::string& key, std::uint64_t revision, std::uint64_t pending = 1) {
        return continuity.told({key, revision, stored_at(revision), pending});
    }

    /// Opened and loaded with the keys `k1` to `kN` of one message each, revisions 1 to N, and looked at once.
    void loaded(std::uint64_t keys) {
        continuity.opened(look_at(keys, keys, keys));
        for (std::uint64_t i = 1; i <= keys; ++i) ASSERT_EQ(tell("k" + std::to_string(i), i), std::nullopt);
        continuity.loaded();
        ASSERT_EQ(continuity.looked(look_at(keys, keys, keys)), std::nullopt);
    }
};

TEST_F(BucketContinuityTest, HoldsWhileNothingHappens) {
    loaded(3);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(continuity.looked(look_at(3, 3, 3)), std::nullopt);
}

TEST_F(BucketContinuityTest, HoldsWhileValuesAreWrittenAndTheOldestGo) {
    loaded(3);
    // Each key keeps one message: a new one takes the place of the old one.
    for (std::uint64_t revision = 4; revision < 40; ++revision) {
        ASSERT_EQ(tell("k" + std::to_string(revision % 3 + 1), revision), std::nullopt);
        ASSERT_EQ(continuity.looked(look_at(revision, 3, 3)), std::nullopt);
    }
}

TEST_F(BucketContinuityTest, CountsEachOfManyKeysOnceThatComeWhenItIsLoaded) {
    constexpr std::uint64_t kKeys = 5000;
    loaded(10);
    for (std::uint64_t revision = 11; revision <= 2 * kKeys; ++revision)
        ASSERT_EQ(tell("k" + std::to_string(revision % kKeys + 1), revision), std::nullopt);
    EXPECT_EQ(continuity.looked(look_at(2 * kKeys, 2 * kKeys, kKeys)), std::nullopt);
    EXPECT_EQ(continuity.looked(look_at(2 * kKeys, 2 * kKeys, kKeys)), std::nullopt);
    EXPECT_EQ(continuity.looked(look_at(2 * kKeys, 2 * kKeys - 2, kKeys - 1)), Break::keys_vanished);
}

TEST_F(BucketContinuityTest, HoldsWhileWhatIsOnItsWayIsNotToldYet) {
    loaded(3);
    EXPECT_EQ(continuity.looked(look_at(9, 9, 9)), std::nullopt);
    for (std::uint64_t i = 4; i <= 9; ++i) EXPECT_EQ(tell("k" + std::to_string(i), i), std::nullopt);
    EXPECT_EQ(continuity.looked(look_at(9, 9, 9)), std::nullopt);
}

TEST_F(BucketContinuityTest, BreaksWhereTheStreamWasCreatedAnew) {
    loaded(3);
    Look look = look_at(3, 3, 3);
    ++look.created_ns;
    EXPECT_EQ(continuity.looked(look), Break::created_anew);
}

TEST_F(BucketContinuityTest, BreaksWhereTheLastRevisionIsLower) {
    loaded(3);
    EXPECT_EQ(continuity.looked(look_at(2, 2, 2)), std::nullopt);
    EXPECT_EQ(continuity.looked(look_at(2, 2, 2)), Break::went_back);
}

TEST_F(BucketContinuityTest, HoldsWhereTheLeaderHasYetToApplyWhatAFollowerDelivered) {
    loaded(3);
    for (std::uint64_t revision = 4; revision <= 8; revision += 2) {
        ASSERT_EQ(tell("k" + std::to_string(revision), revision), std::nullopt);
        ASSERT_EQ(tell("k" + std::to_string(revision + 1), revision + 1), std::nullopt);
        EXPECT_EQ(continuity.looked(look_at(revision, revision, revision)), std::nullopt);
        EXPECT_EQ(continuity.looked(look_at(revision + 1, revision + 1, revision + 1)), std::nullopt);
    }
}

TEST_F(BucketContinuityTest, BreaksWhereALowerRevisionIsTold) {
    loaded(3);
    EXPECT_EQ(tell("k9", 2), Break::went_back);
}

TEST_F(BucketContinuityTest, BreaksWhereAnEmptyStreamGoesBack) {
    continuity.opened(look_at(7, 0, 0));
    continuity.loaded();
    EXPECT_EQ(continuity.looked(look_at(7, 0, 0)), std::nullopt);
    EXPECT_EQ(continuity.looked(look_at(6, 0, 0)), std::nullopt);
    EXPECT_EQ(continuity.looked(look_at(6, 0, 0)), Break::went_back);
}

TEST_F(BucketContinuityTest, BreaksWhereTheNewestRevisionIsAnotherMessage) {
    loaded(3);
    Look look = look_at(3, 3, 3);
    ++look.last_stored_ns;
    EXPECT_EQ(continuity.looked(look), Break::rewritten);
}

TEST_F(BucketContinuityTest, TakesNoOffenceAtAServerThatTellsOtherTimes) {
    continuity.opened(look_at(1, 1, 1));
    ASSERT_EQ(tell("k1", 1), std::nullopt);
    continuity.loaded();
    Look look = look_at(1, 1, 1);
    look.last_stored_ns = 0;
    EXPECT_EQ(continuity.looked(look), std::nullopt);
    EXPECT_EQ(continuity.looked(look), std::nullopt);
}

TEST_F(BucketContinuityTest, BreaksWhereKeysVanish) {
    loaded(3);
    EXPECT_EQ(continuity.looked(look_at(3, 2, 2)), Break::keys_vanished);
}

TEST_F(BucketContinuityTest, BreaksWhereAllKeysVanish) {
    loaded(3);
    EXPECT_EQ(continuity.looked(look_at(3, 0, 0)), Break::keys_vanished);
}

TEST_F(BucketContinuityTest, BreaksWhereKeysVanishWhileOthersCome) {
    loaded(3);
    for (std::uint64_t i = 4; i <= 8; ++i) ASSERT_EQ(tell("k" + std::to_string(i), i), std::nullopt);
    EXPECT_EQ(continuity.looked(look_at(8, 7, 7)), Break::keys_vanished);
}

TEST_F(BucketContinuityTest, TakesADeleteMarkersKeyForOneThatIsThere) {
    loaded(3);
    EXPECT_EQ(tell("k2", 4), std::nullopt);
    EXPECT_EQ(continuity.looked(look_at(4, 4, 3)), std::nullopt);
}

TEST_F(BucketContinuityTest, SaysNothingOfKeysOfWhichTheServerTellsNoNumber) {
    continuity.opened(look_at(3, 3, 0));
    for (std::uint64_t i = 1; i <= 3; ++i) ASSERT_EQ(tell("k" + std::to_string(i), i), std::nullopt);
    continuity.loaded();
    for (int i = 0; i < 3; ++i) EXPECT_EQ(continuity.looked(look_at(3, 3, 0)), std::nullopt);
}

TEST_F(BucketContinuityTest, BreaksEverMoreSeldomWhereTheServerCountsOtherwise) {
    int breaks = 0;
    const auto read_for = [&](int looks) {
        continuity.opened(look_at(3, 3, 2));
        for (std::uint64_t i = 1; i <= 3; ++i) ASSERT_EQ(tell("k" + std::to_string(i), i), std::nullopt);
        continuity.loaded();
        for (; looks > 0; --looks) {
            if (continuity.looked(look_at(3, 3, 2))) ++breaks;
        }
    };
    read_for(1);
    EXPECT_EQ(breaks, 1);
    read_for(1000);
    EXPECT_GE(breaks, 5);
    EXPECT_LE(breaks, 10);
    // Once both agree every difference counts.
    loaded(3);
    EXPECT_EQ(continuity.looked(look_at(3, 2, 2)), Break::keys_vanished);
    loaded(2);
    EXPECT_EQ(continuity.looked(look_at(2, 1, 1)), Break::keys_vanished);
}

TEST_F(BucketContinuityTest, LetsAPurgeWithItsMarkerTakeTheKeysOlderMessages) {
    loaded(1);
    for (std::uint64_t i = 2; i <= 5; ++i) ASSERT_EQ(tell("k1", i), std::nullopt);
    ASSERT_EQ(continuity.looked(look_at(5, 5, 1)), std::nullopt);
    ASSERT_EQ(tell("k1", 6), std::nullopt);
    EXPECT_EQ(continuity.looked(look_at(6, 6, 1)), std::nullopt) << "the marker is stored first";
    EXPECT_EQ(continuity.looked(look_at(6, 1, 1)), std::nullopt);
    EXPECT_EQ(continuity.looked(look_at(6, 0, 0)), Break::keys_vanished) << "the marker itself is a key";
}

TEST_F(BucketContinuityTest, LetsMessagesGoByAgeOrSize) {
    loaded(3);
    Look look = look_at(3, 0, 0);
    look.lets_messages_go = true;
    for (int i = 0; i < 5; ++i) EXPECT_EQ(continuity.looked(look), std::nullopt);
}

TEST_F(BucketContinuityTest, BreaksWhereWhatIsLeftToLoadWasDeletedMeanwhile) {
    continuity.opened(look_at(3, 3, 3));
    ASSERT_EQ(tell("k1", 1), std::nullopt);
    EXPECT_EQ(continuity.looked(look_at(3, 1, 1)), std::nullopt);
    std::optional<Break> broke;
    for (int looks = 0; looks < 3 && !broke; ++looks) broke = continuity.looked(look_at(3, 1, 1));
    EXPECT_EQ(broke, Break::never_loaded);
}

TEST_F(BucketContinuityTest, WaitsForALoadThatGoesOn) {
    continuity.opened(look_at(9, 9, 9));
    for (std::uint64_t i = 1; i <= 9; ++i) {
        ASSERT_EQ(tell("k" + std::to_string(i), i), std::nullopt);
        ASSERT_EQ(continuity.looked(look_at(9, 9, 9)), std::nullopt);
    }
}

TEST_F(BucketContinuityTest, KnowsThatAllWasToldByTheKeysAndTheLastRevision) {
    continuity.opened(look_at(3, 3, 3));
    EXPECT_FALSE(continuity.all_told());
    ASSERT_EQ(tell("k1", 1), std::nullopt);
    ASSERT_EQ(tell("k2", 2), std::nullopt);
    EXPECT_FALSE(continuity.at_the_end());
    EXPECT_FALSE(continuity.all_told());
    ASSERT_EQ(tell("k3", 3), std::nullopt);
    EXPECT_TRUE(continuity.at_the_end());
    EXPECT_TRUE(continuity.all_told());
    continuity.loaded();
    EXPECT_FALSE(continuity.at_the_end()) << "which is the end of a load alone";
}

TEST_F(BucketContinuityTest, WaitsForAKeyThatIsWrittenAnewBeforeItWasTold) {
    continuity.opened(look_at(3, 3, 3));
    ASSERT_EQ(tell("k1", 1), std::nullopt);
    ASSERT_EQ(tell("k3", 3), std::nullopt);
    ASSERT_EQ(tell("k1", 4), std::nullopt) << "k2 was written as 5 before the server had come to 2";
    EXPECT_TRUE(continuity.at_the_end());
    EXPECT_FALSE(continuity.all_told());
    EXPECT_EQ(continuity.looked(look_at(5, 3, 3)), std::nullopt);
    EXPECT_FALSE(continuity.all_told());
    ASSERT_EQ(tell("k2", 5), std::nullopt);
    EXPECT_TRUE(continuity.all_told());
}

TEST_F(BucketContinuityTest, WaitsForAKeyThatTheServerDidNotCount) {
    continuity.opened(look_at(3, 3, 3));
    ASSERT_EQ(tell("k1", 1, 1), std::nullopt);
    ASSERT_EQ(tell("k2", 2, 0), std::nullopt);
    EXPECT_TRUE(continuity.at_the_end());
    EXPECT_FALSE(continuity.all_told());
    ASSERT_EQ(tell("k3", 3, 0), std::nullopt);
    EXPECT_TRUE(continuity.all_told());
}

TEST_F(BucketContinuityTest, CountsAKeyOnceThatIsToldAgainWhileOthersAreMissing) {
    continuity.opened(look_at(3, 3, 3));
    ASSERT_EQ(tell("k3", 3), std::nullopt);
    for (std::uint64_t revision = 4; revision < 9; ++revision) {
        ASSERT_EQ(tell("k1", revision), std::nullopt);
        EXPECT_FALSE(continuity.all_told());
    }
    ASSERT_EQ(tell("k2", 9), std::nullopt);
    EXPECT_TRUE(continuity.all_told());
}

TEST_F(BucketContinuityTest, WaitsForNoKeyThatIsGone) {
    continuity.opened(look_at(3, 3, 3));
    ASSERT_EQ(tell("k1", 1), std::nullopt);
    ASSERT_EQ(tell("k2", 2, 0), std::nullopt) << "k3 was purged";
    EXPECT_FALSE(continuity.all_told());
    EXPECT_EQ(continuity.looked(look_at(3, 2, 2)), std::nullopt);
    EXPECT_TRUE(continuity.all_told());
}

TEST_F(BucketContinuityTest, LeavesItToTheServersSilenceWhereTheEndIsReachedAndKeysAreMissing) {
    continuity.opened(look_at(3, 3, 3));
    ASSERT_EQ(tell("k3", 3), std::nullopt);
    for (int looks = 0; looks < 10; ++looks) EXPECT_EQ(continuity.looked(look_at(3, 3, 3)), std::nullopt);
    EXPECT_FALSE(continuity.all_told());
}

TEST_F(BucketContinuityTest, KnowsThatAllWasToldByTheLastMessageOfAServerThatCountsNoKeys) {
    continuity.opened(look_at(2, 2, 0));
    ASSERT_EQ(tell("k1", 1), std::nullopt);
    EXPECT_FALSE(continuity.all_told());
    ASSERT_EQ(tell("k2", 2), std::nullopt);
    EXPECT_TRUE(continuity.all_told());
}

TEST_F(BucketContinuityTest, ForgetsWhatWasToldOnceItIsOpenedAgain) {
    loaded(3);
    ASSERT_EQ(continuity.looked(look_at(3, 0, 0)), Break::keys_vanished);
    continuity.opened(look_at(3, 0, 0));
    continuity.loaded();
    for (int i = 0; i < 5; ++i) EXPECT_EQ(continuity.looked(look_at(3, 0, 0)), std::nullopt);
    EXPECT_EQ(tell("k1", 4), std::nullopt);
    EXPECT_EQ(continuity.looked(look_at(4, 1, 1)), std::nullopt);
}

}  // namespace
}  // namespace pgpulse::nats
