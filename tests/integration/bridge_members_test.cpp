#include "tests/support/bucket_author.hpp"
#include "tests/support/consul_agent.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/http_proxy.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/times.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pgpulse {
namespace {

using contract::Health;
using nlohmann::json;
using support::a_definition;
using support::a_state;
using support::times;
using support::wait_until;

constexpr int kSharedTargets = 30;

/// A real nats-server, a real Consul and several real bridges between them that share the targets.
class BridgeMembers : public testing::Test {
  protected:
    support::NatsServer nats;
    support::ConsulAgent consul;
    support::BucketAuthor bucket{nats.url()};
    std::map<std::string, std::unique_ptr<support::Daemon>> bridges;
    std::map<std::string, std::uint64_t> revisions;
    std::uint64_t transition = 0;

    static std::string target(int i) { return "db" + std::to_string(i); }

    void start_bridge(const std::string& id) { start_bridge(id, consul.http_url()); }

    void start_bridge(const std::string& id, const std::string& consul_url) {
        bridges[id] = std::make_unique<support::Daemon>(
            "pgpulse-consul-bridge", id,
            std::vector<std::string>{"--nats", nats.url(), "--consul", consul_url, "--reconcile-interval",
                                     "3600"});
    }

    void start_bridges(const std::vector<std::string>& ids) {
        for (const auto& id : ids) start_bridge(id);
        for (const auto& id : ids) {
            ASSERT_TRUE(wait_until([&] { return bridges[id]->readiness() == 200; })) << bridges[id]->log();
        }
    }

    void define_all() {
        for (int i = 0; i < kSharedTargets; ++i) bucket.define(a_definition(target(i)));
    }

    void flip_all(Health health) {
        ++transition;
        for (int i = 0; i < kSharedTargets; ++i)
            revisions[target(i)] = bucket.state(a_state(target(i), health, transition));
    }

    /// Of all targets KV value and check say the newest state.
    [[nodiscard]] bool all_say(const std::string& status) const {
        const auto values = consul.get("/v1/kv/health/?recurse");
        const auto checks = consul.get("/v1/health/state/" + status);
        if (values.status != 200 || checks.status != 200) return false;
        int right = 0;
        for (const auto& check : json::parse(checks.body)) {
            if (revisions.contains(check["Node"])) ++right;
        }
        if (right != kSharedTargets) return false;
        for (const auto& [name, revision] : revisions) {
            const auto raw = consul.kv_get_raw("health/" + name);
            const json value = raw ? json::parse(*raw, nullptr, false) : json{};
            if (!value.is_object() || value.value("revision", std::uint64_t{0}) != revision) return false;
        }
        return true;
    }

    [[nodiscard]] double owned(const std::string& id) const {
        return bridges.at(id)->metric("pgpulse_bridge_owned_targets").value_or(-1);
    }

    [[nodiscard]] std::string logs() const {
        std::string all;
        for (const auto& [id, bridge] : bridges) all += "--- " + id + "\n" + bridge->log();
        return all;
    }

