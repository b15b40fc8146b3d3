#include "consul-bridge/webhook/cursor.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pgpulse::consul_bridge::webhook {
namespace {

using contract::WallTime;
using std::chrono::microseconds;
using std::chrono::seconds;
using Fate = Resumption::Fate;
using Kind = Resumption::Kind;

constexpr WallTime kHistory{microseconds{1'700'000'000'000'001}};
constexpr WallTime kBucket{microseconds{1'600'000'000'000'001}};

/// The history's message at `sequence`, of a revision of that number or another one.
Place place(std::uint64_t sequence, std::uint64_t revision, WallTime epoch = kBucket, seconds later = {}) {
    return {sequence, epoch, revision, epoch + seconds{revision} + later};
}

Cursor at(const Place& place) { return {"https://hooks.example.com", kHistory, place, "bridge-1"}; }

TEST(WebhookCursor, IsReadAsItIsWritten) {
    const Cursor cursor = at(place(5, 7));
    EXPECT_EQ(decode_cursor(encode(cursor)), cursor);
    const Cursor of_no_revision = at({5, {}, 0, {}});
    EXPECT_EQ(decode_cursor(encode(of_no_revision)), of_no_revision);
    for (const char* bad : {"", "7", "{}", R"({"v":2,"history":"2026-01-02T03:04:05Z","sequence":1})",
                            R"({"v":1,"history":"yesterday","sequence":1})",
                            R"({"v":1,"history":"2026-01-02T03:04:05Z","sequence":-1})"}) {
        EXPECT_EQ(decode_cursor(bad), std::nullopt) << bad;
    }
}

TEST(WebhookCursor, BeginsWithWhatComesNext) {
    Resumption resumption{std::nullopt, kHistory, 41, false};
    EXPECT_EQ(resumption.kind(), Kind::next);
    EXPECT_EQ(resumption.first(), 42U);
    EXPECT_EQ(resumption.known_up_to(), (Place{41, {}, 0, {}}));
    EXPECT_EQ(resumption.read(place(42, 50)), Fate::news);
}

TEST(WebhookCursor, BeginsWithAllOfAHistoryThatWasNotThereBefore) {
    Resumption resumption{std::nullopt, kHistory, 41, true};
    EXPECT_EQ(resumption.kind(), Kind::from_all);
    EXPECT_EQ(resumption.first(), 1U);
    EXPECT_EQ(resumption.known_up_to(), Place{});
    EXPECT_EQ(resumption.read(place(1, 50)), Fate::news);
}

TEST(WebhookCursor, GoesOnBehindTheCursor) {
    Resumption resumption{at(place(5, 7)), kHistory, 9, false};
    EXPECT_EQ(resumption.kind(), Kind::behind);
    EXPECT_EQ(resumption.first(), 5U);
    EXPECT_EQ(resumption.known_up_to(), place(5, 7));
    EXPECT_EQ(resumption.read(place(5, 7)), Fate::known);
    EXPECT_EQ(resumption.read(place(6, 3, kBucket + seconds{500})), Fate::news);

    // What stood there has left the history.
    Resumption late{at(place(5, 7)), kHistory, 9, false};
    EXPECT_EQ(late.read(place(8, 12)), Fate::news);

    Resumption of_no_revision{at({5, {}, 0, {}}), kHistory, 9, false};
    EXPECT_EQ(of_no_revision.first(), 6U);
    EXPECT_EQ(of_no_revision.read(place(6, 8)), Fate::news);
}

TEST(WebhookCursor, HistoryMadeAnew) {
    const WallTime another = kHistory + seconds{9};
    Resumption resumption{at(place(5, 7)), another, 9, false};
    EXPECT_EQ(resumption.kind(), Kind::anew);
    EXPECT_EQ(resumption.first(), 1U);
    EXPECT_EQ(resumption.known_up_to(), std::nullopt);
    EXPECT_EQ(resumption.read(place(1, 6)), Fate::known);
    EXPECT_EQ(resumption.read(place(2, 7)), Fate::known);
    EXPECT_EQ(resumption.read(place(3, 8)), Fate::news);
    // Of a bucket that counts anew: by a server that lost its end, and by another bucket.
    EXPECT_EQ(resumption.read(place(4, 7, kBucket, seconds{100})), Fate::news);
    EXPECT_EQ(resumption.read(place(5, 1, kBucket + seconds{100})), Fate::news);
    EXPECT_EQ(resumption.read(place(6, 99, kBucket - seconds{100})), Fate::known);
}

TEST(WebhookCursor, HistoryThatLostItsEndIsMadeAnew) {
    EXPECT_EQ((Resumption{at(place(5, 7)), kHistory, 4, false}.kind()), Kind::anew);

    Resumption resumption{at(place(5, 7)), kHistory, 9, false};
    EXPECT_EQ(resumption.read(place(5, 7, kBucket, seconds{100})), Fate::other);
    resumption.begin_anew();
    EXPECT_EQ(resumption.first(), 1U);
    EXPECT_EQ(resumption.known_up_to(), std::nullopt);
    EXPECT_EQ(resumption.read(place(5, 7, kBucket, seconds{100})), Fate::news);
}

TEST(WebhookCursor, TheFurtherOneOfThisHistoryCounts) {
    const Cursor near = at(place(5, 7));
    const Cursor far = at(place(6, 8));
    Cursor old = at(place(90, 90));
    old.history -= seconds{1};
    EXPECT_EQ(further(near, far, kHistory), far);
    EXPECT_EQ(further(far, near, kHistory), far);
    EXPECT_EQ(further(old, near, kHistory), near);
    EXPECT_EQ(further(old, std::nullopt, kHistory), old);
    EXPECT_EQ(further(std::nullopt, near, kHistory), near);
    EXPECT_EQ(further(std::nullopt, std::nullopt, kHistory), std::nullopt);
}

}  // namespace
}  // namespace pgpulse::consul_bridge::webhook
