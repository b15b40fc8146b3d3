#include "consul-bridge/root_value.hpp"
#include "tests/support/bucket_author.hpp"
#include "tests/support/consul_agent.hpp"
#include "tests/support/consul_watch.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/process.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <memory>
#include <set>
#include <string>
#include <vector>

namespace pgpulse {
namespace {

using consul_bridge::RootAuthor;
using contract::Health;
using nlohmann::json;
using support::a_definition;
using support::a_state;
using support::wait_until;

/// A real Consul whose root keys have readers of older times, and a real bridge.
class BridgeCompat : public testing::Test {
  protected:
    support::NatsServer nats;
    support::ConsulAgent consul;
    support::BucketAuthor bucket{nats.url()};
    std::unique_ptr<support::Daemon> bridge;

    void start_bridge(const std::vector<std::string>& more = {"--compat", "consul-postgres"}) {
        std::vector<std::string> arguments{
            "--nats", nats.url(), "--consul", consul.http_url(), "--reconcile-interval", "1"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        bridge = std::make_unique<support::Daemon>("pgpulse-consul-bridge", "bridge-1", arguments);
        ASSERT_TRUE(wait_until([&] { return bridge->readiness() == 200; })) << bridge->log();
    }

    /// The value at the root, an empty object where there is none or it is no JSON.
    [[nodiscard]] json root(const std::string& target) const {
        const auto raw = consul.kv_get_raw(target);
        const json parsed = raw ? json::parse(*raw, nullptr, false) : json{};
        return parsed.is_object() ? parsed : json::object();
    }

    /// The status of the target's first check as the old readers see it.
    [[nodiscard]] std::string status(const std::string& target) const {
        const json value = root(target);
        return value.contains("payload") ? value["payload"][0]["Status"].get<std::string>() : "";
    }

    void wait_for_reconciles(int number) {
        const auto reconciles = [&] { return bridge->metric("pgpulse_bridge_reconciles_total").value_or(0); };
        const double before = reconciles();
        ASSERT_TRUE(wait_until([&] { return reconciles() >= before + number; })) << bridge->log();
    }

    /// All keys with the indexes that every write raises, and Consul's index of all checks.
    [[nodiscard]] std::string everything() const {
        std::string all = consul.get("/v1/kv/?recurse").body;
        const auto nodes = json::parse(consul.get("/v1/internal/ui/nodes").body);
        for (const auto& node : nodes) {
            if (node.at("Node") != "agent") all += node.dump();
        }
        return all;
    }
};

/// Texts that an error message or an operator may bring.
const std::vector<std::string> kOddTexts{R"(a "quoted" word)",        R"(C:\pg\data\)",
                                         "two\nlines\r\n\tand a tab", "caf\xc3\xa9 \xe2\x80\xa8 <&>",
                                         "'$(reboot)' `x` %s",        "\x01\x1f\x7f"};

/// `ours` is what `theirs` is, but for what only Consul knows or a later one adds.
void expect_as_a_watch_gives_it(const json& ours, const json& theirs) {
    ASSERT_EQ(ours.size(), theirs.size());
    for (std::size_t i = 0; i < ours.size(); ++i) {
        for (const auto& [key, value] : ours[i].items()) {
            ASSERT_TRUE(theirs[i].contains(key)) << key;
            if (key != "Definition") {
                EXPECT_EQ(value, theirs[i][key]) << key;
                continue;
            }
            for (const auto& [field, text] : value.items()) EXPECT_EQ(text, theirs[i][key][field]) << field;
        }
        for (const auto& [key, value] : theirs[i].items()) {
            const std::set<std::string> consuls{"CreateIndex", "ModifyIndex", "Interval",  "Timeout",
                                                "ExposedPort", "PeerName",    "Partition", "Namespace"};
            EXPECT_TRUE(ours[i].contains(key) || consuls.contains(key)) << key << ": " << value;
        }
    }
}

TEST_F(BridgeCompat, ThePayloadIsWhatAWatchGivesToItsHandler) {
    auto definition = a_definition("db1");
    definition.expect_role = contract::Role::primary;
    definition.tags = kOddTexts;
    bucket.define(definition);
    support::ConsulWatch watch{consul.http_url(), {"-type=checks", "-service=db1"}};
    start_bridge();
    std::uint64_t transition = 0;
    for (const Health health : {Health::up, Health::down, Health::unknown, Health::up}) {
        auto state = a_state("db1", health, ++transition);
        state.role = transition < 4 ? contract::Role::primary : contract::Role::replica;
        state.maintenance = transition == 2;
        bucket.state(state);
        const std::string updated_at = "02/01/2026 14:00:0" + std::to_string(transition);
        ASSERT_TRUE(wait_until([&] { return root("db1").value("updated_at", "") == updated_at; }))
            << bridge->log();
        const json payload = root("db1")["payload"];
        EXPECT_EQ(payload.size(), state.maintenance ? 3 : 2);
        EXPECT_TRUE(wait_until([&] {
            const auto calls = watch.entries();
            if (calls.empty()) return false;
            const json given = json::parse(calls.back().json);
            return given.size() == payload.size() && given[0]["Output"] == payload[0]["Output"] &&
                   given.back()["Output"] == payload.back()["Output"];
        }));
        expect_as_a_watch_gives_it(payload, json::parse(watch.entries().back().json));
    }
}

TEST_F(BridgeCompat, NothingUnchangedIsWritten) {
    for (const char* name : {"db1", "db2"}) {
        bucket.define(a_definition(name));
        bucket.state(a_state(name, Health::up));
    }
    start_bridge();
    ASSERT_TRUE(wait_until([&] { return status("db1") == "passing" && status("db2") == "passing"; }))
        << bridge->log();
    ASSERT_TRUE(wait_until([&] { return bridge->metric("pgpulse_bridge_pending_targets") == 0; }));
    const std::string before = everything();
    wait_for_reconciles(2);
    EXPECT_EQ(everything(), before);
    EXPECT_EQ(bridge->stop(), 0);
    start_bridge();
    wait_for_reconciles(2);
    EXPECT_EQ(everything(), before);
    EXPECT_EQ(bridge->metric("pgpulse_bridge_operations_total"), 0);

    // One transition is one write of each thing that changed.
    const auto index_of = [&](const std::string& key) {
        return json::parse(consul.get("/v1/kv/" + key).body)[0]["ModifyIndex"].get<std::uint64_t>();
    };
    const auto db2 = index_of("db2");
    bucket.state(a_state("db1", Health::down, 2));
    ASSERT_TRUE(wait_until([&] { return status("db1") == "critical"; })) << bridge->log();
    wait_for_reconciles(2);
    EXPECT_EQ(bridge->metric("pgpulse_bridge_operations_total"), 3) << "value, key at the root, check";
    EXPECT_EQ(index_of("db1"), index_of("health/db1")) << "of one transaction";
    EXPECT_EQ(index_of("db2"), db2);
}

TEST_F(BridgeCompat, AKeyThatItDidNotWriteIsLeftAlone) {
    ASSERT_EQ(consul.put("/v1/kv/db1", "host=10.0.0.1").status, 200);
    bucket.define(a_definition("db1"));
    bucket.state(a_state("db1", Health::up));
    start_bridge();
    ASSERT_TRUE(wait_until([&] { return consul.check_status("db1-isready") == "passing"; })) << bridge->log();
    bucket.state(a_state("db1", Health::down, 2));
    ASSERT_TRUE(wait_until([&] { return consul.check_status("db1-isready") == "critical"; }))
        << bridge->log();
    wait_for_reconciles(2);
    EXPECT_EQ(consul.kv_get_raw("db1"), "host=10.0.0.1");
    const std::string log = bridge->log();
    const std::string line = "target 'db1': Consul has a KV key 'db1' that neither pgpulse";
    const auto at = log.find(line);
    ASSERT_NE(at, std::string::npos) << log;
    EXPECT_EQ(log.find(line, at + 1), std::string::npos) << "said twice: " << log;

    // A key of another's that comes in place of ours stands as well; once it is gone the key is ours again.
    ASSERT_EQ(consul.put("/v1/txn", R"([{"KV":{"Verb":"delete","Key":"db1"}}])").status, 200);
    EXPECT_TRUE(wait_until([&] { return status("db1") == "critical"; })) << bridge->log();
    ASSERT_EQ(consul.put("/v1/kv/db1", "host=10.0.0.2").status, 200);
    bucket.state(a_state("db1", Health::up, 3));
    ASSERT_TRUE(wait_until([&] { return consul.check_status("db1-isready") == "passing"; })) << bridge->log();
    bucket.undefine("db1");
    ASSERT_TRUE(wait_until([&] { return !consul.check_status("db1-isready"); })) << bridge->log();
    EXPECT_EQ(consul.kv_get_raw("db1"), "host=10.0.0.2");
}

TEST_F(BridgeCompat, TheOldPipelinesKeyIsTakenOver) {
    // What the handler of the old pipeline stores of a server that is down: its shell drops the backslashes.
    const std::string handler = R"(read event_payload
curl --silent --request PUT --data "{ \"updated_at\": \"$(date '+%d/%m/%Y %H:%M:%S')\", \"payload\": $event_payload }" )" +
                                consul.http_url() + "/v1/kv/db1";
    const json checks = json::array({{{"Node", "agent"},
                                      {"CheckID", "db1-isready"},
                                      {"Status", "critical"},
                                      {"Output", "psql: error: \"db1\" failed:\nIs the server running?\n"},
                                      {"ServiceID", "db1"},
                                      {"ServiceName", "db1"}}});
    const auto old_pipeline_writes = [&] {
        const auto result = support::run_to_end({"sh", "-c", handler}, {.input = checks.dump() + "\n"});
        ASSERT_EQ(result.exit_code, 0) << result.err;
    };
    old_pipeline_writes();
    ASSERT_FALSE(json::accept(*consul.kv_get_raw("db1"))) << *consul.kv_get_raw("db1");
    bucket.define(a_definition("db1"));
    bucket.state(a_state("db1", Health::up));
    start_bridge();
    EXPECT_TRUE(wait_until([&] { return status("db1") == "passing"; })) << bridge->log();
    // While it still runs, the last word is the bridge's.
    old_pipeline_writes();
    EXPECT_TRUE(wait_until([&] { return status("db1") == "passing"; })) << bridge->log();
    old_pipeline_writes();
    bucket.state(a_state("db1", Health::unknown, 2));
    EXPECT_TRUE(wait_until([&] { return status("db1") == "warning"; })) << bridge->log();
}

TEST_F(BridgeCompat, TheKeyGoesWithItsTargetAlone) {
    for (const char* name : {"db1", "db2"}) {
        bucket.define(a_definition(name));
        bucket.state(a_state(name, Health::up));
    }
    start_bridge();
    ASSERT_TRUE(wait_until([&] { return status("db1") == "passing" && status("db2") == "passing"; }));
    bucket.undefine("db1");
    EXPECT_TRUE(wait_until([&] { return !consul.kv_get_raw("db1") && !consul.check_status("db1-isready"); }))
        << bridge->log();
    EXPECT_EQ(status("db2"), "passing");

    // Removed while no bridge ran.
    bridge->kill9();
    bucket.undefine("db2");
    start_bridge();
    EXPECT_TRUE(wait_until([&] { return !consul.kv_get_raw("db2") && !consul.check_status("db2-isready"); }))
        << bridge->log();
}

TEST_F(BridgeCompat, WithoutItTheRootIsNotTouched) {
    bucket.define(a_definition("db1"));
    bucket.state(a_state("db1", Health::up));
    start_bridge({});
    ASSERT_TRUE(wait_until([&] { return consul.check_status("db1-isready") == "passing"; })) << bridge->log();
    EXPECT_EQ(json::parse(consul.get("/v1/kv/?keys").body), json{"health/db1"});
}

TEST_F(BridgeCompat, KeepRemovedLeavesATargetAsItWasLastWritten) {
    bucket.define(a_definition("db1"));
    bucket.define(a_definition("db2"));
    bucket.state(a_state("db1", Health::up));
    bucket.state(a_state("db2", Health::up));
    start_bridge({"--compat", "consul-postgres", "--keep-removed"});
    ASSERT_TRUE(wait_until([&] { return status("db1") == "passing" && status("db2") == "passing"; }));
    const std::string before = everything();
    bucket.undefine("db1");
    ASSERT_TRUE(
        wait_until([&] { return bridge->log().find("'db1' was removed: kept") != std::string::npos; }));
    wait_for_reconciles(2);
    EXPECT_EQ(everything(), before);

    // Also by a bridge that knows of its removal alone; without the flag it goes.
    EXPECT_EQ(bridge->stop(), 0);
    start_bridge({"--compat", "consul-postgres", "--keep-removed"});
    wait_for_reconciles(2);
    EXPECT_EQ(everything(), before);
    EXPECT_EQ(bridge->stop(), 0);
    start_bridge();
    EXPECT_TRUE(wait_until([&] { return !consul.kv_get_raw("db1") && !consul.check_status("db1-isready"); }))
        << bridge->log();
    EXPECT_EQ(status("db2"), "passing");
}

TEST(BridgeCompatOption, AnotherWordIsRefused) {
    const auto result =
        support::run_to_end({support::built_program("pgpulse-consul-bridge"), "--compat", "consul-esm"});
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_NE(result.err.find("--compat: expected consul-postgres, found 'consul-esm'"), std::string::npos)
        << result.err;
}

TEST_F(BridgeCompat, ConsulTakesWhateverADefinitionMayHave) {
    auto definition = a_definition("db1");
    definition.service = std::string(63, 's');
    definition.tags = kOddTexts;
    definition.tags.emplace_back("");
    definition.tags.emplace_back(4000, 't');
    for (int i = 0; i < 63; ++i) definition.meta["k" + std::to_string(i)] = std::string(512, 'v');
    definition.meta[std::string(128, 'k')] = kOddTexts[3];
    bucket.define(definition);
    bucket.state(a_state("db1", Health::up));
    bucket.put("health_targets", "db2", R"({"v":1,"name":"db2","address":"db2","meta":{"te am":"x"}})");
    bucket.state(a_state("db2", Health::up));
    start_bridge();
    ASSERT_TRUE(wait_until([&] { return status("db1") == "passing"; })) << bridge->log();
    wait_for_reconciles(2);
    EXPECT_EQ(bridge->metric("pgpulse_bridge_repairs_total"), 0) << "what is read is what was written";
    const std::string log = bridge->log();
    EXPECT_NE(log.find("bucket 'health_targets': refused db2.meta: expected keys of 1 to 128 letters"),
              std::string::npos)
        << log;
    EXPECT_EQ(log.find("Consul refuses"), std::string::npos) << log;
}

}  // namespace
}  // namespace pgpulse
