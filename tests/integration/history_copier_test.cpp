#include "aggregator/history_copier.hpp"

#include "aggregator/history_copy.hpp"
#include "tests/support/bucket_author.hpp"
#include "tests/support/connect.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/nats_cluster.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/transition_author.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

// The history against what was stored in the bucket, whatever happened to copiers, server, bucket and history
// meanwhile. The test writes the bucket as aggregators do.
namespace pgpulse {
namespace {

using support::Daemon;
using support::Stories;
using support::Story;
using support::wait_until;
using testing::HasSubstr;

const std::string kHistory = "HEALTH_TRANSITIONS";
const std::string kBucket = "KV_health";

std::vector<std::string> many_targets(int count) {
    std::vector<std::string> targets;
    for (int i = 0; i < count; ++i) targets.push_back("t" + std::to_string(i));
    return targets;
}

/// A copier as an aggregator has it, which believes that it is the one to copy.
class Copier {
  public:
    explicit Copier(const support::NatsServer& server, aggregator::HistoryConfig config = {})
        : connection_(support::connect(server.url())), config_(config) {
        start();
    }

    void start() {
        copier_ = std::make_unique<aggregator::HistoryCopier>(*connection_, "a1", config_, metrics_,
                                                              [this]() -> std::optional<std::size_t> {
                                                                  ++asked_;
                                                                  if (!buckets_read_.load())
                                                                      return std::nullopt;
                                                                  return 0;
                                                              });
        copier_->serving({"a1"});
    }
    void stop() { copier_.reset(); }
    void buckets_read(bool read) { buckets_read_.store(read); }
    /// How often the copier has asked what the aggregator does.
    [[nodiscard]] int asked() const { return asked_.load(); }
    void restart() {
        stop();
        start();
    }

  private:
    std::unique_ptr<nats::Connection> connection_;
    aggregator::HistoryConfig config_;
    aggregator::Metrics metrics_;
    std::atomic<bool> buckets_read_{true};
    std::atomic<int> asked_{0};
    std::unique_ptr<aggregator::HistoryCopier> copier_;
};

class History : public testing::Test {
  protected:
    support::NatsServer server;
    support::TransitionAuthor author{server.url()};

    /// `count` transitions, of ten targets in turn.
    void write(int count) {
        for (int i = 0; i < count; ++i) author.transition("db" + std::to_string(written_++ % 10));
    }

    /// Transitions of many targets, by a thread of its own, while `meanwhile` is done: the bucket has room for those of a
    /// target that nobody copies for a while.
    template <typename Meanwhile>
    void write_while(Meanwhile meanwhile) {
        std::atomic<bool> end{false};
        std::thread writer{[&] {
            for (int i = 0; !end.load(); ++i) author.transition("w" + std::to_string(i % 2000));
        }};
        meanwhile();
        end.store(true);
        writer.join();
    }

    /// The stream, with so short a memory of message ids that it is none.
    void make_history_without_ids() {
        jsStreamConfig config;
        jsStreamConfig_Init(&config);
        const char* subjects[] = {"health.history.>"};
        config.Name = kHistory.c_str();
        config.Subjects = subjects;
        config.SubjectsLen = 1;
        config.Storage = js_FileStorage;
        config.Duplicates = std::chrono::nanoseconds{std::chrono::milliseconds{100}}.count();
        // A copier may have made the stream before.
        if (js_AddStream(nullptr, author.js(), &config, nullptr, nullptr) == NATS_OK) return;
        ASSERT_EQ(js_UpdateStream(nullptr, author.js(), &config, nullptr, nullptr), NATS_OK);
    }

    [[nodiscard]] std::size_t told() {
        const auto info = author.stream_info(kHistory);
        return info ? info->State.Msgs : 0;
    }
    void wait_for_more() {
        const std::size_t before = told();
        ASSERT_TRUE(wait_until([&] { return told() > before; }));
    }

