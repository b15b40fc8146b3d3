#include "common/nats/bucket.hpp"
#include "common/nats/bucket_writer.hpp"
#include "tests/support/bucket_events.hpp"
#include "tests/support/bucket_test.hpp"
#include "tests/support/tcp_relay.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

// What a watch tells of a bucket, whatever happens to bucket, server and connection.
namespace pgpulse::nats {
namespace {

using support::BucketEvents;
using Kind = BucketEvent::Kind;
using Values = std::map<std::string, std::string>;

class BucketWatchTest : public BucketTest {
  protected:
    BucketEvents events;
    std::unique_ptr<BucketWatch> watch;

    void start_watch() { start_watch(*connection); }

    void start_watch(Connection& through) {
        watch = std::make_unique<BucketWatch>(through, kBucket,
                                              [this](BucketEvent event) { events.take(std::move(event)); });
    }

    /// The watch has read the bucket once and looked at it since, so that it has something to compare with.
    void start_watch_and_look() {
        start_watch();
        ASSERT_TRUE(events.wait_for(Kind::loaded, 1));
        ASSERT_TRUE(looked(2));
    }

    /// Waits until the watch has asked the server so many times for the stream.
    bool looked(std::uint64_t times) {
        const auto js = jetstream();
        std::uint64_t own = 0;
        const auto requests = [&] {
            jsAccountInfo* info = nullptr;
            if (js_GetAccountInfo(&info, js.get(), nullptr, nullptr) != NATS_OK) return std::uint64_t{0};
            const std::uint64_t total = info->API.Total;
            jsAccountInfo_Destroy(info);
            return total - own++;
        };
        const std::uint64_t before = requests();
        return support::wait_until([&] { return requests() >= before + times; });
    }

    /// More often than `before`: a connection is not lost at once for whoever asks whether there is one.
    bool established_anew(std::uint64_t before) {
        return support::wait_until([&] { return connection->times_established() > before; });
    }

    /// The server's store as it is once it has written everything down.
    std::filesystem::path copy_of_store() {
        const auto established = connection->times_established();
        server.stop();
        const std::filesystem::path copy = copies / std::to_string(++copies_made);
        std::filesystem::copy(server.store_dir(), copy, std::filesystem::copy_options::recursive);
        server.start();
        EXPECT_TRUE(established_anew(established));
        return copy;
    }

    /// Without a marker: what `nats stream purge` does. No key: all of them.
    void purge(const std::string& key = {}) {
        jsOptions options;
        jsOptions_Init(&options);
        const std::string subject = "$KV." + kBucket + "." + key;
        if (!key.empty()) options.Stream.Purge.Subject = subject.c_str();
        ASSERT_EQ(js_PurgeStream(jetstream().get(), kStream.c_str(), &options, nullptr), NATS_OK);
    }

    support::TempDir copies;
    int copies_made = 0;

    void TearDown() override { watch.reset(); }

