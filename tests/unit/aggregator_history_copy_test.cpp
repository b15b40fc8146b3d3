#include "aggregator/history_copy.hpp"
#include "tests/support/bucket_author.hpp"
#include "tests/support/contract_documents.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace pgpulse::aggregator {
namespace {

using contract::HeaderValue;
using contract::Health;
using contract::mark_of;
using contract::WallTime;
using std::chrono::microseconds;
using testing::Contains;
using testing::Key;
using testing::Not;

constexpr WallTime kFirstStored{microseconds{1'700'000'000'000'001}};
constexpr WallTime kLater{microseconds{1'700'000'500'000'000}};
constexpr std::uint64_t kManyRevisions = 1000;

/// When the server stored the revision.
WallTime time_stored(std::uint64_t revision) { return kFirstStored + microseconds{revision * 1000}; }

/// A transition as an aggregator stores it. `life` tells apart those which begin at 1 again.
BucketRevision state(std::uint64_t revision, std::uint64_t transition, int life = 0,
                     const std::string& target = "db1") {
    contract::State state = support::a_state(target, Health::up, transition);
    state.decided_at += std::chrono::hours{life};
    return {target, revision, time_stored(revision), "", true, encode(state)};
}

BucketRevision marker(std::uint64_t revision, const std::string& target = "db1") {
    return {target, revision, time_stored(revision), "DEL", true, ""};
}

/// What stands in the history after the message.
struct Entry {
    std::string target;
    std::uint64_t sequence = 0;
    HistoryMark mark;
};

class HistoryCopyTest : public testing::Test {
  protected:
    HistoryCopy copy;
    std::vector<Entry> history;

    /// As a copier that starts: reads the history, opens the bucket.
    std::uint64_t open(WallTime epoch = kFirstStored, std::uint64_t last_revision = kManyRevisions) {
        copy.history_opened(last_sequence(), false);
        for (const Entry& entry : history) copy.history_entry(entry.target, entry.sequence, entry.mark);
        return copy.bucket_opened(epoch, last_revision);
    }

    [[nodiscard]] std::uint64_t last_sequence() const {
        return history.empty() ? 0 : history.back().sequence;
    }

    /// Tells a revision, and acknowledges what comes of it. Whether it was copied.
    bool copies(BucketRevision revision) {
        const auto message = copy.revision(std::move(revision));
        if (!message) return false;
        EXPECT_EQ(message->expected_last, last_sequence());
        history.push_back({message->target, message->expected_last + 1, message->mark});
        copy.stored(message->expected_last, message->expected_last + 1);
        EXPECT_FALSE(copy.broken());
        return true;
    }
};

using HistoryCopyRule = HistoryCopyTest;

TEST_F(HistoryCopyRule, ResumesAfterTheLast) {
    EXPECT_EQ(open(), 1U) << "of an empty history";
    EXPECT_TRUE(copies(state(7, 1)));
    EXPECT_TRUE(copies(state(9, 2)));
    EXPECT_EQ(open(), 9U) << "it is looked at once more";
    EXPECT_FALSE(copies(state(9, 2)));
    EXPECT_TRUE(copies(state(10, 3)));
    EXPECT_EQ(open(kLater), 1U) << "of another bucket";
}

TEST_F(HistoryCopyRule, ResumesAfterTheLastThatTheBucketHasNoMore) {
    open();
    EXPECT_TRUE(copies(state(7, 1)));
    EXPECT_EQ(open(), 7U);
    EXPECT_TRUE(copies(state(90, 80)));
    EXPECT_FALSE(copy.broken());
}

TEST_F(HistoryCopyRule, TransitionOnce) {
    open();
    EXPECT_TRUE(copies(state(1, 1)));
    EXPECT_TRUE(copies(state(2, 2)));
    EXPECT_FALSE(copies(state(3, 2))) << "put back";
    EXPECT_FALSE(copies(state(4, 1))) << "an older one put back";
    EXPECT_TRUE(copies(state(5, 3)));
    open(kLater);
    EXPECT_FALSE(copies(state(1, 3))) << "put back in a new bucket";
    EXPECT_TRUE(copies(state(2, 4)));
    EXPECT_TRUE(copies(state(3, 1, 1))) << "of aggregators that lost every state";
    EXPECT_TRUE(copies(state(4, 2, 1)));
    EXPECT_TRUE(copies(state(5, 1, 0, "db2"))) << "another target";
}

TEST_F(HistoryCopyRule, TransitionOnceAfterARemoval) {
    open();
    EXPECT_TRUE(copies(state(1, 1)));
    EXPECT_TRUE(copies(state(2, 2)));
    EXPECT_TRUE(copies(marker(3)));
    EXPECT_FALSE(copies(state(4, 2))) << "put back by one who had not heard of the removal";
    EXPECT_EQ(open(), 3U);
    EXPECT_FALSE(copies(marker(3)));
    EXPECT_FALSE(copies(state(4, 2)));
    // The new one's clock may be behind.
    EXPECT_TRUE(copies(state(5, 1, -1)));
    EXPECT_TRUE(copies(state(6, 2, -1)));
}

TEST_F(HistoryCopyRule, RemovalOnce) {
    open();
    EXPECT_TRUE(copies(marker(1, "db2"))) << "of a target of which nothing is told any more";
    EXPECT_TRUE(copies(state(2, 5)));
    EXPECT_TRUE(copies(marker(3)));
    EXPECT_FALSE(copies(marker(4)));
    open();
    EXPECT_FALSE(copies(marker(3)));
    EXPECT_FALSE(copies(marker(4)));
    EXPECT_EQ(history.back().mark.transition, 5U);
    EXPECT_TRUE(history.back().mark.removal);
}

TEST_F(HistoryCopyRule, OthersValuesStay) {
    open();
    BucketRevision by_hand = state(1, 1);
    by_hand.compare_and_set = false;
    EXPECT_FALSE(copies(by_hand));
    BucketRevision spoiled = state(2, 1);
    spoiled.value = "spoiled";
    EXPECT_FALSE(copies(spoiled));
    EXPECT_FALSE(copies(state(3, 1, 0, "db.1"))) << "no target";
    BucketRevision of_another = state(4, 1);
    of_another.target = "db2";
    EXPECT_FALSE(copies(of_another));
    EXPECT_TRUE(copies(state(5, 1)));
    EXPECT_EQ(copy.read(), 5U);
}

TEST_F(HistoryCopyRule, PlaceIsKept) {
    open();
    const auto first = copy.revision(state(1, 1));
    const auto second = copy.revision(state(2, 2));
    const auto third = copy.revision(state(3, 3));
    ASSERT_TRUE(first && second && third);
    EXPECT_EQ(second->expected_last, 1U);
    EXPECT_EQ(third->expected_last, 2U);
    EXPECT_EQ(copy.in_flight(), 3U);
    copy.stored(0, 1);
    EXPECT_FALSE(copy.broken());
    copy.stored(1, 7);
    EXPECT_TRUE(copy.broken());
    copy.failed();
    EXPECT_EQ(copy.in_flight(), 0U);
    copy.history_opened(1, false);
    EXPECT_FALSE(copy.broken());
}

TEST_F(HistoryCopyRule, PlaceIsKeptAfterARefusal) {
    open();
    ASSERT_TRUE(copy.revision(state(1, 1)));
    copy.failed();
    EXPECT_TRUE(copy.broken());
    EXPECT_EQ(open(), 1U);
    EXPECT_TRUE(copies(state(1, 1)));
}

TEST_F(HistoryCopyRule, RewoundBucketIsShorter) {
    open();
    for (std::uint64_t i = 1; i <= 5; ++i) EXPECT_TRUE(copies(state(i, i)));
    EXPECT_EQ(open(kFirstStored, 4), 1U);
    EXPECT_FALSE(copies(state(1, 1)));
    EXPECT_FALSE(copies(state(4, 5))) << "put back";
    EXPECT_TRUE(copies(state(5, 6)));
    EXPECT_EQ(open(kFirstStored, 5), 5U);
}

TEST_F(HistoryCopyRule, RewoundBucketIsKnownByWhenARevisionWasStored) {
    open();
    EXPECT_TRUE(copies(state(1, 1)));
    EXPECT_TRUE(copies(marker(2)));
    EXPECT_TRUE(copies(state(3, 1, 1)));
    EXPECT_TRUE(copies(state(4, 2, 1)));
    EXPECT_TRUE(copies(state(5, 3, 1)));
    EXPECT_EQ(open(), 5U);
    BucketRevision another = state(5, 4, 1);
    another.stored_at += std::chrono::seconds{9};
    EXPECT_FALSE(copies(another));
    EXPECT_TRUE(copy.broken());
    EXPECT_EQ(open(kFirstStored, 5), 1U);
    EXPECT_FALSE(copies(state(1, 1))) << "of before the removal";
    EXPECT_FALSE(copies(marker(2)));
    EXPECT_FALSE(copies(state(3, 1, 1)));
    EXPECT_FALSE(copies(state(4, 3, 1))) << "put back";
    EXPECT_TRUE(copies(another));
    EXPECT_EQ(open(kFirstStored, 5), 5U);
    EXPECT_FALSE(copies(another));
    EXPECT_TRUE(copies(state(6, 5, 1)));
}

TEST_F(HistoryCopyTest, SomebodysMessageInTheHistoryTakesAPlaceAndTellsNothing) {
    open();
    EXPECT_TRUE(copies(state(7, 1)));
    copy.history_opened(2, false);
    copy.history_entry("db1", 1, history.back().mark);
    copy.history_entry("db2", 2, std::nullopt);
    EXPECT_EQ(copy.bucket_opened(kFirstStored, kManyRevisions), 7U);
    const auto next = copy.revision(state(8, 2));
    ASSERT_TRUE(next);
    EXPECT_EQ(next->expected_last, 2U);
}

TEST_F(HistoryCopyTest, KeepsABoundedNumberInFlight) {
    open();
    std::uint64_t next = 1;
    for (; !copy.full(); ++next) ASSERT_TRUE(copy.revision(state(next, next)));
    EXPECT_EQ(next, HistoryCopy::kMostInFlight + 1);
    copy.stored(0, 1);
    EXPECT_FALSE(copy.full());
}

TEST_F(HistoryCopyTest, HeadersTellTheMark) {
    open();
    const auto message = copy.revision(state(7, 3));
    ASSERT_TRUE(message);
    std::map<std::string, std::string> headers;
    for (const auto& [name, value] : headers_of(*message)) headers[name] = value;
    EXPECT_EQ(headers.at("Nats-Msg-Id"), contract::to_rfc3339(kFirstStored) + "/7");
    EXPECT_EQ(headers.at("Nats-Expected-Last-Sequence"), "0");
    EXPECT_EQ(headers.at("Pgpulse-Revision"), "7");
    EXPECT_EQ(headers.at("Pgpulse-Transition"), "3");
    EXPECT_THAT(headers, Not(Contains(Key("KV-Operation"))));
    const HeaderValue value = [&](const char* name) -> std::string_view {
        const auto found = headers.find(name);
        return found == headers.end() ? std::string_view{} : std::string_view{found->second};
    };
    EXPECT_EQ(mark_of(value), message->mark);
    for (const char* name : {"Pgpulse-Epoch", "Pgpulse-Revision", "Pgpulse-Stored-At", "Pgpulse-Transition",
                             "Pgpulse-Decided-At"}) {
        const std::string kept = std::exchange(headers[name], "x");
        EXPECT_EQ(mark_of(value), std::nullopt) << name;
        headers[name] = kept;
    }
    headers["KV-Operation"] = "PURGE";
    EXPECT_TRUE(mark_of(value)->removal);
}

TEST_F(HistoryCopyTest, HeadersAreThoseOfTheDocument) {
    open();
    std::set<std::string> names;
    ASSERT_TRUE(copy.revision(state(1, 1)));
    const auto removal = copy.revision(marker(2));
    ASSERT_TRUE(removal);
    for (const auto& [name, value] : headers_of(*removal)) names.insert(name);
    std::set<std::string> documented;
    for (const auto& row : support::documented_table("History"))
        documented.insert(support::without_backquotes(row.front()));
    EXPECT_EQ(names, documented);
}

TEST_F(HistoryCopyTest, MessageNamesTheOneBeforeItWhileThatIsNotAcknowledged) {
    open();
    const auto first = copy.revision(state(1, 1));
    const auto second = copy.revision(state(2, 2));
    ASSERT_TRUE(first && second);
    EXPECT_EQ(first->expected_last_id, "");
    EXPECT_EQ(second->expected_last_id, headers_of(*first).front().second);
    copy.stored(0, 1);
    copy.stored(1, 2);
    EXPECT_EQ(copy.revision(state(3, 3))->expected_last_id, "");
    copy.history_opened(0, true);
    copy.bucket_opened(kFirstStored, kManyRevisions);
    ASSERT_TRUE(copy.revision(state(1, 1)));
    EXPECT_EQ(copy.revision(state(2, 2))->expected_last_id, "") << "of a replicated stream";
}

TEST(HistoryCopier, IsOneOfThoseThatServe) {
    EXPECT_FALSE(copies_history("a1", {}));
    EXPECT_TRUE(copies_history("a1", {"a1"}));
    EXPECT_FALSE(copies_history("a1", {"a2"}));
    int copiers = 0;
    for (const char* id : {"a1", "a2", "a3"}) copiers += copies_history(id, {"a3", "a1", "a2"}) ? 1 : 0;
    EXPECT_EQ(copiers, 1);
}

}  // namespace
}  // namespace pgpulse::aggregator