    void expect_complete() {
        if (!author.history_is_complete()) {
            EXPECT_EQ(author.history(), author.stories());
        }
    }

  private:
    int written_ = 0;
};

TEST_F(History, WaitsUntilTheAggregatorHasReadTheBuckets) {
    write(10);
    Copier copier{server};
    // What was sent before a copier stops may be stored after it has: all is there first.
    expect_complete();
    copier.stop();
    const std::size_t before = told();
    copier.buckets_read(false);
    write(10);
    copier.start();
    const int asked = copier.asked();
    ASSERT_TRUE(wait_until([&] { return copier.asked() > asked + 5; }));
    EXPECT_EQ(told(), before);
    copier.buckets_read(true);
    expect_complete();
}

TEST_F(History, TellsEachTransitionInTheOrderOfTheBucket) {
    write(100);
    const Copier copier{server};
    write(100);
    expect_complete();
    const auto all = author.told();
    ASSERT_EQ(all.size(), 200U);
    std::uint64_t last = 0;
    for (const auto& told : all) {
        EXPECT_EQ(told.headers.count("Nats-Expected-Last-Subject-Sequence"), 0U);
        const std::uint64_t revision = std::stoull(told.headers.at("Pgpulse-Revision"));
        EXPECT_EQ(told.headers.at("Nats-Msg-Id"),
                  told.headers.at("Pgpulse-Epoch") + "/" + std::to_string(revision));
        EXPECT_EQ(told.headers.at("Pgpulse-Transition"), std::to_string(told.transition));
        EXPECT_GT(revision, last);
        last = revision;
    }
}

TEST_F(History, TellsMoreThanTheBucketKeeps) {
    const Copier copier{server};
    for (int i = 0; i < 200; ++i) {
        author.transition("db1");
        // A bucket that has no room for what is not copied yet loses it.
        if (i % 50 == 0) expect_complete();
    }
    expect_complete();
    EXPECT_EQ(author.history().at("db1").size(), 200U);
}

TEST_F(History, OfTenThousandAtOnceIsComplete) {
    const Copier copier{server};
    write(1);
    expect_complete();
    author.transitions(many_targets(10'000));
    expect_complete();
}

TEST_F(History, OfABacklogIsComplete) {
    for (int i = 0; i < 3; ++i) author.transitions(many_targets(5'000));
    const Copier copier{server};
    expect_complete();
}

TEST_F(History, TellsARemovalAndANewBeginning) {
    const Copier copier{server};
    author.transition("db1");
    author.transition("db1");
    author.remove("db1");
    author.transition("db1");
    expect_complete();
    EXPECT_EQ(author.history().at("db1"), (Story{1, 2, 0, 1}));
    const auto all = author.told();
    EXPECT_EQ(all.at(2).body, "");
    EXPECT_EQ(all.at(2).headers.at("KV-Operation"), "DEL");
    EXPECT_EQ(all.at(2).headers.at("Pgpulse-Transition"), "2");
}

TEST_F(History, DoesNotTellWhatSomebodyElseWrote) {
    Copier copier{server};
    write(20);
    author.put_by_hand("db1", "spoiled");
    author.put_back("db1");
    author.put_by_hand("db2", encode(support::a_state("db2", contract::Health::down, 99)));
    author.put_back("db2");
    author.put_by_hand("by.hand", "no target");
    write(20);
    copier.restart();
    write(20);
    expect_complete();
}

TEST_F(History, GoesOnAfterAPurgeOfAKey) {
    Copier copier{server};
    write(40);
    // What is purged before it was copied nobody can copy any more.
    expect_complete();
    author.purge_by_hand("db1");
    author.put_back("db1");
    write(40);
    expect_complete();
    copier.stop();
    author.purge_by_hand("db2");
    author.put_back("db2");
    write(40);
    copier.start();
    expect_complete();
}

TEST_F(History, GoesOnAfterAPurgeOfTheBucket) {
    Copier copier{server};
    write(40);
    expect_complete();
    author.purge_stream(kBucket);
    write(40);
    copier.restart();
    write(40);
    expect_complete();
}

TEST_F(History, ThatWasPurgedIsGoneOnWith) {
    Copier copier{server};
    write(40);
    expect_complete();
    author.purge_stream(kHistory);
    const Stories before = author.stories();
    write(40);
    Stories after;
    for (const auto& [target, story] : author.stories())
        after[target] =
            Story(story.begin() + static_cast<std::ptrdiff_t>(before.at(target).size()), story.end());
    EXPECT_TRUE(wait_until([&] { return author.history() == after; }));
    EXPECT_EQ(author.history(), after);
}

TEST_F(History, ThatWasPurgedIsFilledAgainByANewCopier) {
    Copier copier{server};
    write(40);
    expect_complete();
    copier.stop();
    author.purge_stream(kHistory);
    copier.start();
    write(40);
    expect_complete();
}

TEST_F(History, OfWhichATargetWasPurgedIsGoneOnWith) {
    Copier copier{server};
    write(44);
    expect_complete();
    copier.stop();
    // What was copied last is gone.
    jsOptions options;
    jsOptions_Init(&options);
    options.Stream.Purge.Subject = "health.history.db3";
    ASSERT_EQ(js_PurgeStream(author.js(), kHistory.c_str(), &options, nullptr), NATS_OK);
    const auto purged = static_cast<std::ptrdiff_t>(author.stories().at("db3").size());
    copier.start();
    write(44);
    Stories expected = author.stories();
    // The last of it is copied again: the history does not tell any more that it was.
    Story& story = expected.at("db3");
    story.erase(story.begin(), story.begin() + purged - 1);
    EXPECT_TRUE(wait_until([&] { return author.history() == expected; }));
    EXPECT_EQ(author.history(), expected);
}

TEST_F(History, ThatWasDeletedIsMadeAndFilledAgain) {
    const Copier copier{server};
    write(40);
    expect_complete();
    ASSERT_EQ(js_DeleteStream(author.js(), kHistory.c_str(), nullptr, nullptr), NATS_OK);
    expect_complete();
    write(40);
    expect_complete();
}

TEST_F(History, IsNotDoubledByAWipedBucket) {
    Copier copier{server};
    write(55);
    author.remove("db3");
    expect_complete();
    author.wipe();
    write(55);
    expect_complete();
    copier.stop();
    author.wipe();
    copier.start();
    write(55);
    expect_complete();
}

TEST_F(History, IsNotDoubledByAServerThatLostTheEndOfTheBucket) {
    Copier copier{server};
    write(30);
    expect_complete();
    server.stop();
    const auto streams = server.store_dir() / "jetstream" / "$G" / "streams";
    const auto kept = server.store_dir().parent_path() / "kept";
    std::filesystem::copy(streams / kBucket, kept, std::filesystem::copy_options::recursive);
    server.start();
    write(35);
    expect_complete();
    server.stop();
    std::filesystem::remove_all(streams / kBucket);
    std::filesystem::copy(kept, streams / kBucket, std::filesystem::copy_options::recursive);
    server.start();
    ASSERT_TRUE(wait_until([&] { return author.connection().connected(); }));
    author.forget_revisions();
    for (int i = 0; i < 10; ++i) author.put_back("db" + std::to_string(i));
    write(60);
    expect_complete();
}

TEST_F(History, OfTwoCopiersAtOnceIsComplete) {
    Copier one{server};
    Copier other{server};
    write_while([&] {
        for (int i = 0; i < 5; ++i) {
            wait_for_more();
            (i % 2 == 0 ? one : other).restart();
        }
    });
    for (int i = 0; i < 4; ++i) author.transitions(many_targets(5'000));
    expect_complete();
}

TEST_F(History, OfTwoCopiersAtOnceIsCompleteWhereTheServerKnowsNoMessageIds) {
    make_history_without_ids();
    Copier one{server};
    Copier other{server};
    write_while([&] {
        for (int i = 0; i < 5; ++i) {
            wait_for_more();
            (i % 2 == 0 ? one : other).restart();
        }
    });
    for (int i = 0; i < 4; ++i) author.transitions(many_targets(2'000));
    expect_complete();
}

TEST_F(History, IsCompleteWhenNatsIsKilledMeanwhile) {
    const Copier copier{server};
    write(10);
    expect_complete();
    write_while([&] {
        for (int i = 0; i < 3; ++i) {
            wait_for_more();
            server.kill9();
            server.start();
        }
        wait_for_more();
    });
    expect_complete();
}

TEST_F(History, IsCompleteWhenNatsStopsMeanwhile) {
    const Copier one{server};
    const Copier other{server};
    write(10);
    expect_complete();
    write_while([&] {
        wait_for_more();
        server.process().stop();
        ASSERT_TRUE(wait_until([&] { return !author.connection().connected(); }));
        server.process().cont();
        wait_for_more();
    });
    expect_complete();
}

/// Two aggregators, one of which copies.
class HistoryOfAggregators : public History {
  protected:
    std::vector<std::unique_ptr<Daemon>> aggregators;

    void SetUp() override {
        for (const char* id : {"a1", "a2"}) {
            aggregators.push_back(std::make_unique<Daemon>(
                "pgpulse-aggregator", id,
                std::vector<std::string>{"--nats", server.url(), "--history-days", "30"}));
        }
        ASSERT_TRUE(wait_until([&] {
            return std::ranges::all_of(aggregators, [](const auto& aggregator) {
                return aggregator->metric(R"(pgpulse_aggregator_members{kind="aggregator"})") == 2;
            });
        })) << logs();
        // The first of them copied for itself until it saw the other.
        ASSERT_TRUE(wait_until([&] {
            return copies(*aggregators[0]) == aggregator::copies_history("a1", {"a1", "a2"}) &&
                   copies(*aggregators[1]) == aggregator::copies_history("a2", {"a1", "a2"});
        })) << logs();
    }

    /// As its log says.
    static bool copies(const Daemon& aggregator) {
        const std::string log = aggregator.log();
        const auto begins = log.rfind("copies transitions into");
        const auto leaves = log.rfind("leaves it to another aggregator");
        return begins != std::string::npos && (leaves == std::string::npos || leaves < begins);
    }

    [[nodiscard]] std::string logs() const {
        std::string all;
        for (const auto& aggregator : aggregators) all += aggregator->log() + "\n";
        return all;
    }

    static double copied(const Daemon& aggregator) {
        return aggregator.metric("pgpulse_aggregator_history_copied_total").value_or(0);
    }

    /// Whoever copies a transition that is written now.
    Daemon& copier() {
        const double one = copied(*aggregators[0]);
        const double other = copied(*aggregators[1]);
        write(1);
        EXPECT_TRUE(wait_until([&] {
            return copied(*aggregators[0]) > one || copied(*aggregators[1]) > other;
        })) << logs();
        return copied(*aggregators[0]) > one ? *aggregators[0] : *aggregators[1];
    }
};

TEST_F(HistoryOfAggregators, IsAStreamAsTheContractSays) {
    write(10);
    expect_complete();
    const auto info = author.stream_info(kHistory);
    ASSERT_TRUE(info);
    EXPECT_EQ(info->Config->Storage, js_FileStorage);
    ASSERT_EQ(info->Config->SubjectsLen, 1);
    EXPECT_STREQ(info->Config->Subjects[0], "health.history.>");
    EXPECT_EQ(std::chrono::nanoseconds{info->Config->MaxAge}, std::chrono::hours{30 * 24});
    EXPECT_EQ(info->Config->Replicas, 1);
    EXPECT_TRUE(wait_until([&] {
        return copied(*aggregators[0]) + copied(*aggregators[1]) > 0 &&
               aggregators[0]->metric("pgpulse_aggregator_history_behind") == 0 &&
               aggregators[1]->metric("pgpulse_aggregator_history_behind") == 0;
    })) << logs();
}

TEST_F(HistoryOfAggregators, KeepsAStreamThatIsThereAndSaysWhatDiffers) {
    write(10);
    expect_complete();
    Daemon other{
        "pgpulse-aggregator", "a3", {"--nats", server.url(), "--history-days", "60", "--replicas", "3"}};
    for (const auto& aggregator : aggregators) EXPECT_EQ(aggregator->stop(), 0);
    ASSERT_TRUE(wait_until([&] { return other.log().find("--history-days") != std::string::npos; }))
        << other.log();
    EXPECT_THAT(other.log(),
                HasSubstr("stream 'HEALTH_TRANSITIONS' keeps transitions for 30 days, not for the 60 days of "
                          "--history-days: 'nats stream edit HEALTH_TRANSITIONS --max-age 60d' changes it"));
    write(10);
    expect_complete();
    EXPECT_THAT(
        other.log(),
        HasSubstr("stream 'HEALTH_TRANSITIONS' has 1 of the 3 replicas that --replicas asks for: `nats "
                  "stream edit HEALTH_TRANSITIONS --replicas 3` changes that"));
    const auto info = author.stream_info(kHistory);
    EXPECT_EQ(std::chrono::nanoseconds{info->Config->MaxAge}, std::chrono::hours{30 * 24});
    EXPECT_EQ(info->Config->Replicas, 1);
}

TEST_F(HistoryOfAggregators, IsCompleteWhenTheyAreKilledMeanwhile) {
    write_while([&] {
        for (int i = 0; i < 4; ++i) {
            wait_for_more();
            Daemon& aggregator = *aggregators[static_cast<std::size_t>(i % 2)];
            aggregator.kill9();
            wait_for_more();
            aggregator.start();
        }
    });
    expect_complete();
}

TEST_F(HistoryOfAggregators, IsCompleteWhenTheCopierStopsAndGoesOnWhenItsMessageIdsAreForgotten) {
    make_history_without_ids();
    write(100);
    Daemon& stopped = copier();
    Daemon& other = *aggregators[&stopped == aggregators[0].get() ? 1 : 0];
    write_while([&] {
        wait_for_more();
        stopped.process().stop();
        EXPECT_TRUE(wait_until([&] { return copied(other) > 2000; })) << logs();
        stopped.process().cont();
        const double before = copied(stopped);
        // It is the one to copy again once it is seen again.
        EXPECT_TRUE(wait_until([&] { return copied(stopped) > before + 100; })) << logs();
    });
    expect_complete();
}

/// Three servers, with a bucket and a history of three replicas.
TEST(HistoryOfReplicas, IsCompleteWhenTwoCopyAndServersAreKilledMeanwhile) {
    support::NatsCluster cluster;
    support::TransitionAuthor author{cluster.url(0), 3};
    Copier one{cluster.server(0), {.replicas = 3}};
    Copier other{cluster.server(0), {.replicas = 3}};
    const auto write = [&] {
        for (int i = 0; i < 500; ++i) author.transition("db" + std::to_string(i));
    };
    write();
    EXPECT_TRUE(author.history_is_complete());
    EXPECT_TRUE(wait_until([&] {
        const auto info = author.stream_info(kHistory);
        return info && info->Config->Replicas == 3;
    }));
    for (std::size_t i : {1U, 2U, 1U, 2U}) {
        cluster.kill(i);
        one.restart();
        write();
        cluster.restart(i);
        write();
        other.restart();
        EXPECT_TRUE(author.history_is_complete());
    }
}

TEST_F(HistoryOfAggregators, EndInTimeWhileNatsIsFrozen) {
    write(10);
    expect_complete();
    server.process().stop();
    for (const auto& aggregator : aggregators) EXPECT_EQ(aggregator->stop(), 0) << aggregator->log();
    server.process().cont();
}

}  // namespace
}  // namespace pgpulse
