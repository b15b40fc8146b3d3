#include "tests/support/mirror_stage.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pgpulse::consul_bridge {
namespace {

using contract::Health;
using std::chrono::milliseconds;
using Stage = support::MirrorStage;

const contract::WallTime kLaterEpoch{std::chrono::microseconds{2'000'000}};

TEST(BridgeMirrorRules, NothingIsWrittenBeforeEverythingWasRead) {
    Stage s;
    s.define("db1");
    s.observe("db1", Health::up, 1);
    s.step();
    EXPECT_TRUE(s.transactions.empty());
    ASSERT_EQ(s.full_reads.size(), 1);
    s.answer_one();
    EXPECT_EQ(s.transactions.size(), 1);
}

TEST(BridgeMirrorRules, ATargetNeedsADefinitionAndAState) {
    Stage s;
    s.settle();
    s.define("db1");
    s.observe("db2", Health::up, 1);
    s.settle();
    EXPECT_EQ(s.consul.writes(), 0);
    s.observe("db1", Health::down, 2);
    s.settle();
    EXPECT_EQ(s.status("db1"), "critical");
    EXPECT_EQ(s.status("db2"), "none");
}

TEST(BridgeMirrorRules, ALatestStateAloneCounts) {
    Stage s;
    s.have("db1", Health::up, 1);
    const std::size_t before = s.consul.writes();
    s.observe("db1", Health::down, 2);
    s.step();
    s.observe("db1", Health::unknown, 3);
    s.observe("db1", Health::up, 4);
    s.observe("db1", Health::down, 5);
    s.settle();
    EXPECT_EQ(s.revision("db1"), 5);
    // The one that was on its way and the last: value and check each; of 2 and 5 the outputs differ.
    EXPECT_EQ(s.consul.writes(), before + 4);
}

TEST(BridgeMirrorRules, AnOlderRevisionOfTheSameBucketIsIgnored) {
    Stage s;
    s.have("db1", Health::down, 5);
    s.observe("db1", Health::up, 4);
    s.consul.at("db1").checks[0].status = "passing";
    s.pass(milliseconds{60'000});
    s.settle();
    EXPECT_EQ(s.status("db1"), "critical");
    s.bucket = {kLaterEpoch, 1};
    s.observe("db1", Health::up, 1, kLaterEpoch);
    s.settle();
    EXPECT_EQ(s.status("db1"), "passing");
}

TEST(BridgeMirrorRules, NothingUnchangedIsWritten) {
    Stage s;
    s.have("db1", Health::up, 1);
    const std::size_t before = s.consul.writes();
    s.define("db1");
    s.observe("db1", Health::up, 1);
    s.settle();
    s.pass(milliseconds{60'000});
    s.settle();
    EXPECT_EQ(s.mirror.counters().reconciles, 2);
    EXPECT_EQ(s.consul.writes(), before);
}

TEST(BridgeMirrorRules, ATargetIsInOneRequestAtATimeAndWholeInATransaction) {
    Stage s;
    s.settle();
    for (int i = 0; i < 20; ++i) {
        const std::string name = "db" + std::to_string(i);
        s.define(name);
        s.observe(name, Health::up, 1);
    }
    s.step();
    ASSERT_EQ(s.transactions.size(), 2);
    EXPECT_EQ(s.transactions[0].targets, 16);
    EXPECT_EQ(s.transactions[0].operations, 64);
    EXPECT_EQ(s.transactions[1].targets, 4);
    for (int i = 0; i < 20; ++i) s.observe("db" + std::to_string(i), Health::down, 2);
    s.step();
    EXPECT_EQ(s.transactions.size(), 2);
    s.settle();
    EXPECT_EQ(s.status("db19"), "critical");
}

TEST(BridgeMirrorRules, TransactionsUnderWayAreBounded) {
    Stage s;
    s.settle();
    for (int i = 0; i < 200; ++i) {
        const std::string name = "db" + std::to_string(i);
        s.define(name);
        s.observe(name, Health::up, 1);
    }
    s.step();
    EXPECT_EQ(s.transactions.size(), Mirror::Settings{}.transactions_in_flight);
    s.settle();
    EXPECT_EQ(s.pending(), 0);
}

TEST(BridgeMirrorRules, ARefusedTargetIsReadAgainAndTheOthersAreSentAgain) {
    Stage s;
    s.have("db1", Health::up, 1);
    s.have("db2", Health::up, 1);
    s.consul.at("db1").value->index = s.consul.next_index();  // somebody wrote the same again
    s.observe("db1", Health::down, 2);
    s.observe("db2", Health::down, 2);
    s.step();
    ASSERT_EQ(s.transactions.size(), 1);
    EXPECT_EQ(s.transactions[0].targets, 2);
    s.answer_one();
    EXPECT_EQ(s.status("db2"), "passing");
    ASSERT_EQ(s.reads.size(), 1);
    EXPECT_EQ(s.reads[0].targets, std::vector<std::string>{"db1"});
    ASSERT_EQ(s.transactions.size(), 1);
    EXPECT_EQ(s.transactions[0].targets, 1);
    s.settle();
    EXPECT_EQ(s.status("db1"), "critical");
    EXPECT_EQ(s.status("db2"), "critical");
    EXPECT_EQ(s.mirror.counters().conflicts, 1);
    EXPECT_TRUE(s.said("refuses") == 0) << "one conflict is nothing to speak of";
}

TEST(BridgeMirrorRules, ATargetThatIsRefusedAgainWaitsLongerEachTime) {
    Stage s;
    s.settle();
    s.define("db1");
    s.observe("db1", Health::up, 1);
    s.step();
    const auto refuse = [&s] {
        ASSERT_EQ(s.transactions.size(), 1);
        s.mirror.finished(s.take_transaction().id, Refused{{{2, "Missing node registration"}}}, s.now);
        s.step();
    };
    const auto read = [&s] {
        ASSERT_EQ(s.reads.size(), 1);
        s.answer_one();
    };
    refuse();
    read();  // at once after the first refusal
    for (const int pause : {1000, 2000, 4000, 8000, 15'000, 15'000}) {
        refuse();
        EXPECT_TRUE(s.reads.empty());
        s.pass(milliseconds{pause - 1});
        EXPECT_TRUE(s.reads.empty()) << pause;
        s.pass(milliseconds{1});
        read();
    }
    EXPECT_EQ(s.said("target 'db1': Consul refuses service 'db1': Missing node registration"), 1);
    s.settle();
    EXPECT_EQ(s.status("db1"), "passing");
}

TEST(BridgeMirrorRules, ARejectedTransactionIsSentOneTargetAtATime) {
    Stage s;
    s.settle();
    for (const char* name : {"db1", "db2"}) {
        s.define(name);
        s.observe(name, Health::up, 1);
    }
    s.step();
    ASSERT_EQ(s.transactions.size(), 1);
    s.mirror.finished(s.take_transaction().id, Rejected{"HTTP 400: no"}, s.now);
    s.step();
    ASSERT_EQ(s.transactions.size(), 2);
    s.mirror.finished(s.take_transaction().id, Rejected{"HTTP 400: no"}, s.now);
    s.settle();
    EXPECT_EQ(s.pending(), 1);
    EXPECT_EQ(s.said("HTTP 400: no"), 1);
    s.pass(milliseconds{1000});
    s.settle();
    EXPECT_EQ(s.pending(), 0);
}

TEST(BridgeMirrorRules, ADeleteMarkerDeregistersAndAbsenceDoesNot) {
    Stage s;
    s.have("db1", Health::up, 1);
    s.have("db2", Health::up, 1);
    s.mirror.forget_state("db1");
    s.pass(milliseconds{60'000});
    s.settle();
    EXPECT_EQ(s.status("db1"), "passing");
    s.mirror.undefine("db1", s.now);
    s.settle();
    EXPECT_EQ(s.consul.at("db1"), Held{});
    EXPECT_EQ(s.status("db2"), "passing");
    s.observe("db1", Health::up, 5);
    s.settle();
    EXPECT_EQ(s.consul.at("db1"), Held{}) << "a state that comes late does not bring it back";
    s.define("db1");
    s.settle();
    EXPECT_EQ(s.status("db1"), "passing");
}

TEST(BridgeMirrorRules, WhatConsulHoldsWithoutADefinitionStays) {
    Stage s;
    s.have("db1", Health::up, 1);
    Stage next;
    next.consul = s.consul;
    next.settle();
    next.pass(milliseconds{60'000});
    next.settle();
    EXPECT_EQ(next.consul.writes(), s.consul.writes());
}

TEST(BridgeMirrorRules, AMarkerThatCameFirstDeregistersOnceConsulIsRead) {
    Stage s;
    s.have("db1", Health::up, 1);
    Stage next;
    next.consul = s.consul;
    next.mirror.undefine("db1", next.now);
    next.mirror.undefine("never-there", next.now);
    next.settle();
    EXPECT_EQ(next.consul.at("db1"), Held{});
}

TEST(BridgeMirrorRules, WhileConsulIsAwayOneRequestAtATimeTriesIt) {
    Stage s;
    s.have("db1", Health::up, 1);
    s.observe("db1", Health::down, 2);
    s.step();
    s.fail_one();
    EXPECT_EQ(s.said("keeping the latest state"), 1);
    s.observe("db1", Health::up, 3);
    s.define("db2");
    s.observe("db2", Health::up, 3);
    for (const int pause : {1000, 2000, 4000, 5000, 5000}) {
        s.pass(milliseconds{pause - 1});
        EXPECT_TRUE(s.transactions.empty());
        EXPECT_EQ(s.mirror.next_step(), s.now + milliseconds{1});
        s.pass(milliseconds{1});
        ASSERT_EQ(s.transactions.size(), 1);
        EXPECT_EQ(s.mirror.next_step(), std::nullopt) << "an answer is awaited";
        s.fail_one();
    }
    s.observe("db1", Health::down, 4);
    s.pass(milliseconds{5000});
    EXPECT_TRUE(s.full_reads.empty()) << "what is pending goes first";
    s.answer_one();
    EXPECT_EQ(s.status("db1"), "critical");
    EXPECT_EQ(s.revision("db1"), 4);
    EXPECT_EQ(s.full_reads.size(), 1) << "then everything is read";
    EXPECT_EQ(s.said("Consul answers again after 22.0 s: 2 targets written"), 1);
    EXPECT_EQ(s.said("keeping the latest state"), 1);
}

TEST(BridgeMirrorRules, ALateAnswerToWhatWasAskedBeforeConsulWentAwayTellsNothing) {
    Stage s;
    s.have("db1", Health::up, 1);
    s.observe("db1", Health::down, 2);
    s.step();
    s.mirror.no_answer("another request failed", s.now);
    s.answer_one();
    s.step();
    EXPECT_EQ(s.revision("db1"), 2);
    EXPECT_TRUE(s.mirror.counters().away);
    EXPECT_EQ(s.said("Consul answers again"), 0);
    s.pass(milliseconds{1000});
    EXPECT_EQ(s.full_reads.size(), 1) << "nothing is pending, and so a read tries";
    s.settle();
    EXPECT_FALSE(s.mirror.counters().away);
    EXPECT_EQ(s.said("Consul answers again after 1.0 s"), 1);
}

TEST(BridgeMirrorRules, ACommitWhoseAnswerWasLostIsNotWrittenAgain) {
    Stage s;
    s.have("db1", Health::up, 1);
    s.observe("db1", Health::down, 2);
    s.step();
    ASSERT_EQ(s.transactions.size(), 1);
    s.consul.execute(s.transactions.front().body);
    const std::size_t writes = s.consul.writes();
    s.fail_one();
    s.pass(milliseconds{1000});
    s.settle();
    EXPECT_EQ(s.consul.writes(), writes);
    EXPECT_EQ(s.pending(), 0);
}

TEST(BridgeMirrorRules, WhatSomebodyChangedIsRepairedAndNamed) {
    Stage s;
    s.have("db1", Health::up, 1);
    s.consul.at("db1").checks[0].status = "critical";
    s.pass(milliseconds{59'999});
    EXPECT_TRUE(s.full_reads.empty());
    s.pass(milliseconds{1});
    s.settle();
    EXPECT_EQ(s.status("db1"), "passing");
    EXPECT_EQ(s.mirror.counters().repairs, 1);
    EXPECT_EQ(
        s.said("somebody changed 1 target in Consul, which is being repaired: db1 (check 'db1-isready')"), 1);
}

TEST(BridgeMirrorRules, AReadTellsNothingOfATargetWrittenSinceItBegan) {
    Stage s;
    s.have("db1", Health::up, 1);
    s.pass(milliseconds{60'000});
    ASSERT_EQ(s.full_reads.size(), 1);
    const Snapshot old = s.consul.everything();
    s.observe("db1", Health::down, 2);
    s.step();
    s.answer_one();
    EXPECT_EQ(s.status("db1"), "critical");
    const std::size_t writes = s.consul.writes();
    s.mirror.read(s.full_reads.front().id, old, s.now);
    s.full_reads.clear();
    s.settle();
    EXPECT_EQ(s.consul.writes(), writes);
    EXPECT_EQ(s.mirror.counters().repairs, 0);
    EXPECT_EQ(s.mirror.counters().conflicts, 0);
}

TEST(BridgeMirrorRules, AnothersNodeIsLeftAloneSaidOnceAndLookedAtAgain) {
    Stage s;
    s.consul.at("db1").node = Held::HeldNode{{"10.9.9.9", {}}, s.consul.next_index()};
    s.have("db1", Health::up, 1);
    for (int i = 0; i < 3; ++i) {
        s.pass(milliseconds{60'000});
        s.settle();
    }
    EXPECT_EQ(s.consul.writes(), 0);
    EXPECT_EQ(s.said("Consul has a node of this name that pgpulse did not make"), 1);
    s.consul.at("db1").node.reset();
    s.pass(milliseconds{60'000});
    s.settle();
    EXPECT_EQ(s.status("db1"), "passing");
}

TEST(BridgeMirrorRules, ALaterRevisionInConsulStandsUntilTheBucketHasCaughtUp) {
    Stage ahead;
    ahead.have("db1", Health::down, 9);
    Stage s;
    s.consul = ahead.consul;
    s.have("db1", Health::up, 7);
    EXPECT_EQ(s.revision("db1"), 9);
    EXPECT_EQ(s.status("db1"), "critical");
    EXPECT_EQ(s.said("a later revision"), 0) << "the watch may be a moment behind";
    s.pass(milliseconds{60'000});
    s.settle();
    s.observe("db1", Health::up, 10);
    s.settle();
    EXPECT_EQ(s.revision("db1"), 10);
}

TEST(BridgeMirrorRules, TheDelayRunsFromTheFirstEventThatWasNotWritten) {
    Stage s;
    s.have("db1", Health::up, 1);
    s.mirror.take_delays();
    s.observe("db1", Health::down, 2);
    s.pass(milliseconds{30});
    s.observe("db1", Health::up, 3);
    s.pass(milliseconds{10});
    s.settle();
    const std::vector<std::chrono::nanoseconds> expected{milliseconds{40}, milliseconds{10}};
    EXPECT_EQ(s.mirror.take_delays(), expected);
}

}  // namespace
}  // namespace pgpulse::consul_bridge
