#include "common/nats/handles.hpp"
#include "tests/support/aggregator_stage.hpp"
#include "tests/support/targets_bucket.hpp"
#include "tests/support/times.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <signal.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

// Two and more pgpulse-aggregator beside one nats-server: whoever of them writes, dies or stands still, each change is
// told once.
namespace pgpulse {
namespace {

using support::wait_until;

const std::string kA = "aggregator-1";
const std::string kB = "aggregator-2";
const std::vector<std::string> kPair{kA, kB};
/// Enough that each of two aggregators is the first of some.
constexpr int kTargets = 16;
/// Rounds of the chorus in which the second-ranked may contradict the other, if it thinks otherwise: its patience is
/// one interval, which is four rounds.
constexpr std::size_t kTimeToContradict = 12;

class AggregatorPair : public testing::Test {
  protected:
    support::OneServerStage stage{kTargets};

    /// Both serve, and every target is up.
    void begin() {
        ASSERT_TRUE(stage.start(kPair)) << stage.logs();
        stage.flip_all();
        ASSERT_TRUE(stage.all_shown_soon()) << stage.logs();
    }

    /// Whoever thinks otherwise has had the time to say so, and the bucket holds the ledger and nothing else.
    void expect_nothing_else_is_told() {
        ASSERT_TRUE(stage.sing(kTimeToContradict));
        EXPECT_EQ(stage.stored_otherwise(), "") << stage.logs();
        EXPECT_EQ(stage.told_otherwise(), "") << stage.logs();
    }

    /// It has read so many pings of observers from now on that it has an opinion of each target.
    [[nodiscard]] bool hears_all_again(const std::string& id) const {
        const double before = stage.counted(id);
        return wait_until([&] { return stage.counted(id) >= before + 10 * 3 * kTargets; });
    }
};

TEST_F(AggregatorPair, EachChangeIsOneTransitionWhoeverWritesIt) {
    ASSERT_NO_FATAL_FAILURE(begin());
    for (int i = 0; i < 6; ++i) {
        stage.flip_all();
        ASSERT_TRUE(stage.all_shown_soon()) << stage.logs();
    }
    expect_nothing_else_is_told();
    for (const std::string& id : kPair) EXPECT_GT(stage.counted(id), 0) << id;
}

TEST_F(AggregatorPair, EveryPartitionHasTwoOfHoweverManyThereAre) {
    const auto tallied = [&](const std::vector<std::string>& ids, const std::string& rank) {
        double sum = 0;
        for (const std::string& id : ids) sum += stage.partitions(id, rank);
        return sum;
    };
    const auto shared = [&](const std::vector<std::string>& ids) {
        const std::size_t each = std::min<std::size_t>(ids.size(), 2);
        const auto subscribers = stage.subscribers_by_partition();
        return tallied(ids, "first") == 64 &&
               tallied(ids, "second") == 64.0 * static_cast<double>(each - 1) &&
               std::ranges::all_of(subscribers, [&](std::size_t count) { return count == each; });
    };
    ASSERT_TRUE(stage.start({kA})) << stage.logs();
    EXPECT_TRUE(wait_until([&] { return shared({kA}); })) << stage.logs();
    EXPECT_EQ(stage.partitions(kA, "first"), 64);

    ASSERT_TRUE(stage.start(kPair)) << stage.logs();
    EXPECT_TRUE(wait_until([&] { return shared(kPair); })) << stage.logs();

    const std::vector<std::string> four{kA, kB, "aggregator-3", "aggregator-4"};
    ASSERT_TRUE(stage.start(four)) << stage.logs();
    EXPECT_TRUE(wait_until([&] { return shared(four); })) << stage.logs();
    for (const std::string& id : four) {
        // Half of them each, as evenly as hashing is.
        const double share = stage.partitions(id, "first") + stage.partitions(id, "second");
        EXPECT_GE(share, 20) << id;
        EXPECT_LE(share, 44) << id;
    }

    stage.aggregator(kA).kill9();
    stage.aggregator(kB).process().signal(SIGTERM);
    EXPECT_TRUE(wait_until([&] { return shared({four[2], four[3]}); })) << stage.logs();
}

TEST_F(AggregatorPair, OneThatStartsWritesNothingThatDidNotChange) {
    ASSERT_TRUE(stage.start({kA})) << stage.logs();
    stage.flip_all();
    ASSERT_TRUE(stage.all_shown_soon()) << stage.logs();
    stage.flip("db1");
    ASSERT_TRUE(stage.all_shown_soon()) << stage.logs();
    ASSERT_TRUE(stage.start(kPair)) << stage.logs();
    ASSERT_TRUE(hears_all_again(kB)) << stage.logs();
    expect_nothing_else_is_told();
    EXPECT_EQ(stage.aggregator(kB).metric("pgpulse_aggregator_transitions_total"), 0);
    EXPECT_EQ(stage.aggregator(kB).metric("pgpulse_aggregator_states_put_back_total"), 0);
}

TEST_F(AggregatorPair, AChangeWhileOneIsStoppedIsToldOnceAndNotContradictedWhenItGoesOn) {
    ASSERT_NO_FATAL_FAILURE(begin());
    for (const std::string& victim : kPair) {
        stage.aggregator(victim).process().stop();
        stage.flip_all();
        EXPECT_TRUE(stage.all_shown_soon()) << "while " << victim << " is stopped\n" << stage.logs();
        // Ten seconds, in which the other comes to tally alone.
        ASSERT_TRUE(stage.sing(40));
        stage.aggregator(victim).process().cont();
        ASSERT_TRUE(hears_all_again(victim)) << stage.logs();
        expect_nothing_else_is_told();
    }
    stage.flip_all();
    EXPECT_TRUE(stage.all_shown_soon()) << stage.logs();
    expect_nothing_else_is_told();
}

/// Changes all targets and ends one of the two at that moment, then the other when some of the changes are told; whoever
/// is left tells what changed then and later.
class AggregatorPairLosesOne : public AggregatorPair {
  protected:
    using Change = std::function<void(support::Daemon&)>;

