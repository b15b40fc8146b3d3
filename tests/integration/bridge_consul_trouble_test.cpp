#include "tests/support/bucket_author.hpp"
#include "tests/support/consul_agent.hpp"
#include "tests/support/consul_watch.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/times.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace pgpulse {
namespace {

using contract::Health;
using nlohmann::json;
using support::a_definition;
using support::a_state;
using support::times;
using support::wait_until;

/// A real nats-server, a real Consul that is killed, frozen and wiped, and a real bridge between them.
class BridgeConsulTrouble : public testing::Test {
  protected:
    support::NatsServer nats;
    support::ConsulAgent consul;
    support::BucketAuthor bucket{nats.url()};
    std::unique_ptr<support::Daemon> bridge;
    std::map<std::string, std::uint64_t> transitions;

    void start_bridge() {
        bridge = std::make_unique<support::Daemon>(
            "pgpulse-consul-bridge", "bridge-1",
            std::vector<std::string>{"--nats", nats.url(), "--consul", consul.http_url()});
    }

    [[nodiscard]] bool ready() const { return bridge->readiness() == 200; }

    std::uint64_t flip(const std::string& target, Health health) {
        return bucket.state(a_state(target, health, ++transitions[target]));
    }

    [[nodiscard]] bool says(const std::string& target, const std::string& status,
                            std::uint64_t revision) const {
        const auto raw = consul.kv_get_raw("health/" + target);
        return raw && json::parse(*raw)["revision"] == revision &&
               consul.check_status(target + "-isready", target) == status;
    }
};

TEST_F(BridgeConsulTrouble, ConsulThatIsNotThereAtStartIsSaidOnceAndMet) {
    consul.stop();
    bucket.define(a_definition("db1"));
    const auto revision = flip("db1", Health::up);
    start_bridge();
    ASSERT_TRUE(wait_until([&] { return times("trying again until it answers", bridge->log()) == 1; }));
    EXPECT_EQ(bridge->readiness(), 503);
    consul.start();
    EXPECT_TRUE(wait_until([&] { return says("db1", "passing", revision); })) << bridge->log();
    EXPECT_TRUE(wait_until([&] { return ready(); })) << bridge->log();
    EXPECT_EQ(times("cannot be reached", bridge->log()), 1) << bridge->log();
    EXPECT_EQ(times("Consul is read", bridge->log()), 1) << bridge->log();
}

TEST_F(BridgeConsulTrouble, NatsThatIsNotThereAtStartIsSaidOnceAndMet) {
    bucket.define(a_definition("db1"));
    const auto revision = flip("db1", Health::up);
    nats.stop();
    start_bridge();
    ASSERT_TRUE(wait_until([&] { return bridge->readiness() == 503; }));
    nats.start();
    EXPECT_TRUE(wait_until([&] { return says("db1", "passing", revision); })) << bridge->log();
    EXPECT_EQ(times("cannot be reached yet", bridge->log()), 1) << bridge->log();
}

TEST_F(BridgeConsulTrouble, TheLatestStatesLandWhenConsulComesBack) {
    for (const char* name : {"db1", "db2", "db3"}) {
        bucket.define(a_definition(name));
        flip(name, Health::up);
    }
    start_bridge();
    ASSERT_TRUE(wait_until([&] { return consul.check_status("db3-isready") == "passing" && ready(); }))
        << bridge->log();
    // What Consul has is pending until the bridge has Consul's answer.
    ASSERT_TRUE(wait_until([&] { return bridge->metric("pgpulse_bridge_pending_targets") == 0; }));

    consul.kill9();
    flip("db1", Health::down);
    flip("db1", Health::up);
    const auto last1 = flip("db1", Health::down);
    const auto last2 = flip("db2", Health::unknown);
    ASSERT_TRUE(wait_until([&] { return bridge->metric("pgpulse_bridge_pending_targets") == 2 && !ready(); }))
        << bridge->log();
    consul.start();
    EXPECT_TRUE(wait_until([&] { return says("db1", "critical", last1) && says("db2", "warning", last2); }))
        << bridge->log();
    EXPECT_EQ(consul.check_status("db3-isready"), "passing");
    EXPECT_TRUE(wait_until([&] { return times("Consul answers again after", bridge->log()) == 1; }));
    EXPECT_EQ(times("keeping the latest state", bridge->log()), 1) << bridge->log();
    EXPECT_EQ(times(": 2 targets written", bridge->log()), 1) << bridge->log();
    EXPECT_EQ(bridge->metric("pgpulse_bridge_conflicts_total"), 0);
}

TEST_F(BridgeConsulTrouble, AFrozenConsulGetsTheLatestStatesOnceItThaws) {
    bucket.define(a_definition("db1"));
    flip("db1", Health::up);
    start_bridge();
    ASSERT_TRUE(wait_until([&] { return consul.check_status("db1-isready") == "passing"; })) << bridge->log();
    consul.process().stop();
    flip("db1", Health::down);
    flip("db1", Health::unknown);
    const auto last = flip("db1", Health::down);
    ASSERT_TRUE(wait_until([&] { return bridge->metric("pgpulse_bridge_pending_targets") == 1; }));
    consul.process().cont();
    EXPECT_TRUE(wait_until([&] { return says("db1", "critical", last); })) << bridge->log();
}

TEST_F(BridgeConsulTrouble, ABridgeStopsInOrderWhileConsulIsFrozen) {
    bucket.define(a_definition("db1"));
    start_bridge();
    ASSERT_TRUE(wait_until([&] { return ready(); })) << bridge->log();
    consul.process().stop();
    flip("db1", Health::up);
    ASSERT_TRUE(wait_until([&] { return bridge->metric("pgpulse_bridge_pending_targets") == 1; }));
    EXPECT_EQ(bridge->stop(), 0);
    // On a machine that stands still meanwhile the limit of an end comes first, and says so.
    EXPECT_EQ(times("stopped with 1 target not written", bridge->log()) +
                  times("not stopped within", bridge->log()),
              1)
        << bridge->log();
    consul.process().cont();
}

TEST_F(BridgeConsulTrouble, AConsulThatLostAllIsFilledAgain) {
    constexpr int kTargets = 20;
    std::map<std::string, std::uint64_t> newest;
    for (int i = 0; i < kTargets; ++i) {
        const std::string name = "db" + std::to_string(i);
        bucket.define(a_definition(name));
        newest[name] = flip(name, Health::up);
    }
    start_bridge();
    const auto all = [&] {
        return std::ranges::all_of(
            newest, [&](const auto& entry) { return says(entry.first, "passing", entry.second); });
    };
    ASSERT_TRUE(wait_until(all)) << bridge->log();
    consul.stop();
    consul.wipe();
    // The bridge notices by a state of its own: nothing else tells it.
    newest["db1"] = flip("db1", Health::up);
    ASSERT_TRUE(wait_until([&] { return !ready(); })) << bridge->log();
    consul.start();
    EXPECT_TRUE(wait_until(all)) << bridge->log();
}

TEST_F(BridgeConsulTrouble, ManyTargetsFlipTogetherAndAWatchSeesThemAll) {
    constexpr int kTargets = 200;
    std::map<std::string, std::uint64_t> newest;
    const auto name_of = [](int i) { return "db" + std::to_string(i); };
    for (int i = 0; i < kTargets; ++i) bucket.define(a_definition(name_of(i)));
    for (int i = 0; i < kTargets; ++i) flip(name_of(i), Health::up);
    start_bridge();
    const support::ConsulWatch watch{consul.http_url(), {"-type=keyprefix", "-prefix=health/"}};
    ASSERT_TRUE(wait_until([&] {
        return bridge->metric("pgpulse_bridge_operations_total") == kTargets * 4 &&
               bridge->metric("pgpulse_bridge_pending_targets") == 0;
    })) << bridge->log();

    for (int i = 0; i < kTargets; ++i) newest[name_of(i)] = flip(name_of(i), Health::down);
    EXPECT_TRUE(wait_until([&] {
        const auto entries = watch.entries();
        if (entries.empty()) return false;
        const json seen = json::parse(entries.back().json);
        if (!seen.is_array() || seen.size() != kTargets) return false;
        return std::ranges::all_of(seen,
                                   [](const json& key) { return key["ModifyIndex"] > key["CreateIndex"]; });
    })) << bridge->log();
    for (const auto& [name, revision] : newest) {
        EXPECT_TRUE(wait_until([&] { return says(name, "critical", revision); })) << name << bridge->log();
    }
    // One operation for the value and one for the check, and nothing twice.
    EXPECT_EQ(bridge->metric("pgpulse_bridge_operations_total"), kTargets * 4 + kTargets * 2);
    EXPECT_EQ(bridge->metric("pgpulse_bridge_conflicts_total"), 0);
}

}  // namespace
}  // namespace pgpulse
