#include "common/nats/bucket.hpp"
#include "common/nats/subscription.hpp"
#include "tests/support/bucket_test.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

// Buckets that are made, or are there already.
namespace pgpulse::nats {
namespace {

class EnsureBucket : public BucketTest {};

TEST_F(EnsureBucket, CreatesWhatWasAskedFor) {
    create(republished());
    const auto info = stream_info();
    EXPECT_EQ(info->Config->Storage, js_FileStorage);
    EXPECT_EQ(info->Config->MaxMsgsPerSubject, 64);
    EXPECT_EQ(info->Config->Replicas, 1);
    EXPECT_EQ(info->Config->MaxAge, 0);
    ASSERT_NE(info->Config->RePublish, nullptr);
    EXPECT_STREQ(info->Config->RePublish->Source, "$KV.things.>");
    EXPECT_STREQ(info->Config->RePublish->Destination, "things.changed.>");
}

TEST_F(EnsureBucket, CreatesWithATtlAndWithoutRepublishing) {
    BucketConfig config;
    config.name = kBucket;
    config.ttl = std::chrono::milliseconds{2000};
    create(config);
    const auto info = stream_info();
    EXPECT_EQ(info->Config->MaxAge, 2'000'000'000);
    EXPECT_EQ(info->Config->RePublish, nullptr);
}

TEST_F(EnsureBucket, LeavesABucketThatIsThereAsItIs) {
    BucketConfig config = republished();
    config.history = 5;
    create(config);
    put("a", "1");
    const auto before = stream_info();
    config.history = 64;
    for (int i = 0; i < 3; ++i) {
        const auto ensured = ensure_bucket(*connection, config);
        EXPECT_TRUE(ensured) << ensured.error().text;
    }
    const auto after = stream_info();
    EXPECT_EQ(after->Created, before->Created);
    EXPECT_EQ(after->Config->MaxMsgsPerSubject, 5);
    EXPECT_EQ(after->State.Msgs, 1U);
}

TEST_F(EnsureBucket, IsSafeForSeveralAtOnce) {
    constexpr int kThreads = 8;
    std::vector<std::thread> threads;
    threads.reserve(kThreads);
    std::vector<Result<BucketFound>> results(kThreads, BucketFound{});
    for (Result<BucketFound>& result : results) {
        threads.emplace_back([&] { result = ensure_bucket(*connection, republished()); });
    }
    for (std::thread& thread : threads) thread.join();
    for (const Result<BucketFound>& result : results) EXPECT_TRUE(result) << result.error().text;
}

TEST_F(EnsureBucket, FailsWithOneLineWhileNatsIsAway) {
    server.kill9();
    ASSERT_TRUE(support::wait_until([&] { return !connection->connected(); }));
    const auto ensured = ensure_bucket(*connection, republished());
    ASSERT_FALSE(ensured);
    EXPECT_NE(ensured.error().text.find("'things'"), std::string::npos) << ensured.error().text;
    EXPECT_EQ(ensured.error().text.find('\n'), std::string::npos);
}

TEST_F(EnsureBucket, NamesTheFlagWhereTooFewServersAreThereForItsReplicas) {
    BucketConfig config = republished();
    config.replicas = 3;
    const auto ensured = ensure_bucket(*connection, config);
    ASSERT_FALSE(ensured);
    EXPECT_EQ(ensured.error().text.find("create bucket 'things' with --replicas 3: "), 0U)
        << ensured.error().text;
    EXPECT_EQ(ensured.error().text.find('\n'), std::string::npos);
}

TEST_F(EnsureBucket, SaysHowManyReplicasABucketHas) {
    create(republished());
    BucketConfig config = republished();
    config.replicas = 3;
    const auto ensured = ensure_bucket(*connection, config);
    ASSERT_TRUE(ensured) << ensured.error().text;
    EXPECT_EQ(ensured->replicas, 1);
}

TEST_F(EnsureBucket, RepublishesChangesToPlainSubscribers) {
    create(republished());
    struct Seen {
        std::string subject;
        std::string payload;
        std::string revision;
        std::string operation;
    };
    std::mutex mutex;
    std::vector<Seen> seen;
    const auto header = [](const Message& message, const char* name) {
        const char* value = nullptr;
        return natsMsgHeader_Get(message.get(), name, &value) == NATS_OK ? std::string{value} : std::string{};
    };
    const auto subscription =
        Subscription::open(*connection, "things.changed.>", [&](const Message& message) {
            const std::lock_guard lock{mutex};
            seen.push_back({std::string{subject_of(message)}, std::string{payload_of(message)},
                            header(message, "Nats-Sequence"), header(message, "KV-Operation")});
        });
    ASSERT_TRUE(subscription) << subscription.error().text;
    ASSERT_TRUE(connection->flush(std::chrono::seconds{5}));
    const auto revision = put("a", "hello");
    remove("a");
    ASSERT_TRUE(support::wait_until([&] {
        const std::lock_guard lock{mutex};
        return seen.size() == 2;
    }));
    EXPECT_EQ(seen[0].subject, "things.changed.a");
    EXPECT_EQ(seen[0].payload, "hello");
    EXPECT_EQ(seen[0].revision, std::to_string(revision));
    EXPECT_EQ(seen[0].operation, "");
    EXPECT_EQ(seen[1].payload, "");
    EXPECT_EQ(seen[1].operation, "DEL");
    EXPECT_EQ(seen[1].revision, std::to_string(revision + 1));
}

}  // namespace
}  // namespace pgpulse::nats