    void expect_no_gap(const Change& end, const Change& bring_back) {
        ASSERT_NO_FATAL_FAILURE(begin());
        for (std::size_t turn = 0; turn < kPair.size(); ++turn) {
            const std::string& victim = kPair[turn];
            stage.flip_all();
            ASSERT_TRUE(wait_until([&] { return stage.shown(stage.targets) >= turn; })) << stage.logs();
            end(stage.aggregator(victim));
            EXPECT_TRUE(stage.all_shown_soon()) << "without " << victim << "\n" << stage.logs();
            stage.flip_all();
            EXPECT_TRUE(stage.all_shown_soon()) << "without " << victim << "\n" << stage.logs();
            bring_back(stage.aggregator(victim));
            ASSERT_TRUE(stage.start(kPair)) << stage.logs();
            ASSERT_TRUE(hears_all_again(victim)) << stage.logs();
        }
        expect_nothing_else_is_told();
    }
};

TEST_F(AggregatorPairLosesOne, ByKill9AndNoChangeIsLostOrToldTwice) {
    expect_no_gap([](support::Daemon& daemon) { daemon.kill9(); }, [](support::Daemon&) {});
}

TEST_F(AggregatorPairLosesOne, BySigtermAndNoChangeIsLostOrToldTwice) {
    expect_no_gap([](support::Daemon& daemon) { daemon.process().signal(SIGTERM); },
                  [](support::Daemon& daemon) { EXPECT_EQ(daemon.process().wait_exit(), 0); });
}

TEST_F(AggregatorPairLosesOne, BySigstopAndNoChangeIsLostOrToldTwice) {
    expect_no_gap([](support::Daemon& daemon) { daemon.process().stop(); },
                  [](support::Daemon& daemon) { daemon.process().cont(); });
}

TEST_F(AggregatorPair, ANatsThatIsKilledAndComesBackChangesNothing) {
    ASSERT_NO_FATAL_FAILURE(begin());
    stage.nats.kill9();
    stage.nats.start();
    for (const std::string& id : kPair) ASSERT_TRUE(hears_all_again(id)) << stage.logs();
    ASSERT_TRUE(stage.sing(kTimeToContradict));
    EXPECT_EQ(stage.stored_otherwise(), "") << stage.logs();

    // What changes while it is away is stored when it is back, maybe before this test listens again.
    stage.nats.kill9();
    stage.flip_all();
    stage.nats.start();
    EXPECT_TRUE(wait_until([&] { return stage.stored_otherwise().empty(); })) << stage.logs();
    ASSERT_TRUE(stage.sing(kTimeToContradict));
    EXPECT_EQ(stage.stored_otherwise(), "") << stage.logs();
}

/// The bucket `health` is taken away, in whichever way.
class AggregatorPairLosesTheBucket : public AggregatorPair {
  protected:
    void delete_bucket() {
        jsCtx* raw = nullptr;
        ASSERT_EQ(natsConnection_JetStream(&raw, stage.readers->handle(), nullptr), NATS_OK);
        const nats::JetStreamHandle js{raw};
        ASSERT_EQ(js_DeleteStream(js.get(), "KV_health", nullptr, nullptr), NATS_OK);
    }

