#include "consul-bridge/root_value.hpp"
#include "tests/support/mirror_stage.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>

// What a mirror does with the older pipeline's keys, and with targets that stay.
namespace pgpulse::consul_bridge {
namespace {

using contract::Health;
using std::chrono::milliseconds;
using Stage = support::MirrorStage;

Mirror::Settings compatible() {
    Mirror::Settings settings;
    settings.compat = Compat::consul_postgres;
    return settings;
}

Mirror::Settings keeping() {
    Mirror::Settings settings;
    settings.keep_removed = true;
    return settings;
}

std::string status_at_root(Stage& s, const std::string& target) {
    const auto& root = s.consul.at(target).root;
    return root ? nlohmann::json::parse(root->value).at("payload").at(0).at("Status") : "none";
}

TEST(BridgeCompatRules, TheKeyAtTheRootGoesWithTheRest) {
    Stage s{compatible()};
    s.have("db1", Health::up, 1);
    EXPECT_EQ(status_at_root(s, "db1"), "passing");
    s.observe("db1", Health::down, 2);
    s.step();
    EXPECT_EQ(s.transactions.size(), 1);
    s.settle();
    EXPECT_EQ(status_at_root(s, "db1"), "critical");
    s.pass(milliseconds{61'000});
    s.settle();
    EXPECT_EQ(s.consul.idle_writes(), 0);
    EXPECT_EQ(s.said("somebody changed"), 0);
    s.mirror.undefine("db1", s.now);
    s.settle();
    EXPECT_EQ(s.consul.at("db1"), Held{});
}

TEST(BridgeCompatRules, ABridgeThatStartsFindsItsKeyAtTheRoot) {
    Stage s{compatible()};
    s.have("db1", Health::up, 1);
    Stage again{compatible()};
    again.consul = s.consul;
    const std::size_t before = again.consul.writes();
    again.have("db1", Health::up, 1);
    EXPECT_EQ(again.consul.writes(), before);
}

TEST(BridgeCompatRules, AnothersKeyIsLeftAloneAndTheRestIsWritten) {
    Stage s{compatible()};
    s.consul.at("db1").root = Held::HeldRoot{"theirs", RootAuthor::other, s.consul.next_index()};
    s.have("db1", Health::up, 1);
    s.observe("db1", Health::down, 2);
    s.settle();
    EXPECT_EQ(s.status("db1"), "critical");
    EXPECT_EQ(s.consul.at("db1").root->value, "theirs");
    EXPECT_EQ(s.said("KV key 'db1' that neither"), 1);
    EXPECT_EQ(s.pending(), 0);

    s.consul.at("db1").checks[0].status = "banana";
    s.pass(milliseconds{61'000});
    s.settle();
    EXPECT_EQ(s.status("db1"), "critical");
    EXPECT_EQ(s.said("somebody changed 1 target"), 1);

    s.mirror.undefine("db1", s.now);
    s.settle();
    EXPECT_EQ(s.consul.at("db1").root->value, "theirs");
    EXPECT_FALSE(s.consul.at("db1").node);
}

TEST(BridgeCompatRules, TheOldPipelinesKeyIsTakenOver) {
    Stage s{compatible()};
    const std::string old = R"({ "updated_at": "26/04/2022 09:10:11", "payload": [] })";
    ASSERT_EQ(author_of_root_value("db1", old), RootAuthor::old_pipeline);
    s.consul.at("db1").root = Held::HeldRoot{old, RootAuthor::old_pipeline, s.consul.next_index()};
    s.have("db1", Health::up, 1);
    EXPECT_EQ(status_at_root(s, "db1"), "passing");

    // It still runs, and comes in between.
    s.consul.at("db1").root = Held::HeldRoot{old, RootAuthor::old_pipeline, s.consul.next_index()};
    s.observe("db1", Health::down, 2);
    s.settle();
    EXPECT_EQ(status_at_root(s, "db1"), "critical");
    EXPECT_EQ(s.status("db1"), "critical");
}

TEST(BridgeCompatRules, WithoutItTheKeyAtTheRootIsNotTouched) {
    Stage s;
    s.consul.at("db1").root = Held::HeldRoot{"theirs", RootAuthor::other, s.consul.next_index()};
    s.have("db1", Health::up, 1);
    EXPECT_EQ(s.consul.at("db1").root->value, "theirs");
    EXPECT_EQ(s.said("KV key 'db1'"), 0);
}

TEST(BridgeKeepRemovedRules, ARemovedTargetStaysAsItWasLastWritten) {
    Stage s{keeping()};
    s.have("db1", Health::up, 1);
    s.have("db2", Health::up, 2);
    s.mirror.undefine("db1", s.now);
    s.observe("db1", Health::down, 3);
    s.settle();
    s.pass(milliseconds{61'000});
    s.settle();
    EXPECT_EQ(s.status("db1"), "passing");
    EXPECT_EQ(s.revision("db1"), 1);
    EXPECT_EQ(s.said("target 'db1' was removed: kept in Consul"), 1);
    EXPECT_EQ(s.pending(), 0);

    // Defined again it is written again.
    s.define("db1");
    s.settle();
    EXPECT_EQ(s.status("db1"), "critical");
}

}  // namespace
}  // namespace pgpulse::consul_bridge
