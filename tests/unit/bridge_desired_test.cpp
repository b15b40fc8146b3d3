#include "consul-bridge/desired.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace pgpulse::consul_bridge {
namespace {

using contract::Health;
using contract::Opinion;
using contract::Reason;
using contract::Role;

const contract::WallTime kSince = *contract::parse_rfc3339("2026-01-02T14:03:11.5Z");
const Stamp kStamp{*contract::parse_rfc3339("2026-01-01T00:00:00Z"), 7};

contract::TargetDefinition definition() {
    contract::TargetDefinition d;
    d.name = "db1";
    d.address = "10.0.0.1";
    d.service = "orders";
    d.tags = {"blue"};
    return d;
}

contract::State state(Health health, Reason reason, const std::vector<Opinion>& opinions) {
    contract::State s;
    s.target = "db1";
    s.state = health;
    s.reason = reason;
    s.since = s.decided_at = kSince;
    s.transition = 3;
    for (const Opinion opinion : opinions) {
        contract::Evidence evidence;
        evidence.opinion = opinion;
        s.evidence.push_back(evidence);
    }
    return s;
}

const Check* find(const Documents& documents, const std::string& id) {
    const auto it = std::ranges::find(documents.checks, id, &Check::id);
    return it == documents.checks.end() ? nullptr : &*it;
}

TEST(BridgeDesired, ReadinessIsWrittenForAPerson) {
    struct Case {
        contract::State state;
        std::string status;
        std::string output;
    };
    const Case cases[] = {
        {state(Health::up, Reason::ok, {Opinion::up}), "passing",
         "up since 2026-01-02T14:03:11Z: accepting connections, seen by 1 of 1 observer"},
        {state(Health::down, Reason::refused, {Opinion::down, Opinion::down, Opinion::down}), "critical",
         "down since 2026-01-02T14:03:11Z: connection refused, seen by 3 of 3 observers"},
        {state(Health::down, Reason::timeout, {Opinion::down, Opinion::up, Opinion::down}), "critical",
         "down since 2026-01-02T14:03:11Z: no answer in time, seen by 2 of 3 observers"},
        {state(Health::down, Reason::refused, {}), "critical",
         "down since 2026-01-02T14:03:11Z: connection refused"},
        {state(Health::unknown, Reason::ok, {}), "warning", "unknown since 2026-01-02T14:03:11Z: not known"},
    };
    for (const Case& c : cases) {
        const Documents documents = desired(definition(), c.state, kStamp);
        const Check* check = find(documents, "db1-isready");
        ASSERT_NE(check, nullptr);
        EXPECT_EQ(check->name, "PG is ready");
        EXPECT_EQ(check->status, c.status);
        EXPECT_EQ(check->output, c.output);
        EXPECT_EQ(check->service_name, "orders");
    }
}

TEST(BridgeDesired, TheRoleCheckComparesTheRoleWithTheExpectedOne) {
    struct Case {
        Role expected;
        Health health;
        std::optional<Role> role;
        std::string id;
        std::string status;
    };
    const Case cases[] = {
        {Role::primary, Health::up, Role::primary, "db1-isprimary", "passing"},
        {Role::primary, Health::up, Role::replica, "db1-isprimary", "critical"},
        {Role::replica, Health::up, Role::replica, "db1-isreplica", "passing"},
        {Role::replica, Health::up, Role::primary, "db1-isreplica", "critical"},
        {Role::primary, Health::up, std::nullopt, "db1-isprimary", "warning"},
        {Role::primary, Health::down, Role::primary, "db1-isprimary", "critical"},
        {Role::primary, Health::unknown, Role::primary, "db1-isprimary", "warning"},
    };
    for (const Case& c : cases) {
        auto d = definition();
        d.expect_role = c.expected;
        auto s = state(c.health, Reason::ok, {Opinion::up});
        s.role = c.role;
        const Documents documents = desired(d, s, kStamp);
        EXPECT_EQ(documents.checks.size(), 2);
        const Check* check = find(documents, c.id);
        ASSERT_NE(check, nullptr) << c.id;
        EXPECT_EQ(check->status, c.status) << c.id;
    }
}

TEST(BridgeDesired, TheRoleCheckNamesWhoElseClaimsToBePrimary) {
    struct Case {
        Role expected;
        std::vector<std::string> others;
        std::string output;
    };
    const Case cases[] = {
        {Role::primary, {}, "is primary"},
        {Role::replica, {}, "is primary; expected replica"},
        {Role::primary, {"db2"}, "is primary, and db2 claims to be as well"},
        {Role::primary, {"db2", "db3", "db4"}, "is primary, and db2, db3 and db4 claim to be as well"},
        {Role::replica, {"db2", "db3"}, "is primary, and db2 and db3 claim to be as well; expected replica"},
    };
    for (const Case& c : cases) {
        auto d = definition();
        d.expect_role = c.expected;
        auto s = state(Health::up, Reason::ok, {Opinion::up});
        s.role = Role::primary;
        s.conflicts_with = c.others;
        const Documents documents = desired(d, s, kStamp);
        EXPECT_EQ(find(documents, "db1-is" + std::string{to_string(c.expected)})->output, c.output);
    }
}

TEST(BridgeDesired, WhatIsStaleIsAWarningThatTellsWhatWasLastKnown) {
    auto d = definition();
    d.expect_role = Role::primary;
    for (const Health health : {Health::up, Health::down, Health::unknown}) {
        auto s = state(health, Reason::ok, {});
        s.maintenance = true;
        s.role = Role::primary;
        const Documents fresh = desired(d, s, kStamp);
        const Stale stale{*contract::parse_rfc3339("2026-01-02T15:00:00.25Z"), "no aggregator is alive"};
        const Documents documents = desired(d, s, kStamp, stale);
        ASSERT_EQ(documents.checks.size(), 3);
        for (const char* id : {"db1-isready", "db1-isprimary"}) {
            EXPECT_EQ(find(documents, id)->status, "warning");
            EXPECT_EQ(find(documents, id)->output,
                      "stale since 2026-01-02T15:00:00Z: no aggregator is alive; last known: " +
                          find(fresh, id)->output);
        }
        EXPECT_EQ(*find(documents, "_service_maintenance:db1"), *find(fresh, "_service_maintenance:db1"));
        const auto value = nlohmann::json::parse(documents.value);
        EXPECT_EQ(value["stale_since"], "2026-01-02T15:00:00.250000Z");
        EXPECT_EQ(value["state"], to_string(health));
        EXPECT_EQ(stamp_of("db1", documents.value), kStamp);
        EXPECT_EQ(documents.service, fresh.service);
        EXPECT_EQ(documents.node, fresh.node);
    }
}

TEST(BridgeDesired, WithoutAnExpectedRoleThereIsNoRoleCheck) {
    auto s = state(Health::up, Reason::ok, {Opinion::up});
    s.role = Role::primary;
    EXPECT_EQ(desired(definition(), s, kStamp).checks.size(), 1);
}

TEST(BridgeDesired, MaintenanceIsConsulsOwnCheck) {
    auto s = state(Health::up, Reason::ok, {Opinion::up});
    s.maintenance = true;
    const Documents documents = desired(definition(), s, kStamp);
    const Check* check = find(documents, "_service_maintenance:db1");
    ASSERT_NE(check, nullptr);
    EXPECT_EQ(check->status, "critical");
    EXPECT_EQ(check->output, "under maintenance");
    EXPECT_TRUE(is_check_of("db1", check->id));
    s.maintenance_until = *contract::parse_rfc3339("2026-01-02T15:00:00.25Z");
    EXPECT_EQ(find(desired(definition(), s, kStamp), check->id)->output,
              "under maintenance until 2026-01-02T15:00:00Z");
}

TEST(BridgeDesired, TheTagsAreTheDefinitionsAndTheRoleOnce) {
    auto s = state(Health::up, Reason::ok, {Opinion::up});
    EXPECT_EQ(desired(definition(), s, kStamp).service.tags, (std::vector<std::string>{"blue"}));
    s.role = Role::replica;
    EXPECT_EQ(desired(definition(), s, kStamp).service.tags, (std::vector<std::string>{"blue", "replica"}));
    auto d = definition();
    d.tags = {"replica", "blue"};
    EXPECT_EQ(desired(d, s, kStamp).service.tags, (std::vector<std::string>{"replica", "blue"}));
    for (const Check& check : desired(d, s, kStamp).checks) {
        EXPECT_EQ(check.service_tags, (std::vector<std::string>{"replica", "blue"}));
    }
    s.role = Role::primary;
    EXPECT_EQ(desired(d, s, kStamp).service.tags, (std::vector<std::string>{"blue", "primary"}))
        << "a replica that was promoted is found as such, whatever the definition says";
    s.role.reset();
    EXPECT_EQ(desired(d, s, kStamp).service.tags, (std::vector<std::string>{"replica", "blue"}));
}

TEST(BridgeDesired, TheValueNamesItsPlaceInTheBucket) {
    auto s = state(Health::down, Reason::refused, {Opinion::down});
    s.previous = Health::up;
    s.role = Role::primary;
    s.writable = true;
    const Documents documents = desired(definition(), s, kStamp);
    EXPECT_EQ(
        documents.value,
        R"({"v":1,"target":"db1","state":"down","reason":"refused","since":"2026-01-02T14:03:11.500000Z",)"
        R"("transition":3,"previous":"up","role":"primary","writable":true,"service":"orders",)"
        R"("address":"10.0.0.1","port":5432,"updated_at":"2026-01-02T14:03:11.500000Z",)"
        R"("epoch":"2026-01-01T00:00:00.000000Z","revision":7})");
    EXPECT_EQ(stamp_of("db1", documents.value), kStamp);
}

TEST(BridgeDesired, TheValueTellsWhatTheStateHas) {
    auto s = state(Health::up, Reason::ok, {Opinion::up});
    auto value = nlohmann::json::parse(desired(definition(), s, kStamp).value);
    for (const char* key : {"previous", "role", "role_unexpected", "writable", "conflicts_with", "restarts",
                            "maintenance", "stale_since"}) {
        EXPECT_FALSE(value.contains(key)) << key;
    }
    s.role_unexpected = true;
    s.conflicts_with = {"db2"};
    s.restarts = 3;
    s.maintenance = true;
    value = nlohmann::json::parse(desired(definition(), s, kStamp).value);
    EXPECT_EQ(value["role_unexpected"], true);
    EXPECT_EQ(value["conflicts_with"], nlohmann::json{"db2"});
    EXPECT_EQ(value["restarts"], 3);
    EXPECT_EQ(value["maintenance"], true);
}

TEST(BridgeDesired, TheKeyAtTheRootIsWrittenWhereItIsAskedForAlone) {
    const auto s = state(Health::up, Reason::ok, {Opinion::up});
    EXPECT_EQ(desired(definition(), s, kStamp).root_value, std::nullopt);
    const auto documents = desired(definition(), s, kStamp, {}, Compat::consul_postgres);
    ASSERT_TRUE(documents.root_value);
    const auto value = nlohmann::json::parse(*documents.root_value);
    EXPECT_EQ(value["updated_at"], "02/01/2026 14:03:11");
    ASSERT_EQ(value["payload"].size(), 1);
    EXPECT_EQ(value["payload"][0]["Output"], documents.checks[0].output);
}

TEST(BridgeDesired, OnlyAVersion1DocumentOfTheTargetHasAStamp) {
    const std::string good = R"({"v":1,"target":"db1","epoch":"2026-01-01T00:00:00Z","revision":7})";
    EXPECT_EQ(stamp_of("db1", good), kStamp);
    EXPECT_EQ(stamp_of("db2", good), std::nullopt);
    for (const char* bad : {
             "",
             "not json",
             "[]",
             "7",
             R"({"target":"db1","epoch":"2026-01-01T00:00:00Z","revision":7})",
             R"({"v":2,"target":"db1","epoch":"2026-01-01T00:00:00Z","revision":7})",
             R"({"v":1,"target":"db1","epoch":"yesterday","revision":7})",
             R"({"v":1,"target":"db1","epoch":"2026-01-01T00:00:00Z","revision":-7})",
             R"({"v":1,"target":"db1","epoch":"2026-01-01T00:00:00Z"})",
         }) {
        EXPECT_EQ(stamp_of("db1", bad), std::nullopt) << bad;
    }
}

TEST(BridgeDesired, OnlyTheBridgesOwnChecksAreItsChecks) {
    for (const char* id : {"db1-isready", "db1-isprimary", "db1-isreplica", "_service_maintenance:db1"}) {
        EXPECT_TRUE(is_check_of("db1", id)) << id;
    }
    for (const char* id : {"db2-isready", "db1-custom", "serfHealth", "_node_maintenance", ""}) {
        EXPECT_FALSE(is_check_of("db1", id)) << id;
    }
}

}  // namespace
}  // namespace pgpulse::consul_bridge