    void lose_the_store() {
        stage.nats.kill9();
        stage.nats.wipe_store();
        stage.nats.start();
    }

    /// The newest state of each target, as the bucket holds it; empty where it cannot be read.
    std::map<std::string, contract::State> newest() {
        std::map<std::string, contract::State> states;
        try {
            for (const auto& entry : support::stored_states(*stage.readers)) {
                if (entry.state) states[entry.target] = *entry.state;
            }
        } catch (const std::runtime_error&) {
            states.clear();  // the bucket is away
        }
        return states;
    }

    /// Each of the two has read every state: what nobody read before it was lost nobody can put back.
    bool both_know_all() {
        const auto all = static_cast<double>(stage.targets.size());
        return std::ranges::all_of(kPair, [&](const std::string& id) {
            return stage.aggregator(id).metric("pgpulse_aggregator_targets{state=\"up\"}") == all;
        });
    }

    double put_back() {
        double sum = 0;
        for (const std::string& id : kPair)
            sum += stage.aggregator(id).metric("pgpulse_aggregator_states_put_back_total").value_or(0);
        return sum;
    }

    void expect_whole_again_with(const std::map<std::string, contract::State>& before) {
        ASSERT_TRUE(wait_until([&] { return newest() == before; })) << stage.logs();
        ASSERT_TRUE(stage.sing(kTimeToContradict));
        // Each state came back once, as it was, and nothing beside it.
        const auto stored = support::stored_states(*stage.readers);
        EXPECT_EQ(stored.size(), before.size()) << stage.logs();
        for (const auto& entry : stored) {
            ASSERT_TRUE(entry.state) << entry.target << " was deleted";
            EXPECT_EQ(*entry.state, before.at(entry.target));
        }
        EXPECT_GE(put_back(), static_cast<double>(before.size()));
        EXPECT_NE(stage.logs().find("states were lost ("), std::string::npos) << stage.logs();
    }
};

TEST_F(AggregatorPairLosesTheBucket, ByItsDeletionAndFillsItAgainAsItWas) {
    ASSERT_NO_FATAL_FAILURE(begin());
    stage.flip("db1");
    stage.flip("db2");
    ASSERT_TRUE(stage.all_shown_soon()) << stage.logs();
    const auto before = newest();
    ASSERT_EQ(before.size(), stage.targets.size());
    const auto transitions = [&] { return support::times(", transition ", stage.logs()); };
    // Others may be told of a transition before the aggregator that wrote it says so.
    const int decided = static_cast<int>(stage.targets.size()) + 2;
    ASSERT_TRUE(wait_until([&] { return transitions() == decided; })) << stage.logs();
    ASSERT_NO_FATAL_FAILURE(delete_bucket());
    ASSERT_NO_FATAL_FAILURE(expect_whole_again_with(before));
    // A state that is put back is no transition: no line of the log, nor the metric, calls it one.
    EXPECT_EQ(transitions(), decided) << stage.logs();
    stage.flip_all();
    EXPECT_TRUE(stage.all_shown_soon()) << stage.logs();
}

TEST_F(AggregatorPairLosesTheBucket, WithTheWholeStoreAndFillsItAgainAsItWas) {
    ASSERT_NO_FATAL_FAILURE(begin());
    stage.flip("db1");
    ASSERT_TRUE(stage.all_shown_soon()) << stage.logs();
    const auto before = newest();
    lose_the_store();
    ASSERT_NO_FATAL_FAILURE(expect_whole_again_with(before));
}

TEST_F(AggregatorPairLosesTheBucket, WhileTargetsChangeWhichAreToldAsTheyAre) {
    ASSERT_NO_FATAL_FAILURE(begin());
    ASSERT_TRUE(wait_until([&] { return both_know_all(); })) << stage.logs();
    ASSERT_NO_FATAL_FAILURE(delete_bucket());
    const std::vector<std::string> changed{"db1", "db2", "db3", "db4"};
    for (const std::string& target : changed) stage.flip(target);
    const auto whole = [&] {
        const auto states = newest();
        return states.size() == stage.targets.size() && std::ranges::all_of(states, [&](const auto& entry) {
                   return entry.second.state == stage.ledger.at(entry.first).back();
               });
    };
    ASSERT_TRUE(wait_until(whole)) << stage.logs();
    ASSERT_TRUE(stage.sing(kTimeToContradict));
    EXPECT_TRUE(whole()) << stage.logs();
    for (const auto& [target, state] : newest()) {
        EXPECT_EQ(state.transition, stage.ledger.at(target).size()) << target << '\n' << stage.logs();
    }
    for (const auto& entry : support::stored_states(*stage.readers)) {
        ASSERT_TRUE(entry.state) << entry.target << " was deleted";
        EXPECT_EQ(entry.state->state, stage.ledger.at(entry.target).at(entry.state->transition - 1))
            << entry.target << " was never so\n"
            << stage.logs();
    }
}

/// More definitions than may be in flight at once, which are written again while pings arrive.
TEST(AggregatorPairLosesTheDefinitions, AndPutsEachBackOnceWhileItGoesOnTallying) {
    constexpr std::uint64_t kMore = 6000;
    support::OneServerStage stage{kTargets};
    for (std::uint64_t i = 1; i <= kMore; ++i) {
        contract::TargetDefinition target;
        target.name = target.service = "more" + std::to_string(i);
        target.address = "127.0.0.1";
        support::put_target(*stage.readers, target);
    }
    jsCtx* raw = nullptr;
    ASSERT_EQ(natsConnection_JetStream(&raw, stage.readers->handle(), nullptr), NATS_OK);
    const nats::JetStreamHandle js{raw};
    const auto stored = [&] {
        jsStreamInfo* info = nullptr;
        if (js_GetStreamInfo(&info, js.get(), "KV_health_targets", nullptr, nullptr) != NATS_OK) return 0UL;
        const nats::StreamInfoHandle owner{info};
        return static_cast<std::uint64_t>(info->State.Msgs);
    };
    const std::uint64_t all = kMore + kTargets;
    ASSERT_TRUE(wait_until([&] { return stored() == all; }));
    // They serve when they have read all of them.
    ASSERT_TRUE(stage.start(kPair)) << stage.logs();
    stage.flip_all();
    ASSERT_TRUE(stage.all_shown_soon()) << stage.logs();

    const auto put_back = [&] {
        double sum = 0;
        for (const std::string& id : kPair)
            sum += stage.aggregator(id).metric("pgpulse_aggregator_definitions_put_back_total").value_or(0);
        return sum;
    };
    ASSERT_EQ(js_DeleteStream(js.get(), "KV_health_targets", nullptr, nullptr), NATS_OK);
    stage.flip_all();
    EXPECT_TRUE(stage.all_shown_soon()) << stage.logs();
    EXPECT_TRUE(wait_until([&] { return stored() == all; })) << stage.logs();
    // One whose acknowledgement comes late is stored and not counted.
    EXPECT_TRUE(wait_until([&] { return put_back() > 0; })) << stage.logs();
    ASSERT_TRUE(stage.sing(kTimeToContradict));
    EXPECT_LE(put_back(), static_cast<double>(all)) << stage.logs();
    EXPECT_EQ(stored(), all) << "each is written once";
}

}  // namespace
}  // namespace pgpulse
