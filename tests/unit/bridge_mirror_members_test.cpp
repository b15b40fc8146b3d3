#include "tests/support/mirror_stage.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pgpulse::consul_bridge {
namespace {

using contract::Health;
using std::chrono::milliseconds;
using Stage = support::MirrorStage;

const contract::WallTime kNextEpoch{std::chrono::microseconds{2'000'000}};

/// So many targets that of two bridges each owns some.
std::vector<std::string> some_targets() {
    std::vector<std::string> names;
    for (int i = 0; i < 40; ++i) names.push_back("db" + std::to_string(i));
    return names;
}

void have_all(Stage& s, std::uint64_t revision = 1, Health health = Health::up) {
    for (const auto& name : some_targets()) {
        s.define(name);
        s.observe(name, health, revision);
    }
    s.settle();
}

std::size_t registered(Stage& s) {
    std::size_t count = 0;
    for (const auto& name : some_targets()) count += s.status(name) == "none" ? 0 : 1;
    return count;
}

TEST(BridgeMirrorMembers, WhoeverDoesNotServeYetWritesNothing) {
    Stage s;
    s.mirror.members({}, s.now);
    have_all(s);
    EXPECT_EQ(s.consul.writes(), 0);
    EXPECT_EQ(s.pending(), 0);
    s.mirror.members({"bridge"}, s.now);
    s.settle();
    EXPECT_EQ(registered(s), 40);
    EXPECT_EQ(s.mirror.counters().owned, 40);
}

TEST(BridgeMirrorMembers, WhoeverComesToServeDuringTheFirstReadWritesOnceItIsDone) {
    Stage s;
    s.mirror.members({}, s.now);
    s.define("db1");
    s.observe("db1", Health::up, 1);
    s.step();
    ASSERT_EQ(s.full_reads.size(), 1);
    s.mirror.members({"bridge"}, s.now);
    s.settle();
    EXPECT_EQ(s.status("db1"), "passing");
    EXPECT_EQ(s.mirror.counters().reconciles, 2);
}

TEST(BridgeMirrorMembers, EachTargetIsOneBridgesAlone) {
    Stage a{"a"};
    Stage b{"b"};
    for (Stage* each : {&a, &b}) {
        each->mirror.members({"a", "b"}, each->now);
        have_all(*each);
    }
    EXPECT_GT(registered(a), 5);
    EXPECT_GT(registered(b), 5);
    EXPECT_EQ(registered(a) + registered(b), 40);
    for (const auto& name : some_targets()) {
        EXPECT_NE(a.status(name) == "none", b.status(name) == "none") << name;
    }
    EXPECT_EQ(a.mirror.counters().owned, registered(a));
}

TEST(BridgeMirrorMembers, TheShareOfOneThatIsGoneIsTakenOver) {
    Stage s{"a"};
    s.mirror.members({"a", "b"}, s.now);
    have_all(s);
    const std::size_t before = registered(s);
    ASSERT_LT(before, 40);
    s.mirror.members({"a"}, s.now);
    s.settle();
    EXPECT_EQ(registered(s), 40);
    // And given back: what the other writes then is left alone.
    s.mirror.members({"a", "b"}, s.now);
    const std::size_t writes = s.consul.writes();
    have_all(s, 2, Health::down);
    EXPECT_EQ(s.consul.writes(), writes + 2 * before);
}

TEST(BridgeMirrorMembers, WhatTheOwnerBeforeWroteIsNotWrittenAgain) {
    Stage a{"a"};
    have_all(a);
    Stage b{"b"};
    b.consul = a.consul;
    b.mirror.members({"a"}, b.now);
    have_all(b);
    // Since then the owner wrote a transition of each, and other tags.
    have_all(a, 2, Health::down);
    for (const auto& name : some_targets()) {
        auto definition = support::a_definition(name);
        definition.tags = {"blue"};
        a.mirror.define(definition, a.now);
        b.mirror.define(definition, b.now);
        b.observe(name, Health::down, 2);
    }
    a.settle();
    b.consul = a.consul;
    const std::size_t writes = a.consul.writes();
    b.mirror.members({"b"}, b.now);
    b.settle();
    EXPECT_EQ(b.consul.writes(), writes);
    EXPECT_EQ(b.pending(), 0);
    EXPECT_EQ(b.mirror.counters().repairs, 0);
}

TEST(BridgeMirrorMembers, WhoeverDoesNotHearItselfWritesNothingUntilItDoes) {
    Stage s;
    s.have("db1", Health::up, 1);
    s.mirror.hear(false, s.now);
    s.observe("db1", Health::down, 2);
    s.settle();
    EXPECT_EQ(s.status("db1"), "passing");
    EXPECT_EQ(s.pending(), 1);
    s.pass(milliseconds{61'000});
    s.settle();
    EXPECT_EQ(s.status("db1"), "passing");
    EXPECT_EQ(s.mirror.counters().reconciles, 2) << "it reads all the same";
    s.mirror.hear(true, s.now);
    s.settle();
    EXPECT_EQ(s.status("db1"), "critical");
}

TEST(BridgeMirrorMembers, WhatBecameStaleIsMarkedAlsoByOneThatIsDeaf) {
    Stage s;
    s.have("db1", Health::up, 1);
    s.mirror.hear(false, s.now);
    s.mirror.mark_stale(Stale{kNextEpoch, "no aggregator is alive"}, s.now);
    s.settle();
    EXPECT_EQ(s.status("db1"), "warning");
    s.mirror.mark_stale(std::nullopt, s.now);
    s.mirror.hear(true, s.now);
    s.settle();
    EXPECT_EQ(s.status("db1"), "passing");
}

TEST(BridgeMirrorMembers, AnotherEpochsValueIsOverwrittenOnceNatsWasAsked) {
    Stage old;
    old.have("db1", Health::down, 900);
    Stage s;
    s.consul = old.consul;
    s.bucket = {kNextEpoch, 1};
    s.define("db1");
    s.observe("db1", Health::up, 1, kNextEpoch);
    s.step();
    s.answer_one();  // everything is read
    ASSERT_EQ(s.questions.size(), 1);
    EXPECT_TRUE(s.transactions.empty());
    s.settle();
    EXPECT_EQ(s.status("db1"), "passing");
    EXPECT_EQ(s.revision("db1"), 1);
    EXPECT_EQ(s.said("another bucket"), 0);
}

TEST(BridgeMirrorMembers, ALaterEpochsValueStandsUntilTheOwnWatchHasIt) {
    Stage next;
    next.define("db1");
    next.observe("db1", Health::down, 3, kNextEpoch);
    next.settle();
    Stage s;
    s.consul = next.consul;
    s.bucket = {kNextEpoch, 3};
    s.have("db1", Health::up, 900);
    for (int i = 0; i < 5; ++i) {
        s.pass(milliseconds{1000});
        s.settle();
    }
    EXPECT_EQ(s.status("db1"), "critical");
    EXPECT_EQ(s.said("another bucket"), 1);
    s.observe("db1", Health::up, 4, kNextEpoch);
    s.settle();
    EXPECT_EQ(s.status("db1"), "passing");
}

TEST(BridgeMirrorMembers, WithoutNatsAnswerAnotherEpochsValueStands) {
    Stage old;
    old.have("db1", Health::down, 900);
    Stage s;
    s.consul = old.consul;
    s.define("db1");
    s.observe("db1", Health::up, 1, kNextEpoch);
    s.step();
    s.answer_one();
    ASSERT_EQ(s.questions.size(), 1);
    s.fail_one();
    EXPECT_TRUE(s.questions.empty()) << "asked once a second";
    EXPECT_EQ(s.status("db1"), "critical");
    s.bucket = {kNextEpoch, 1};
    s.pass(milliseconds{1000});
    s.settle();
    EXPECT_EQ(s.status("db1"), "passing");
}

TEST(BridgeMirrorMembers, ARevisionThatTheBucketLostIsOverwritten) {
    Stage ahead;
    ahead.have("db1", Health::down, 900);
    Stage s;
    s.consul = ahead.consul;
    s.bucket = {support::kStageEpoch, 700};
    s.have("db1", Health::up, 650);
    EXPECT_EQ(s.revision("db1"), 650);
    EXPECT_EQ(s.status("db1"), "passing");
}

TEST(BridgeMirrorMembers, WhatSomebodyMayHaveWrittenIsLookedForAtOnceAlsoDuringAReading) {
    Stage s;
    s.have("db1", Health::up, 1);
    s.have("db2", Health::up, 2);
    s.consul.at("db1").checks[0].status = "critical";
    s.mirror.read_soon(s.now);
    s.step();
    ASSERT_EQ(s.full_reads.size(), 1);
    const Snapshot early = s.consul.everything();
    s.consul.at("db2").service->tags = {"green"};
    s.mirror.read_soon(s.now);
    s.mirror.read(s.full_reads.front().id, early, s.now);
    s.full_reads.clear();
    s.settle();
    EXPECT_EQ(s.status("db1"), "passing");
    EXPECT_TRUE(s.consul.at("db2").service->tags.empty());
}

TEST(BridgeMirrorMembers, ALongListOfTargetsIsToldHowFarItIs) {
    Stage s;
    s.settle();
    for (int i = 0; i < 5000; ++i) {
        const std::string name = "t" + std::to_string(i);
        s.define(name);
        s.observe(name, Health::up, 1);
    }
    s.step();
    EXPECT_EQ(s.said("writing to Consul"), 0);
    s.pass(milliseconds{5000});
    EXPECT_EQ(s.said("writing to Consul: 0 of 5000 targets"), 1);
    for (int i = 0; i < 100; ++i) s.answer_one();
    s.pass(milliseconds{5000});
    EXPECT_EQ(s.said("writing to Consul: 1600 of 5000 targets"), 1);
    s.settle();
    EXPECT_EQ(s.said("Consul has them all: 5000 targets in 10.0 s"), 1);
    EXPECT_EQ(s.mirror.oldest_pending(), std::nullopt);
}

TEST(BridgeMirrorMembers, TheOldestThatWaitsIsKnown) {
    Stage s;
    s.have("db1", Health::up, 1);
    s.mirror.hear(false, s.now);
    s.observe("db1", Health::down, 2);
    const Mono since = s.now;
    s.pass(milliseconds{700});
    s.define("db2");
    s.observe("db2", Health::up, 3);
    s.step();
    EXPECT_EQ(s.mirror.oldest_pending(), since);
}

}  // namespace
}  // namespace pgpulse::consul_bridge
