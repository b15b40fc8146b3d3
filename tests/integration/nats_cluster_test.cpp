#include "tests/support/nats_cluster.hpp"

#include "common/nats/bucket.hpp"
#include "common/nats/bucket_writer.hpp"
#include "common/nats/subscription.hpp"
#include "tests/support/bucket_events.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// The fixture of three servers, and buckets of three replicas on it.
namespace pgpulse::nats {
namespace {

using std::chrono::seconds;
using support::NatsCluster;
using support::wait_until;
using OutcomeKind = WriteOutcome::Kind;

const std::string kClusterBucket = "things";
const std::string kClusterStream = "KV_things";
/// An election takes up to nine seconds, and the way to it a few more.
constexpr seconds kPatience{90};

class NatsClusterTest : public testing::Test {
  protected:
    NatsCluster cluster;

    static std::unique_ptr<Connection> connect(const std::string& url) {
        ConnectOptions options;
        options.url = url;
        auto opened = Connection::open(options);
        if (!opened) throw std::runtime_error{opened.error().text};
        return std::move(*opened);
    }

    void make_bucket() {
        const auto connection = connect(cluster.url());
        BucketConfig config;
        config.name = kClusterBucket;
        config.history = 64;
        config.replicas = 3;
        ASSERT_TRUE(wait_until([&] { return ensure_bucket(*connection, config).has_value(); }, kPatience));
        ASSERT_TRUE(wait_until_whole());
    }

    std::size_t leader() const {
        const auto found = support::eventually([&] { return cluster.leader_of(kClusterStream); }, kPatience);
        if (!found) throw std::runtime_error("the stream has no leader:\n" + cluster.log());
        return *found;
    }

    bool another_leads_than(std::size_t server) const {
        return wait_until(
            [&] {
                const auto found = cluster.leader_of(kClusterStream);
                return found && *found != server;
            },
            kPatience);
    }

    bool wait_until_whole() const {
        return wait_until([&] { return cluster.whole(kClusterStream); }, kPatience);
    }

    /// A put that the stream's leader has acknowledged; its revision.
    static std::optional<std::uint64_t> put(Connection& connection, const std::string& key,
                                            const std::string& value) {
        jsCtx* js = nullptr;
        if (natsConnection_JetStream(&js, connection.handle(), nullptr) != NATS_OK) return std::nullopt;
        const JetStreamHandle owner{js};
        jsPubOptions options;
        jsPubOptions_Init(&options);
        options.MaxWait = 2000;
        jsPubAck* ack = nullptr;
        const std::string subject = "$KV." + kClusterBucket + "." + key;
        if (js_Publish(&ack, js, subject.c_str(), value.data(), static_cast<int>(value.size()), &options,
                       nullptr) != NATS_OK) {
            return std::nullopt;
        }
        const std::uint64_t revision = ack->Sequence;
        jsPubAck_Destroy(ack);
        return revision;
    }

