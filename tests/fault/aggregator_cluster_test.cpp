#include "tests/support/aggregator_stage.hpp"
#include "tests/support/nats_cluster.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

// Three pgpulse-aggregator beside three nats-servers whose buckets have three replicas: whichever server is killed,
// stopped or cut off, the bucket holds each change of the workers' minds once and nothing else, no `down` and no
// `unknown` of their own making.
namespace pgpulse {
namespace {

using support::wait_until;

constexpr int kTargets = 12;
constexpr std::chrono::seconds kPatience{120};  // elections, some of them in vain
const std::vector<std::string> kAggregators{"aggregator-1", "aggregator-2", "aggregator-3"};
const std::string kStates = "KV_health";
const std::string kMembers = "KV_health_members";
const std::vector<std::string> kStreams{kStates, kMembers, "KV_health_targets"};
/// Rounds of the workers: seven seconds, longer than a freshness, and the time in which one that thinks otherwise would
/// contradict.
constexpr std::size_t kLong = 28;
constexpr std::size_t kTimeToContradict = 16;

class AggregatorCluster : public testing::Test {
  protected:
    support::NatsCluster cluster;

    /// Everyone knows all servers.
    [[nodiscard]] support::AggregatorStagePlaces everywhere() const {
        const std::string all = cluster.url();
        return {.readers = all, .workers = {all, all, all}, .aggregators = {}, .replicas = 3};
    }

    /// A worker and an aggregator at each server, which know no other.
    [[nodiscard]] support::AggregatorStagePlaces one_at_each() const {
        return {.readers = cluster.url(0),
                .workers = {cluster.url(0), cluster.url(1), cluster.url(2)},
                .aggregators = {{kAggregators[0], cluster.url(0)},
                                {kAggregators[1], cluster.url(1)},
                                {kAggregators[2], cluster.url(2)}},
                .replicas = 3};
    }

    void begin(support::AggregatorStage& stage) {
        ASSERT_TRUE(stage.start(kAggregators)) << shown(stage);
        ASSERT_TRUE(wait_until_whole()) << shown(stage);
        flip_all(stage);
    }

    void flip_all(support::AggregatorStage& stage) {
        stage.flip_all();
        ASSERT_TRUE(wait_until([&] { return stage.all_shown(); }, kPatience))
            << stage.stored_otherwise() << shown(stage);
    }

    bool wait_until_whole() {
        return wait_until(
            [&] {
                return std::ranges::all_of(kStreams,
                                           [&](const std::string& stream) { return cluster.whole(stream); });
            },
            kPatience);
    }

    std::size_t leader(const std::string& stream) const {
        const auto found = support::eventually([&] { return cluster.leader_of(stream); }, kPatience);
        if (!found) throw std::runtime_error(stream + " has no leader:\n" + cluster.log());
        return *found;
    }

    /// All servers and aggregators are well, whoever thinks otherwise than the bucket has had the time to say so, and the
    /// bucket holds the ledger and nothing else.
    void expect_nothing_else_was_told(support::AggregatorStage& stage) {
        ASSERT_TRUE(wait_until_whole()) << shown(stage);
        ASSERT_TRUE(stage.start(kAggregators)) << shown(stage);
        ASSERT_TRUE(stage.sing(kTimeToContradict));
        const std::string otherwise = stage.stored_otherwise();
        EXPECT_EQ(otherwise, "") << (otherwise.empty() ? "" : shown(stage));
    }

    [[nodiscard]] std::string shown(const support::AggregatorStage& stage) const {
        return stage.logs() + cluster.log();
    }
};

TEST_F(AggregatorCluster, TheDeathOfALeaderLosesNothingAndTellsNothing) {
    support::AggregatorStage stage{kTargets, everywhere()};
    ASSERT_NO_FATAL_FAILURE(begin(stage));
    for (const std::string& stream : {kStates, kMembers}) {
        SCOPED_TRACE(stream);
        const std::size_t victim = leader(stream);
        // Some of the changes are stored by it, some by the one after it.
        stage.flip_all();
        ASSERT_TRUE(wait_until([&] { return stage.shown(stage.targets) > 0; }, kPatience)) << shown(stage);
        cluster.kill(victim);
        ASSERT_TRUE(wait_until([&] { return stage.all_shown(); }, kPatience))
            << stage.stored_otherwise() << shown(stage);
        ASSERT_NO_FATAL_FAILURE(flip_all(stage));
        ASSERT_TRUE(stage.sing(kLong));
        cluster.restart(victim);
        ASSERT_NO_FATAL_FAILURE(expect_nothing_else_was_told(stage));
    }
}

TEST_F(AggregatorCluster, ALeaderThatIsStoppedAndGoesOnLosesNothingAndTellsNothing) {
    support::AggregatorStage stage{kTargets, everywhere()};
    ASSERT_NO_FATAL_FAILURE(begin(stage));
    for (const std::string& stream : {kStates, kMembers}) {
        SCOPED_TRACE(stream);
        const std::size_t victim = leader(stream);
        cluster.stop(victim);
        ASSERT_NO_FATAL_FAILURE(flip_all(stage));
        ASSERT_TRUE(stage.sing(kLong));
        cluster.cont(victim);
        ASSERT_NO_FATAL_FAILURE(expect_nothing_else_was_told(stage));
    }
}

TEST_F(AggregatorCluster, AServerThatIsCutOffWithItsClientsAccusesNobodyAndContradictsNobody) {
    support::AggregatorStage stage{kTargets, one_at_each()};
    ASSERT_NO_FATAL_FAILURE(begin(stage));
    constexpr std::size_t kCut = 2;
    for (const std::string& stream : kStreams)
        ASSERT_TRUE(wait_until([&] { return cluster.lead(stream, kCut); }, kPatience)) << cluster.log();

    cluster.cut_off(kCut);
    // Nothing happens meanwhile, and nobody says that anything did.
    EXPECT_NE(leader(kStates), kCut);
    ASSERT_TRUE(stage.sing(kLong));
    EXPECT_EQ(stage.stored_otherwise(), "") << shown(stage);
    // What happens is told by the others, and not undone by the one that is away or by the one that comes back.
    ASSERT_NO_FATAL_FAILURE(flip_all(stage));
    ASSERT_TRUE(stage.sing(kLong));
    cluster.rejoin(kCut);
    ASSERT_NO_FATAL_FAILURE(expect_nothing_else_was_told(stage));
    ASSERT_NO_FATAL_FAILURE(flip_all(stage));
    ASSERT_NO_FATAL_FAILURE(expect_nothing_else_was_told(stage));
}

}  // namespace
}  // namespace pgpulse
