#include "common/contract/names.hpp"
#include "tests/support/bucket_author.hpp"
#include "tests/support/consul_agent.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pgpulse {
namespace {

using contract::Health;
using nlohmann::json;
using support::a_definition;
using support::a_state;
using support::wait_until;

/// A real nats-server, a real Consul and a real bridge between them; the test writes the buckets and reads
/// Consul.
class BridgeMirror : public testing::Test {
  protected:
    support::NatsServer nats;
    support::ConsulAgent consul;
    support::BucketAuthor bucket{nats.url()};
    std::unique_ptr<support::Daemon> bridge;

    void start_bridge(const std::string& reconcile_seconds = "3600") {
        bridge = std::make_unique<support::Daemon>(
            "pgpulse-consul-bridge", "bridge-1",
            std::vector<std::string>{"--nats", nats.url(), "--consul", consul.http_url(),
                                     "--reconcile-interval", reconcile_seconds});
    }

    void start_ready_bridge(const std::string& reconcile_seconds = "3600") {
        start_bridge(reconcile_seconds);
        ASSERT_TRUE(wait_until([&] { return bridge->readiness() == 200; })) << bridge->log();
    }

    [[nodiscard]] json read(const std::string& path) const {
        const auto answer = consul.get(path);
        return answer.status == 200 ? json::parse(answer.body) : json{};
    }

    /// The KV value, an empty object where there is none or it is no JSON.
    [[nodiscard]] json value(const std::string& target) const {
        const auto raw = consul.kv_get_raw("health/" + target);
        const json parsed = raw ? json::parse(*raw, nullptr, false) : json{};
        return parsed.is_object() ? parsed : json::object();
    }

    [[nodiscard]] bool has_value(const std::string& target) const {
        return consul.kv_get_raw("health/" + target).has_value();
    }

    [[nodiscard]] bool says(const std::string& target, const std::string& status,
                            std::uint64_t revision) const {
        const json held = value(target);
        return consul.check_status(target + "-isready", target) == status && held.is_object() &&
               held.value("revision", std::uint64_t{0}) == revision;
    }

    /// All that Consul holds of targets, with the indexes that every write raises. The agent's own node is
    /// left out: Consul fills it in at its leisure.
    [[nodiscard]] std::string everything() const {
        std::string all = consul.get("/v1/kv/health/?recurse").body;
        for (const auto& node : read("/v1/internal/ui/nodes")) {
            if (node.at("Node") != "agent") all += node.dump();
        }
        return all;
    }