    /// Every index that a write to what bridges manage would raise.
    [[nodiscard]] std::string indexes() const {
        std::string all = consul.get("/v1/kv/health/?recurse").body;
        for (const auto& node : json::parse(consul.get("/v1/internal/ui/nodes").body)) {
            if (node.at("Node") != "agent") all += node.dump();
        }
        return all;
    }
};

TEST_F(BridgeMembers, ShareTheTargetsAndWriteEachOnce) {
    define_all();
    flip_all(Health::up);
    start_bridges({"a", "b", "c"});
    ASSERT_TRUE(wait_until([&] { return all_say("passing"); })) << logs();
    EXPECT_TRUE(wait_until([&] { return owned("a") + owned("b") + owned("c") == kSharedTargets; })) << logs();
    for (const char* id : {"a", "b", "c"}) EXPECT_GT(owned(id), 0) << id;

    const auto operations = [&] {
        double all = 0;
        for (const auto& [id, bridge] : bridges) {
            all += bridge->metric("pgpulse_bridge_operations_total").value_or(0);
        }
        return all;
    };
    // What Consul has, a bridge has counted once nothing of it is pending.
    const auto all_counted = [&] {
        return std::ranges::all_of(bridges, [](const auto& entry) {
            return entry.second->metric("pgpulse_bridge_pending_targets") == 0;
        });
    };
    ASSERT_TRUE(wait_until(all_counted)) << logs();
    const double before = operations();
    flip_all(Health::down);
    ASSERT_TRUE(wait_until([&] { return all_say("critical"); })) << logs();
    // A value and a check of each.
    EXPECT_TRUE(wait_until([&] { return operations() >= before + 2 * kSharedTargets; }));
    EXPECT_EQ(operations(), before + 2 * kSharedTargets);
}

TEST_F(BridgeMembers, TheShareOfOneThatIsKilledIsTakenOverWithWhatItMissed) {
    define_all();
    flip_all(Health::up);
    start_bridges({"a", "b"});
    ASSERT_TRUE(wait_until([&] { return all_say("passing"); })) << logs();
    ASSERT_GT(owned("b"), 0);
    bridges["b"]->kill9();
    flip_all(Health::down);
    EXPECT_TRUE(wait_until([&] { return all_say("critical"); })) << logs();
    EXPECT_EQ(owned("a"), kSharedTargets);

    // One that comes back takes its share, and nothing is written for it.
    const std::string before = indexes();
    bridges["b"]->start();
    ASSERT_TRUE(wait_until([&] { return owned("b") > 0 && owned("a") + owned("b") == kSharedTargets; }))
        << logs();
    ASSERT_TRUE(wait_until([&] {
        return bridges["b"]->metric("pgpulse_bridge_reconciles_total").value_or(0) >= 2;
    })) << logs();
    EXPECT_EQ(indexes(), before);
    flip_all(Health::up);
    EXPECT_TRUE(wait_until([&] { return all_say("passing"); })) << logs();
}

TEST_F(BridgeMembers, OneThatIsStoppedAndGoesOnOverwritesNothing) {
    define_all();
    flip_all(Health::up);
    start_bridges({"a", "b"});
    ASSERT_TRUE(wait_until([&] { return all_say("passing"); })) << logs();
    bridges["b"]->process().signal(SIGSTOP);
    flip_all(Health::down);
    ASSERT_TRUE(wait_until([&] { return all_say("critical"); })) << logs();
    const std::string before = indexes();
    bridges["b"]->process().signal(SIGCONT);
    // It has its share again, and has read all that there is.
    ASSERT_TRUE(wait_until([&] { return owned("b") > 0 && owned("a") + owned("b") == kSharedTargets; }))
        << logs();
    ASSERT_TRUE(wait_until([&] { return bridges["b"]->readiness() == 200; })) << logs();
    flip_all(Health::up);
    ASSERT_TRUE(wait_until([&] { return all_say("passing"); })) << logs();
    EXPECT_NE(indexes(), before);
    EXPECT_EQ(bridges["b"]->metric("pgpulse_bridge_repairs_total"), 0) << logs();
}

TEST_F(BridgeMembers, WithoutNatsNothingIsWritten) {
    define_all();
    flip_all(Health::up);
    start_bridges({"a"});
    ASSERT_TRUE(wait_until([&] { return all_say("passing"); })) << logs();
    nats.kill9();
    ASSERT_TRUE(wait_until([&] {
        return bridges["a"]->log().find("does not hear itself") != std::string::npos;
    })) << logs();
    // Somebody's change is seen, and left for when it hears itself again.
    ASSERT_EQ(consul.put("/v1/catalog/deregister", R"({"Node":"db3","CheckID":"db3-isready"})").status, 200);
    const std::string before = indexes();
    EXPECT_TRUE(wait_until([&] { return bridges["a"]->metric("pgpulse_bridge_pending_targets") == 1; }))
        << logs();
    EXPECT_EQ(indexes(), before);
    nats.start();
    EXPECT_TRUE(wait_until([&] { return all_say("passing"); })) << logs();
}

TEST_F(BridgeMembers, WhatSomebodyChangedIsRepairedLongBeforeTheNextReconcile) {
    define_all();
    flip_all(Health::up);
    start_bridges({"a", "b"});
    ASSERT_TRUE(wait_until([&] { return all_say("passing"); })) << logs();
    const std::pair<std::string, std::string> harms[] = {
        {"/v1/kv/health/db1", "spoilt"},
        {"/v1/catalog/deregister", R"({"Node":"db2","CheckID":"db2-isready"})"},
        {"/v1/catalog/register",
         R"({"Node":"db4","Address":"127.0.0.1","SkipNodeUpdate":true,"Service":{"ID":"db4","Service":"db4","Port":1}})"},
        {"/v1/catalog/deregister", R"({"Node":"db5"})"},
    };
    for (const auto& [path, body] : harms) {
        ASSERT_EQ(consul.put(path, body).status, 200) << body;
        EXPECT_TRUE(wait_until([&] {
            const auto service = json::parse(consul.get("/v1/catalog/service/db4").body);
            return all_say("passing") && service.size() == 1 && service[0]["ServicePort"] == 5432;
        })) << body
            << logs();
    }
    EXPECT_NE(
        logs().find("somebody changed 1 target in Consul, which is being repaired: db4 (service 'db4')"),
        std::string::npos)
        << logs();
}

TEST_F(BridgeMembers, OneWhoseConsulIsAwayLeavesItsShareToTheOthersUntilItIsBack) {
    const support::HttpProxy proxy{consul.http_port()};
    define_all();
    flip_all(Health::up);
    start_bridge("a");
    start_bridge("b", proxy.url());
    ASSERT_TRUE(wait_until([&] { return all_say("passing"); })) << logs();
    ASSERT_TRUE(wait_until([&] { return owned("a") > 0 && owned("b") > 0; })) << logs();
    proxy.answer(503);
    flip_all(Health::down);
    ASSERT_TRUE(wait_until([&] { return all_say("critical"); })) << logs();
    EXPECT_TRUE(wait_until([&] { return owned("a") == kSharedTargets && owned("b") == 0; })) << logs();
    EXPECT_EQ(bridges["b"]->readiness(), 503);
    flip_all(Health::up);
    ASSERT_TRUE(wait_until([&] { return all_say("passing"); })) << logs();

    proxy.pass();
    EXPECT_TRUE(wait_until([&] { return owned("b") > 0 && owned("a") + owned("b") == kSharedTargets; }))
        << logs();
    EXPECT_EQ(times("leaves its targets to the other bridges", bridges["b"]->log()), 1) << logs();
    EXPECT_TRUE(wait_until([&] {
        return times("takes its share of the targets again", bridges["b"]->log()) == 1;
    })) << logs();
    EXPECT_EQ(times("leaves its targets", bridges["a"]->log()), 0) << logs();
    flip_all(Health::down);
    EXPECT_TRUE(wait_until([&] { return all_say("critical"); })) << logs();
}

TEST_F(BridgeMembers, OneThatNeverReachedItsConsulHasNoShare) {
    define_all();
    flip_all(Health::up);
    start_bridge("a");
    // Nobody listens there.
    start_bridge("b", "http://127.0.0.1:1");
    EXPECT_TRUE(wait_until([&] { return all_say("passing"); })) << logs();
    EXPECT_TRUE(wait_until([&] { return owned("a") == kSharedTargets && owned("b") == 0; })) << logs();
}

TEST_F(BridgeMembers, AnIdleOneNoticesThatItsConsulIsAway) {
    define_all();
    flip_all(Health::up);
    start_bridges({"a"});
    ASSERT_TRUE(wait_until([&] { return all_say("passing"); })) << logs();
    consul.kill9();
    EXPECT_TRUE(wait_until([&] { return bridges["a"]->readiness() == 503; })) << logs();
    EXPECT_TRUE(wait_until([&] { return bridges["a"]->metric("pgpulse_bridge_consul_reachable") == 0; }));
    consul.start();
    EXPECT_TRUE(wait_until([&] { return bridges["a"]->readiness() == 200; })) << logs();
}

}  // namespace
}  // namespace pgpulse