    /// What each consumer of the bucket is to be sent.
    std::vector<jsDeliverPolicy> deliver_policies() {
        const auto js = jetstream();
        jsConsumerInfoList* consumers = nullptr;
        std::vector<jsDeliverPolicy> policies;
        // Where there is none the server's answer counts as "not found".
        if (js_Consumers(&consumers, js.get(), kStream.c_str(), nullptr, nullptr) != NATS_OK) return policies;
        for (int i = 0; i < consumers->Count; ++i)
            policies.push_back(consumers->List[i]->Config->DeliverPolicy);
        jsConsumerInfoList_Destroy(consumers);
        return policies;
    }
};

TEST_F(BucketWatchTest, OfAnEmptyBucketIsLoadedAtOnce) {
    create(republished());
    start_watch();
    ASSERT_TRUE(events.wait_for(Kind::loaded, 1));
    const auto all = events.all();
    ASSERT_EQ(all.size(), 2U);
    EXPECT_EQ(all[0].kind, Kind::opened);
    EXPECT_EQ(all[1].kind, Kind::loaded);
    EXPECT_EQ(all[0].epoch_us, stream_info()->Created / 1000);
}

TEST_F(BucketWatchTest, TellsTheNewestValueOfEachKeyThenLoadedThenChanges) {
    create(republished());
    put("a", "1");
    put("b", "1");
    const auto a = put("a", "2");
    put("gone", "1");
    remove("gone");
    start_watch();
    ASSERT_TRUE(events.wait_for(Kind::loaded, 1));
    const auto loading = events.all();
    ASSERT_EQ(loading.size(), 5U);
    EXPECT_EQ(loading.front().kind, Kind::opened);
    EXPECT_EQ(loading.back().kind, Kind::loaded);
    EXPECT_EQ(events.held(), (Values{{"a", "2"}, {"b", "1"}}));
    EXPECT_EQ(events.count(Kind::removed), 1U);
    for (const BucketEvent& event : loading) {
        if (event.key != "a") continue;
        EXPECT_EQ(event.revision, a);
        EXPECT_EQ(event.epoch_us, stream_info()->Created / 1000);
        EXPECT_GE(event.stored_at_us, event.epoch_us);
    }

    put("c", "1");
    put("c", "2");
    remove("b");
    ASSERT_TRUE(events.wait_until_held({{"a", "2"}, {"c", "2"}}));
    EXPECT_EQ(events.all().size(), 8U) << "a change is told once, and none is left out";
    EXPECT_EQ(events.count(Kind::loaded), 1U);
}

TEST_F(BucketWatchTest, HasTheServerLookForNewestValuesOnlyWhereThereAreOlderOnes) {
    create(republished());
    put("a", "1");
    remove("b");
    put("c", "1");
    start_watch();
    ASSERT_TRUE(events.wait_for(Kind::loaded, 1));
    // One that was made late and is not listened to goes by itself.
    EXPECT_TRUE(
        support::wait_until([&] { return deliver_policies() == std::vector{js_DeliverByStartSequence}; }));
    EXPECT_EQ(events.all().size(), 5U);
    EXPECT_EQ(events.held(), (Values{{"a", "1"}, {"c", "1"}}));

    put("c", "2");
    ASSERT_TRUE(events.wait_until_held({{"a", "1"}, {"c", "2"}}));
    watch.reset();
    BucketEvents later;
    BucketWatch again{*connection, kBucket, [&](BucketEvent event) { later.take(std::move(event)); }};
    ASSERT_TRUE(later.wait_for(Kind::loaded, 1));
    EXPECT_EQ(later.all().size(), 5U);
    EXPECT_EQ(later.held(), (Values{{"a", "1"}, {"c", "2"}}));
    // The first watch's ends with its subscription.
    EXPECT_TRUE(
        support::wait_until([&] { return deliver_policies() == std::vector{js_DeliverLastPerSubject}; }));
}

TEST_F(BucketWatchTest, TellsWhatBucketWriterWroteFromAnEditByHand) {
    create(republished());
    start_watch();
    ASSERT_TRUE(events.wait_for(Kind::loaded, 1));
    auto opened = BucketWriter::open(*connection, kBucket, [](const WriteOutcome&) {});
    ASSERT_TRUE(opened) << opened.error().text;
    BucketWriter& writer = **opened;
    const auto store = bucket();
    const char* const key = "a";
    std::vector<bool> by_writer;
    const auto wrote = [&](bool by_bucket_writer) {
        by_writer.push_back(by_bucket_writer);
        ASSERT_TRUE(support::wait_until([&] {
            return events.count(Kind::value) + events.count(Kind::removed) == by_writer.size();
        })) << "write "
            << by_writer.size();
    };
    ASSERT_TRUE(writer.put(key, "1", 0));
    wrote(true);
    ASSERT_TRUE(writer.put(key, "2", 1));
    wrote(true);
    ASSERT_EQ(kvStore_PutString(nullptr, store.get(), key, "3"), NATS_OK);
    wrote(false);
    ASSERT_EQ(kvStore_UpdateString(nullptr, store.get(), key, "4", 3), NATS_OK);
    wrote(false);
    ASSERT_TRUE(writer.remove(key, 4));
    wrote(true);
    ASSERT_TRUE(writer.put(key, "6", 5));
    wrote(true);
    ASSERT_EQ(kvStore_Delete(store.get(), key), NATS_OK);
    wrote(false);
    ASSERT_TRUE(put_unacknowledged(*connection, kBucket, key, "8"));
    wrote(false);
    std::vector<bool> told;
    for (const BucketEvent& event : events.all()) {
        if (!event.key.empty()) told.push_back(event.by_bucket_writer);
    }
    EXPECT_EQ(told, by_writer);
}

TEST_F(BucketWatchTest, WaitsForABucketThatIsNotThereYet) {
    start_watch();
    create(republished());
    put("a", "1");
    ASSERT_TRUE(events.wait_until_held({{"a", "1"}}));
    ASSERT_TRUE(events.wait_for(Kind::loaded, 1));
    EXPECT_EQ(events.count(Kind::loaded), 1U);
}

TEST_F(BucketWatchTest, TellsManyKeysInTheirOrder) {
    create(republished());
    const auto store = bucket();
    constexpr int kKeys = 3000;
    for (int i = 0; i < kKeys; ++i) {
        ASSERT_TRUE(connection->publish("$KV.things.k" + std::to_string(i), std::to_string(i)));
    }
    ASSERT_TRUE(connection->flush(std::chrono::seconds{30}));
    start_watch();
    ASSERT_TRUE(support::wait_until([&] { return events.held().size() == kKeys; }));
    ASSERT_TRUE(events.wait_for(Kind::loaded, 1));
    std::uint64_t last = 0;
    for (const BucketEvent& event : events.all()) {
        if (event.kind != Kind::value) continue;
        EXPECT_GT(event.revision, last);
        last = event.revision;
    }
}

TEST_F(BucketWatchTest, ReadsABucketAnewThatWasDeletedAndCreated) {
    create(republished());
    put("a", "1");
    put("b", "1");
    start_watch();
    ASSERT_TRUE(events.wait_for(Kind::loaded, 1));
    const auto before = events.all().front().epoch_us;
    delete_bucket();
    create(republished());
    put("b", "2");
    ASSERT_TRUE(events.wait_until_held({{"b", "2"}}));
    ASSERT_TRUE(events.wait_for(Kind::loaded, 2));
    EXPECT_EQ(events.count(Kind::opened), 2U);
    EXPECT_GT(events.all().back().epoch_us, before);
    EXPECT_EQ(events.count(Kind::removed), 0U) << "absence is not a removal";
}

TEST_F(BucketWatchTest, GoesOnAfterTheServerWasKilled) {
    create(republished());
    put("a", "1");
    start_watch();
    ASSERT_TRUE(events.wait_for(Kind::loaded, 1));
    server.kill9();
    ASSERT_TRUE(support::wait_until([&] { return !connection->connected(); }));
    server.start();
    wait_until_connected();
    put("a", "2");
    put("b", "1");
    ASSERT_TRUE(events.wait_until_held({{"a", "2"}, {"b", "1"}}));
    const auto all = events.all();
    for (std::size_t i = 1; i < all.size(); ++i) {
        if (all[i].kind == Kind::value && all[i - 1].kind == Kind::value) {
            EXPECT_GT(all[i].revision, all[i - 1].revision);
        }
    }
}

TEST_F(BucketWatchTest, ReadsTheBucketAnewThatAServerLost) {
    create(republished());
    put("a", "1");
    put("b", "1");
    start_watch();
    ASSERT_TRUE(events.wait_for(Kind::loaded, 1));
    const auto established = connection->times_established();
    server.kill9();
    server.wipe_store();
    server.start();
    ASSERT_TRUE(established_anew(established));
    create(republished());
    put("c", "1");
    ASSERT_TRUE(events.wait_until_held({{"c", "1"}}));
    ASSERT_TRUE(events.wait_for(Kind::loaded, 2));
}

TEST_F(BucketWatchTest, SeesWhatOthersWroteWhileItWasCutOff) {
    create(republished());
    put("a", "1");
    start_watch();
    ASSERT_TRUE(events.wait_for(Kind::loaded, 1));
    server.process().stop();
    ASSERT_TRUE(support::wait_until([&] { return !connection->connected(); }));
    server.process().cont();
    wait_until_connected();
    put("a", "2");
    ASSERT_TRUE(events.wait_until_held({{"a", "2"}}));
}

TEST_F(BucketWatchTest, ReadsTheBucketAnewAfterAReconnect) {
    create(republished());
    put("a", "1");
    start_watch();
    ASSERT_TRUE(events.wait_for(Kind::loaded, 1));
    EXPECT_EQ(connection->times_established(), 1U);
    server.kill9();
    server.start();
    ASSERT_TRUE(events.wait_for(Kind::loaded, 2));
    EXPECT_EQ(connection->times_established(), 2U);
    EXPECT_EQ(events.count(Kind::opened), 2U);
    EXPECT_EQ(events.held(), (Values{{"a", "1"}}));
}

TEST_F(BucketWatchTest, ReadsTheBucketAnewOfAServerThatLostItsNewestWritesAndHasOthersInTheirPlace) {
    create(republished());
    put("a", "1");
    const auto older = copy_of_store();
    put("a", "lost");
    put("b", "lost");
    support::TcpRelay relay{server.port()};
    const auto through_relay = connect(relay.port());
    start_watch(*through_relay);
    ASSERT_TRUE(events.wait_until_held({{"a", "lost"}, {"b", "lost"}}));
    relay.cut();
    const auto established = connection->times_established();
    server.kill9();
    server.wipe_store();
    std::filesystem::copy(older, server.store_dir(), std::filesystem::copy_options::recursive);
    server.start();
    ASSERT_TRUE(established_anew(established));
    // As many writes as were lost, and one more: no revision is lower than one that was seen.
    put("c", "1");
    put("c", "2");
    EXPECT_EQ(put("d", "1"), 4U);
    relay.mend();
    EXPECT_TRUE(events.wait_until_held({{"a", "1"}, {"c", "2"}, {"d", "1"}}));
    EXPECT_EQ(events.count(Kind::removed), 0U) << "absence is not a removal";
    watch.reset();  // before the connection that it goes through
}

TEST_F(BucketWatchTest, ReadsAPurgedBucketAnew) {
    create(republished());
    put("a", "1");
    put("b", "1");
    start_watch_and_look();
    purge();
    EXPECT_TRUE(events.wait_until_held({}));
    EXPECT_TRUE(events.wait_for(Kind::loaded, 2));
    EXPECT_EQ(events.count(Kind::removed), 0U) << "absence is not a removal";
    put("b", "2");
    EXPECT_TRUE(events.wait_until_held({{"b", "2"}}));
}

TEST_F(BucketWatchTest, IsToldWhatComesAfterAPurgeOnce) {
    constexpr int kComing = 500;
    create(republished());
    put("a", "1");
    put("b", "1");
    const auto through = connect();
    start_watch(*through);
    ASSERT_TRUE(events.wait_for(Kind::loaded, 1));
    ASSERT_TRUE(looked(2));
    purge();
    ASSERT_TRUE(events.wait_for(Kind::loaded, 2));
    const auto messages_in = [&] {
        natsStatistics* statistics = nullptr;
        EXPECT_EQ(natsStatistics_Create(&statistics), NATS_OK);
        EXPECT_EQ(natsConnection_GetStats(through->handle(), statistics), NATS_OK);
        std::uint64_t in = 0;
        natsStatistics_GetCounts(statistics, &in, nullptr, nullptr, nullptr, nullptr);
        natsStatistics_Destroy(statistics);
        return in;
    };
    const std::uint64_t before = messages_in();
    for (int i = 0; i < kComing; ++i) put("k" + std::to_string(i), "1");
    ASSERT_TRUE(support::wait_until([&] { return events.held().size() == kComing; }));
    // What the server says besides, of the stream and that it is there, is not as much again.
    EXPECT_LT(messages_in() - before, 3 * kComing / 2) << "the subscription of before is told as well";
    watch.reset();  // before the connection that it goes through
}

TEST_F(BucketWatchTest, ReadsABucketAnewThatWasPurgedAndRefilledInPart) {
    create(republished());
    for (const char* key : {"a", "b", "c", "d"}) put(key, "1");
    start_watch_and_look();
    purge();
    for (const char* key : {"d", "e", "f"}) put(key, "2");
    EXPECT_TRUE(events.wait_until_held({{"d", "2"}, {"e", "2"}, {"f", "2"}}));
}

TEST_F(BucketWatchTest, ReadsABucketAnewOfWhichOneKeyWasPurged) {
    create(republished());
    put("a", "1");
    put("a", "2");
    put("b", "1");
    put("c", "1");
    start_watch_and_look();
    purge("a");
    EXPECT_TRUE(events.wait_until_held({{"b", "1"}, {"c", "1"}}));
    ASSERT_TRUE(events.wait_for(Kind::loaded, 2));
    // The stream's last message goes, so that none that is told is its last.
    ASSERT_TRUE(looked(2));
    purge("c");
    EXPECT_TRUE(events.wait_until_held({{"b", "1"}}));
    EXPECT_TRUE(events.wait_for(Kind::loaded, 3));
    ASSERT_TRUE(looked(3));
    put("d", "1");
    ASSERT_TRUE(events.wait_until_held({{"b", "1"}, {"d", "1"}}));
    EXPECT_EQ(events.count(Kind::opened), 3U);
    EXPECT_EQ(events.count(Kind::removed), 0U);
}

TEST_F(BucketWatchTest, ReadsNothingAnewWhileHistoryAndPurgedKeysDropTheirOldestMessages) {
    BucketConfig config = republished();
    config.history = 2;
    create(config);
    start_watch();
    ASSERT_TRUE(events.wait_for(Kind::loaded, 1));
    const auto store = bucket();
    std::string newest;
    for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < 300; ++i) {
            newest = std::to_string(round * 1000 + i);
            put("k" + std::to_string(i % 7), newest);
        }
        ASSERT_EQ(kvStore_Purge(store.get(), "k3", nullptr), NATS_OK);
        ASSERT_TRUE(looked(2));
    }
    put("last", "1");
    ASSERT_TRUE(support::wait_until([&] { return events.held().contains("last"); }));
    ASSERT_TRUE(looked(2));
    EXPECT_EQ(events.count(Kind::opened), 1U);
    EXPECT_EQ(events.count(Kind::removed), 3U);
}