    void wait_for_reconciles(int number) {
        const auto reconciles = [&] { return bridge->metric("pgpulse_bridge_reconciles_total").value_or(0); };
        const double before = reconciles();
        ASSERT_TRUE(wait_until([&] { return reconciles() >= before + number; })) << bridge->log();
    }
};

TEST_F(BridgeMirror, OneTargetIsANodeAServiceACheckAndAValue) {
    auto definition = a_definition("db1");
    definition.service = "orders";
    definition.port = 15432;
    definition.tags = {"blue"};
    definition.meta = {{"team", "shop"}};
    bucket.define(definition);
    const auto revision = bucket.state(a_state("db1", Health::up));
    start_bridge();
    ASSERT_TRUE(wait_until([&] { return says("db1", "passing", revision); })) << bridge->log();

    const json nodes = read("/v1/catalog/nodes?node-meta=managed-by:pgpulse");
    ASSERT_EQ(nodes.size(), 1);
    EXPECT_EQ(nodes[0]["Node"], "db1");
    EXPECT_EQ(nodes[0]["Address"], "127.0.0.1");
    EXPECT_EQ(nodes[0]["Meta"],
              (json{{"external-node", "true"}, {"external-probe", "false"}, {"managed-by", "pgpulse"}}));

    const json service = read("/v1/health/service/orders?passing=true");
    ASSERT_EQ(service.size(), 1);
    EXPECT_EQ(service[0]["Service"]["ID"], "db1");
    EXPECT_EQ(service[0]["Service"]["Port"], 15432);
    EXPECT_EQ(service[0]["Service"]["Tags"], json{"blue"});
    EXPECT_EQ(service[0]["Service"]["Meta"], (json{{"team", "shop"}}));
    const json& check = service[0]["Checks"][0];
    EXPECT_EQ(check["CheckID"], "db1-isready");
    EXPECT_EQ(check["Name"], "PG is ready");
    EXPECT_EQ(check["ServiceID"], "db1");
    EXPECT_EQ(check["ServiceName"], "orders");
    EXPECT_EQ(check["Output"],
              "up since 2026-01-02T14:00:01Z: accepting connections, seen by 1 of 1 observer");

    EXPECT_EQ(value("db1"), (json{{"v", 1},
                                  {"target", "db1"},
                                  {"state", "up"},
                                  {"reason", "ok"},
                                  {"since", "2026-01-02T14:00:01.000000Z"},
                                  {"transition", 1},
                                  {"service", "orders"},
                                  {"address", "127.0.0.1"},
                                  {"port", 15432},
                                  {"updated_at", "2026-01-02T14:00:01.000000Z"},
                                  {"epoch", contract::to_rfc3339(bucket.epoch("health"))},
                                  {"revision", revision}}));
}

TEST_F(BridgeMirror, EveryStateBecomesItsStatus) {
    bucket.define(a_definition("db1"));
    start_ready_bridge();
    std::uint64_t transition = 0;
    for (const auto& [health, status] :
         {std::pair{Health::up, "passing"}, {Health::down, "critical"}, {Health::unknown, "warning"}}) {
        const auto revision = bucket.state(a_state("db1", health, ++transition));
        EXPECT_TRUE(wait_until([&] { return says("db1", status, revision); })) << status << bridge->log();
    }
}

TEST_F(BridgeMirror, TheRoleIsATagAndACheckWhereItIsExpected) {
    auto definition = a_definition("db1");
    definition.expect_role = contract::Role::primary;
    bucket.define(definition);
    auto state = a_state("db1", Health::up);
    state.role = contract::Role::primary;
    start_ready_bridge();
    bucket.state(state);
    ASSERT_TRUE(wait_until([&] {
        return read("/v1/health/service/db1?tag=primary&passing=true").size() == 1;
    })) << bridge->log();
    EXPECT_EQ(consul.check_status("db1-isprimary", "db1"), "passing");

    state = a_state("db1", Health::up, 2);
    state.role = contract::Role::replica;
    bucket.state(state);
    ASSERT_TRUE(wait_until([&] { return read("/v1/catalog/service/db1?tag=replica").size() == 1; }));
    EXPECT_EQ(read("/v1/catalog/service/db1?tag=primary").size(), 0);
    EXPECT_EQ(consul.check_status("db1-isprimary", "db1"), "critical");
    EXPECT_EQ(consul.check_status("db1-isready", "db1"), "passing");

    definition.expect_role = contract::Role::replica;
    bucket.define(definition);
    ASSERT_TRUE(wait_until([&] { return consul.check_status("db1-isreplica", "db1") == "passing"; }));
    EXPECT_EQ(consul.check_status("db1-isprimary", "db1"), std::nullopt);
}

TEST_F(BridgeMirror, NothingUnchangedIsWritten) {
    for (const char* name : {"db1", "db2"}) {
        bucket.define(a_definition(name));
        bucket.state(a_state(name, Health::up));
    }
    start_ready_bridge("1");
    ASSERT_TRUE(wait_until([&] {
        return consul.check_status("db1-isready") == "passing" &&
               consul.check_status("db2-isready") == "passing";
    })) << bridge->log();
    ASSERT_TRUE(wait_until([&] { return bridge->metric("pgpulse_bridge_pending_targets") == 0; }));

    const std::string before = everything();
    wait_for_reconciles(2);
    EXPECT_EQ(everything(), before);

    // A bridge that starts finds all as it shall be; so does one that is told the same definition again.
    EXPECT_EQ(bridge->stop(), 0);
    start_ready_bridge("1");
    bucket.define(a_definition("db1"));
    wait_for_reconciles(1);
    EXPECT_EQ(everything(), before);
    EXPECT_EQ(bridge->metric("pgpulse_bridge_operations_total"), 0);
}

TEST_F(BridgeMirror, OnlyADeleteMarkerDeregisters) {
    for (const char* name : {"db1", "db2"}) {
        bucket.define(a_definition(name));
        bucket.state(a_state(name, Health::up));
    }
    start_ready_bridge("1");
    ASSERT_TRUE(wait_until([&] {
        return consul.check_status("db1-isready") == "passing" &&
               consul.check_status("db2-isready") == "passing";
    })) << bridge->log();

    bucket.undefine("db1");
    ASSERT_TRUE(wait_until([&] {
        return !has_value("db1") && read("/v1/catalog/nodes?node-meta=managed-by:pgpulse").size() == 1;
    })) << bridge->log();
    EXPECT_EQ(consul.check_status("db1-isready"), std::nullopt);

    // Both buckets lost with all they held: absence says nothing.
    bucket.recreate("health_targets");
    bucket.recreate("health");
    ASSERT_TRUE(wait_until([&] { return bridge->log().find("reading it anew") != std::string::npos; }));
    wait_for_reconciles(2);
    EXPECT_EQ(consul.check_status("db2-isready"), "passing");
    EXPECT_TRUE(has_value("db2"));

    // What the new bucket says counts although its revisions begin again.
    bucket.put("health", "db9", "{}");
    const auto revision = bucket.state(a_state("db2", Health::down, 2));
    EXPECT_TRUE(wait_until([&] { return says("db2", "critical", revision); })) << bridge->log();
    EXPECT_EQ(value("db2")["epoch"], contract::to_rfc3339(bucket.epoch("health")));
}

TEST_F(BridgeMirror, ATargetRemovedWhileTheBridgeWasDownIsDeregisteredAtItsStart) {
    bucket.define(a_definition("db1"));
    bucket.state(a_state("db1", Health::up));
    start_ready_bridge();
    ASSERT_TRUE(wait_until([&] { return consul.check_status("db1-isready") == "passing"; })) << bridge->log();
    bridge->kill9();
    bucket.undefine("db1");
    bridge->start();
    EXPECT_TRUE(wait_until([&] { return !has_value("db1") && !consul.check_status("db1-isready"); }))
        << bridge->log();
}

TEST_F(BridgeMirror, ALaterRevisionOfTheSameBucketInConsulStands) {
    bucket.define(a_definition("db1"));
    const auto revision = bucket.state(a_state("db1", Health::up));
    // The bucket holds that revision, as far as NATS says: of another key.
    bucket.state(a_state("db2", Health::up));
    const json ahead{{"v", 1},
                     {"target", "db1"},
                     {"epoch", contract::to_rfc3339(bucket.epoch("health"))},
                     {"revision", revision + 1}};
    ASSERT_EQ(consul.put("/v1/kv/health/db1", ahead.dump()).status, 200);
    start_ready_bridge("1");
    wait_for_reconciles(2);
    EXPECT_EQ(value("db1"), ahead);
    EXPECT_EQ(consul.check_status("db1-isready"), std::nullopt);

    bucket.state(a_state("db1", Health::up, 2));
    const auto newest = bucket.state(a_state("db1", Health::down, 3));
    EXPECT_TRUE(wait_until([&] { return says("db1", "critical", newest); })) << bridge->log();
}

TEST_F(BridgeMirror, WhatPgpulseDidNotMakeIsLeftAlone) {
    ASSERT_EQ(consul.put("/v1/catalog/register", R"({"Node":"DB1","Address":"10.0.0.1"})").status, 200);
    ASSERT_EQ(consul.put("/v1/kv/health/db2", "not ours").status, 200);
    start_ready_bridge("1");
    for (const char* name : {"db1", "db2", "db3"}) {
        bucket.define(a_definition(name));
        bucket.state(a_state(name, Health::up));
    }
    ASSERT_TRUE(wait_until([&] { return consul.check_status("db3-isready") == "passing"; })) << bridge->log();
    wait_for_reconciles(2);
    EXPECT_EQ(read("/v1/catalog/node/db1")["Node"]["Address"], "10.0.0.1");
    EXPECT_FALSE(has_value("db1"));
    EXPECT_EQ(consul.kv_get_raw("health/db2"), "not ours");
    EXPECT_EQ(consul.check_status("db2-isready"), std::nullopt);
    for (const char* line : {"target 'db1': Consul has a node of this name that pgpulse did not make",
                             "target 'db2': Consul has a KV key 'health/db2' that pgpulse did not write"}) {
        const std::string log = bridge->log();
        const auto at = log.find(line);
        ASSERT_NE(at, std::string::npos) << log;
        EXPECT_EQ(log.find(line, at + 1), std::string::npos) << "said twice: " << log;
    }

    // Once the other's are gone the names are free.
    ASSERT_EQ(consul.put("/v1/catalog/deregister", R"({"Node":"DB1"})").status, 200);
    EXPECT_TRUE(wait_until([&] { return consul.check_status("db1-isready") == "passing"; })) << bridge->log();
}

TEST_F(BridgeMirror, WhatSomebodyChangedIsRepairedByAReconcile) {
    bucket.define(a_definition("db1"));
    const auto revision = bucket.state(a_state("db1", Health::down));
    start_ready_bridge("1");
    ASSERT_TRUE(wait_until([&] { return says("db1", "critical", revision); })) << bridge->log();
    const std::string good = *consul.kv_get_raw("health/db1");
    const auto whole = [&] {
        return says("db1", "critical", revision) && consul.kv_get_raw("health/db1") == good &&
               read("/v1/catalog/service/db1").size() == 1 &&
               read("/v1/catalog/nodes?node-meta=managed-by:pgpulse").size() == 1;
    };

    const std::pair<std::string, std::string> harms[] = {
        {"/v1/catalog/register",
         R"({"Node":"db1","Address":"127.0.0.1","SkipNodeUpdate":true,"Check":{"Node":"db1","CheckID":
             "db1-isready","Name":"PG is ready","Status":"banana","ServiceID":"db1"}})"},
        {"/v1/kv/health/db1", "spoilt"},
        {"/v1/catalog/deregister", R"({"Node":"db1","CheckID":"db1-isready"})"},
        {"/v1/catalog/deregister", R"({"Node":"db1","ServiceID":"db1"})"},
        {"/v1/catalog/deregister", R"({"Node":"db1"})"},
        {"/v1/txn", R"([{"KV":{"Verb":"delete","Key":"health/db1"}}])"},
    };
    double repairs = 0;
    for (const auto& [path, body] : harms) {
        ASSERT_EQ(consul.put(path, body).status, 200) << body;
        ++repairs;
        EXPECT_TRUE(wait_until([&] {
            return bridge->metric("pgpulse_bridge_repairs_total").value_or(0) >= repairs && whole();
        })) << body
            << bridge->log();
    }
    EXPECT_NE(bridge->log().find("db1 (check 'db1-isready')"), std::string::npos) << bridge->log();
}

TEST_F(BridgeMirror, AValueThatIsNoStateHarmsNobodyElse) {
    start_ready_bridge();
    bucket.put("health", "db1", "not json");
    bucket.put("health_targets", "db1", R"({"v":1,"name":"db1","port":"many"})");
    bucket.define(a_definition("db2"));
    const auto revision = bucket.state(a_state("db2", Health::up));
    EXPECT_TRUE(wait_until([&] { return says("db2", "passing", revision); })) << bridge->log();
    EXPECT_TRUE(wait_until([&] {
        return bridge->metric(R"(pgpulse_bridge_refused_values_total{bucket="health",cause="not_json"})") ==
               1;
    })) << bridge->log();
}

}  // namespace
}  // namespace pgpulse
