#include "consul-bridge/denials.hpp"
#include "tests/support/mirror_stage.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pgpulse::consul_bridge {
namespace {

using contract::Health;
using std::chrono::milliseconds;
using Stage = support::MirrorStage;

const MissingRight kKey{Resource::key, "writing KV key 'health/db0'",
                        R"(key_prefix "health/" { policy = "write" })"};
const MissingRight kService{Resource::service, "writing service 's' of node 'db0'",
                            R"(service "s" { policy = "write" })"};

std::string name_of(int i) { return "db" + std::to_string(i); }

std::vector<std::string> texts(const std::vector<Denials::Line>& lines) {
    std::vector<std::string> texts;
    for (const auto& line : lines) texts.push_back(line.text);
    return texts;
}

TEST(BridgeDenials, OfManyTargetsAreOneLineAMinuteForEachKindOfRule) {
    Denials denials;
    const Mono start{};
    for (int i = 0; i < 42; ++i) {
        denials.deny(name_of(i), kKey, start);
        if (i == 0) denials.deny(name_of(i), kService, start);
    }
    EXPECT_TRUE(denials.lines(start).empty());
    EXPECT_EQ(texts(denials.lines(start + Denials::kGather)),
              (std::vector<std::string>{
                  "Consul denies writing KV key 'health/db0' (and of 41 more targets): the token needs "
                  "key_prefix \"health/\" { policy = \"write\" }",
                  "Consul denies writing service 's' of node 'db0': the token needs service \"s\" { policy = "
                  "\"write\" }"}));
    EXPECT_TRUE(denials.lines(start + Denials::kGather + Denials::kSayAgain - milliseconds{1}).empty());
    EXPECT_EQ(denials.lines(start + Denials::kGather + Denials::kSayAgain).size(), 2);
    EXPECT_EQ(denials.size(), 42);
}

TEST(BridgeDenials, OneTransactionIsTriedAtATimeUntilOneOfThemIsAllowed) {
    Denials denials;
    Mono now{};
    for (int i = 0; i < 100; ++i) denials.deny(name_of(i), kKey, now);
    EXPECT_TRUE(denials.due(now + Denials::kRetry - milliseconds{1}).empty());
    std::string first;
    for (int i = 0; i < 7; ++i) {
        now += Denials::kRetry;
        const auto tried = denials.due(now);
        ASSERT_EQ(tried.size(), Denials::kAtOnce);
        EXPECT_NE(tried.front(), first) << "the one that waited longest is tried";
        first = tried.front();
        for (const auto& name : tried) denials.deny(name, kKey, now);
        EXPECT_EQ(denials.size(), 100);
    }
    (void)denials.lines(now);
    now += Denials::kRetry;
    const auto tried = denials.due(now);
    denials.settle(tried.front(), true);
    EXPECT_EQ(denials.next(), Mono{});
    EXPECT_EQ(denials.due(now).size(), 100 - Denials::kAtOnce);
    for (int i = 0; i < 100; ++i) denials.settle(name_of(i), true);
    EXPECT_EQ(texts(denials.lines(now)), std::vector<std::string>{"Consul allows writing KV keys again"});
    EXPECT_EQ(denials.size(), 0);
    EXPECT_EQ(denials.next(), std::nullopt);
}

TEST(BridgeDenials, WhatWasDeniedForAMomentOnlyIsNotSaid) {
    Denials denials;
    denials.deny("db0", kKey, {});
    denials.settle("db0", true);
    EXPECT_TRUE(denials.lines(Mono{Denials::kGather}).empty());
    EXPECT_EQ(denials.next(), std::nullopt);
}

Refused deny(std::initializer_list<std::size_t> operations) {
    Refused refused;
    for (const auto operation : operations) refused.faults.push_back({operation, "Permission denied"});
    return refused;
}

TEST(BridgeMirrorDenied, ATargetWaitsWithoutReadsAndHarmsNobodyElse) {
    Stage s;
    s.settle();
    for (const char* name : {"db1", "db2"}) {
        s.define(name);
        s.observe(name, Health::up, 1);
    }
    s.step();
    ASSERT_EQ(s.transactions.size(), 1);
    s.mirror.finished(s.take_transaction().id, deny({2, 3}), s.now);
    s.settle();
    EXPECT_EQ(s.status("db2"), "passing");
    EXPECT_EQ(s.status("db1"), "none");
    EXPECT_TRUE(s.reads.empty()) << "a right that is missing is nothing to read for";
    EXPECT_EQ(s.mirror.counters().denied, 1);
    EXPECT_EQ(s.mirror.counters().conflicts, 1);

    // Whatever happens to it meanwhile is one transaction every few seconds.
    s.observe("db1", Health::down, 2);
    for (int i = 0; i < 3; ++i) {
        s.pass(Denials::kRetry);
        ASSERT_EQ(s.transactions.size(), 1) << i;
        s.mirror.finished(s.take_transaction().id, deny({2}), s.now);
        s.step();
    }
    EXPECT_EQ(
        s.said(
            "Consul denies writing service 'db1' of node 'db1': the token needs service \"db1\" { policy = "
            "\"write\" }"),
        1);
    s.pass(Denials::kRetry);
    s.settle();
    EXPECT_EQ(s.status("db1"), "critical");
    EXPECT_EQ(s.said("Consul allows writing services and their checks again"), 1);
    EXPECT_EQ(s.mirror.counters().denied, 0);
    EXPECT_EQ(s.pending(), 0);
}

TEST(BridgeMirrorDenied, ManyTargetsAreAllWrittenOnceTheRightIsThere) {
    constexpr int kTargets = 200;
    Stage s;
    s.settle();
    for (int i = 0; i < kTargets; ++i) {
        s.define(name_of(i));
        s.observe(name_of(i), Health::up, 1);
    }
    const auto deny_all = [&s] {
        std::size_t count = 0;
        s.step();
        while (!s.transactions.empty()) {
            const SendTransaction transaction = s.take_transaction();
            Refused refused;
            for (std::size_t i = 0; i < transaction.operations; i += 4)
                refused.faults.push_back({i, "Permission denied"});
            s.mirror.finished(transaction.id, refused, s.now);
            s.step();
            ++count;
        }
        return count;
    };
    deny_all();
    EXPECT_EQ(s.mirror.counters().denied, kTargets);
    std::size_t tried = 0;
    for (int i = 0; i < 13; ++i) {
        s.now += Denials::kRetry;
        tried += deny_all();
    }
    EXPECT_EQ(tried, 13);
    EXPECT_EQ(s.said("Consul denies writing KV key 'health/db"), 2);
    s.pass(Denials::kRetry);
    s.settle();
    EXPECT_EQ(s.mirror.counters().denied, 0);
    EXPECT_EQ(s.pending(), 0);
    EXPECT_EQ(s.said("Consul allows writing KV keys again"), 1);
    EXPECT_EQ(s.mirror.counters().transactions_committed, 13);
}

TEST(BridgeMirrorDenied, ReadsThatShowNothingOverwriteAndRemoveNothing) {
    Stage s;
    s.have("db1", Health::up, 1);
    s.have("db2", Health::up, 1);
    const std::size_t before = s.consul.writes();
    // As Consul answers a token without rights: nothing there, and nothing may be written.
    s.pass(milliseconds{60'000});
    ASSERT_EQ(s.full_reads.size(), 1);
    s.mirror.read(s.full_reads.front().id, Snapshot{}, s.now);
    s.full_reads.pop_front();
    s.step();
    while (!s.transactions.empty()) {
        const SendTransaction transaction = s.take_transaction();
        // What cas 0 says of a key and a node that are there.
        EXPECT_NE(transaction.body.find("\"Index\":0"), std::string::npos);
        const auto outcome = s.consul.execute(transaction.body);
        EXPECT_TRUE(std::holds_alternative<Refused>(outcome));
        s.mirror.finished(transaction.id, deny({0, 4}), s.now);
        s.step();
    }
    EXPECT_EQ(s.consul.writes(), before);
    EXPECT_EQ(s.mirror.counters().denied, 2);
}

}  // namespace
}  // namespace pgpulse::consul_bridge