TEST_F(BucketWatchTest, ReadsNothingAnewWhileKeysExpire) {
    BucketConfig config;
    config.name = kBucket;
    config.ttl = std::chrono::milliseconds{300};
    create(config);
    start_watch();
    ASSERT_TRUE(events.wait_for(Kind::loaded, 1));
    for (int i = 0; i < 3; ++i) {
        put("k" + std::to_string(i), "1");
        ASSERT_TRUE(support::wait_until([&] { return stream_info()->State.Msgs == 0; }));
        ASSERT_TRUE(looked(2));
    }
    EXPECT_EQ(events.count(Kind::value), 3U);
    EXPECT_EQ(events.count(Kind::opened), 1U);
}

/// As the members' keys are written: the server has no silence to tell in that all was read, and may count a write that
/// comes while it makes the consumer twice, so that no message is the last one, or not at all, so that one is too early.
TEST_F(BucketWatchTest, ReadsABucketToItsEndThatIsWrittenAllTheWhile) {
    BucketConfig config;
    config.name = kBucket;
    create(config);
    constexpr std::size_t kKeys = 20;
    const auto refresh = [&](std::size_t key) {
        return put_unacknowledged(*connection, kBucket, "k" + std::to_string(key), "1").has_value();
    };
    for (std::size_t key = 0; key < kKeys; ++key) ASSERT_TRUE(refresh(key));
    ASSERT_TRUE(support::wait_until([&] { return stream_info()->State.Msgs == kKeys; }));

    std::atomic<bool> end{false};
    std::thread writer{[&] {
        for (std::size_t key = 0; !end.load(); key = (key + 1) % kKeys) {
            EXPECT_TRUE(refresh(key));
            // The pace of the writes: as a few hundred members'.
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
        }
    }};
    const auto reader = connect();
    for (int i = 0; i < 300; ++i) {
        support::BucketEvents told;
        const BucketWatch one{*reader, kBucket, [&](BucketEvent event) { told.take(std::move(event)); },
                              BucketWatch::Extent::whole};
        EXPECT_TRUE(told.wait_for(Kind::loaded, 1)) << "watch " << i;
        EXPECT_EQ(told.held().size(), kKeys) << "watch " << i;
        // That the server has nothing more to send happens by chance, thousands of writes later.
        EXPECT_LT(told.count(Kind::value), 100 * kKeys) << "watch " << i;
        if (HasFailure()) break;
    }
    end.store(true);
    writer.join();
}