    bool put_in_the_end(Connection& connection, const std::string& key, const std::string& value) {
        return wait_until([&] { return put(connection, key, value).has_value(); }, kPatience);
    }
};

TEST_F(NatsClusterTest, KeepsABucketOfThreeReplicasOverTheDeathOfItsLeader) {
    make_bucket();
    const auto connection = connect(cluster.url());
    ASSERT_TRUE(put_in_the_end(*connection, "a", "1"));
    const std::size_t first = leader();
    cluster.kill(first);
    ASSERT_TRUE(another_leads_than(first)) << cluster.log();
    EXPECT_FALSE(cluster.whole(kClusterStream));
    EXPECT_TRUE(put_in_the_end(*connection, "a", "2"));
    cluster.restart(first);
    EXPECT_TRUE(wait_until_whole()) << cluster.log();
}

TEST_F(NatsClusterTest, ElectsAnotherLeaderWhileOneIsStopped) {
    make_bucket();
    const std::size_t first = leader();
    cluster.stop(first);
    ASSERT_TRUE(another_leads_than(first)) << cluster.log();
    const auto connection = connect(cluster.url(leader()));
    EXPECT_TRUE(put_in_the_end(*connection, "a", "1"));
    cluster.cont(first);
    EXPECT_TRUE(wait_until_whole()) << cluster.log();
}

TEST_F(NatsClusterTest, ServesClientsOfAServerThatIsCutOffAndStoresNothingThere) {
    make_bucket();
    const std::size_t cut = leader();
    const auto inside = connect(cluster.url(cut));
    const auto outside = connect(cluster.url((cut + 1) % NatsCluster::kServers));
    std::atomic<int> heard_inside{0};
    std::atomic<int> heard_outside{0};
    const auto in = Subscription::open(*inside, "said", [&](const Message&) { ++heard_inside; });
    const auto out = Subscription::open(*outside, "said", [&](const Message&) { ++heard_outside; });
    ASSERT_TRUE(in && out);
    ASSERT_TRUE(wait_until([&] { return inside->publish("said", {}) && heard_outside > 0; }, kPatience));

    cluster.cut_off(cut);
    ASSERT_TRUE(another_leads_than(cut)) << cluster.log();
    EXPECT_TRUE(put_in_the_end(*outside, "a", "1"));
    EXPECT_EQ(put(*inside, "a", "lost"), std::nullopt);
    const int outside_before = heard_outside;
    const int inside_before = heard_inside;
    ASSERT_TRUE(inside->publish("said", {}));
    EXPECT_TRUE(wait_until([&] { return heard_inside > inside_before; }));
    EXPECT_EQ(heard_outside, outside_before);
    EXPECT_EQ(inside->times_established(), 1U) << "its clients notice nothing by their connection";

    cluster.rejoin(cut);
    EXPECT_TRUE(wait_until_whole()) << cluster.log();
    EXPECT_TRUE(put_in_the_end(*inside, "a", "2"));
}

TEST_F(NatsClusterTest, TellsAWatchTheSameAtEveryServer) {
    make_bucket();
    std::array<std::unique_ptr<Connection>, NatsCluster::kServers> connections;
    std::array<support::BucketEvents, NatsCluster::kServers> events;
    std::array<std::unique_ptr<BucketWatch>, NatsCluster::kServers> watches;
    for (std::size_t i = 0; i < NatsCluster::kServers; ++i) {
        connections.at(i) = connect(cluster.url(i));
        watches.at(i) = std::make_unique<BucketWatch>(
            *connections.at(i), kClusterBucket,
            [&to = events.at(i)](BucketEvent event) { to.take(std::move(event)); });
    }
    std::map<std::string, std::string> values;
    const auto all_hold_them = [&] {
        return std::ranges::all_of(events, [&](const auto& told) {
            return wait_until([&] { return told.held() == values; }, kPatience);
        });
    };
    for (int i = 0; i < 20; ++i) {
        values["k" + std::to_string(i)] = "1";
        ASSERT_TRUE(
            put_in_the_end(*connections.at(static_cast<std::size_t>(i) % 3), "k" + std::to_string(i), "1"));
    }
    EXPECT_TRUE(all_hold_them());
    const std::size_t first = leader();
    const std::size_t other = (first + 1) % NatsCluster::kServers;
    cluster.kill(first);
    ASSERT_TRUE(another_leads_than(first)) << cluster.log();
    ASSERT_TRUE(put_in_the_end(*connections.at(other), "k0", values["k0"] = "2"));
    cluster.restart(first);
    EXPECT_TRUE(all_hold_them()) << cluster.log();
    jsCtx* js = nullptr;
    ASSERT_EQ(natsConnection_JetStream(&js, connections.at(other)->handle(), nullptr), NATS_OK);
    const JetStreamHandle owner{js};
    ASSERT_TRUE(wait_until(
        [&] { return js_PurgeStream(js, kClusterStream.c_str(), nullptr, nullptr) == NATS_OK; }, kPatience));
    values.clear();
    EXPECT_TRUE(all_hold_them()) << cluster.log();
}

/// Every outcome that a writer told.
class Outcomes {
  public:
    void take(WriteOutcome outcome) {
        const std::lock_guard lock{mutex_};
        outcomes_.push_back(std::move(outcome));
    }
    [[nodiscard]] std::size_t count() const {
        const std::lock_guard lock{mutex_};
        return outcomes_.size();
    }
    [[nodiscard]] WriteOutcome last() const {
        const std::lock_guard lock{mutex_};
        return outcomes_.back();
    }

  private:
    mutable std::mutex mutex_;
    std::vector<WriteOutcome> outcomes_;
};

TEST_F(NatsClusterTest, OfTwoWritersAtOneRevisionOneWins) {
    make_bucket();
    constexpr std::size_t kRounds = 500;
    // Through two servers, so that neither write is behind the other from the start.
    const auto one_connection = connect(cluster.url(0));
    const auto other_connection = connect(cluster.url(1));
    Outcomes of_one;
    Outcomes of_other;
    const auto one = BucketWriter::open(*one_connection, kClusterBucket,
                                        [&](WriteOutcome outcome) { of_one.take(std::move(outcome)); });
    const auto other = BucketWriter::open(*other_connection, kClusterBucket,
                                          [&](WriteOutcome outcome) { of_other.take(std::move(outcome)); });
    ASSERT_TRUE(one && other);
    auto revision = put(*one_connection, "a", "0");
    ASSERT_TRUE(revision);
    int won_by_one = 0;
    for (std::size_t round = 1; round <= kRounds; ++round) {
        ASSERT_TRUE((*one)->put("a", "one", *revision));
        ASSERT_TRUE((*other)->put("a", "other", *revision));
        ASSERT_TRUE(
            wait_until([&] { return of_one.count() == round && of_other.count() == round; }, kPatience));
        const WriteOutcome a = of_one.last();
        const WriteOutcome b = of_other.last();
        ASSERT_NE(a.kind == OutcomeKind::stored, b.kind == OutcomeKind::stored)
            << "round " << round << ": " << a.revision << a.text << ", " << b.revision << b.text;
        ASSERT_EQ((a.kind == OutcomeKind::stored ? b : a).kind, OutcomeKind::lost) << a.text << b.text;
        if (a.kind == OutcomeKind::stored) ++won_by_one;
        revision = a.kind == OutcomeKind::stored ? a.revision : b.revision;
    }
    EXPECT_GT(won_by_one, 0) << "both have to be able to win, or nothing was raced";
    EXPECT_LT(won_by_one, static_cast<int>(kRounds));
}

}  // namespace
}  // namespace pgpulse::nats