TEST_F(BucketWatchTest, ReadsABucketAnewAfterItsConsumerWasDeleted) {
    create(republished());
    put("a", "1");
    start_watch();
    ASSERT_TRUE(events.wait_for(Kind::loaded, 1));
    ASSERT_TRUE(support::wait_until([&] { return deliver_policies().size() == 1; }));
    const auto js = jetstream();
    jsConsumerInfoList* consumers = nullptr;
    ASSERT_EQ(js_Consumers(&consumers, js.get(), kStream.c_str(), nullptr, nullptr), NATS_OK);
    ASSERT_EQ(consumers->Count, 1);
    EXPECT_EQ(js_DeleteConsumer(js.get(), kStream.c_str(), consumers->List[0]->Name, nullptr, nullptr),
              NATS_OK);
    jsConsumerInfoList_Destroy(consumers);
    put("a", "2");
    EXPECT_TRUE(events.wait_until_held({{"a", "2"}}));
    EXPECT_TRUE(events.wait_for(Kind::loaded, 2));
}

TEST_F(BucketWatchTest, EndsWhileTheServerIsAway) {
    start_watch();
    server.kill9();
    ASSERT_TRUE(support::wait_until([&] { return !connection->connected(); }));
    watch.reset();
    EXPECT_EQ(events.all().size(), 0U);
}

}  // namespace
}  // namespace pgpulse::nats
