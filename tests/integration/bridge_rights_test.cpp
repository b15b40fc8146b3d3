#include "tests/support/bucket_author.hpp"
#include "tests/support/consul_agent.hpp"
#include "tests/support/consul_rights.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/folders.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/times.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <regex>
#include <string>

// A bridge beside a Consul that denies whatever deploy/consul/bridge-policy.hcl does not allow.
namespace pgpulse {
namespace {

using contract::Health;
using nlohmann::json;
using support::a_definition;
using support::a_state;
using support::times;
using support::wait_until;

std::string text_of(const std::filesystem::path& path) {
    std::ifstream file{path};
    return {std::istreambuf_iterator<char>{file}, {}};
}

std::string deployed(const char* policy) {
    return text_of(std::filesystem::path{support::source_folder()} / "deploy/consul" / policy);
}

std::string policy_of_the_file() { return deployed("bridge-policy.hcl"); }

/// The rules without one.
std::string without(const std::string& rules, const std::string& resource, const std::string& name) {
    const std::regex rule{resource + " \"" + name + "\" \\{\\n[^}]*\\}\\n"};
    const std::string rest = std::regex_replace(rules, rule, "", std::regex_constants::format_first_only);
    if (rest == rules) throw std::runtime_error("the policy has no " + resource + " " + name);
    return rest;
}

class BridgeRights : public testing::Test {
  protected:
    support::NatsServer nats;
    support::ConsulAgent consul{support::denying_by_default()};
    support::BucketAuthor bucket{nats.url()};
    std::unique_ptr<support::Daemon> bridge;
    std::map<std::string, std::uint64_t> transitions;

    void start_bridge(const std::string& token, std::vector<std::string> more = {}) {
        std::vector<std::string> arguments{"--nats",
                                           nats.url(),
                                           "--consul",
                                           consul.http_url(),
                                           "--log-level",
                                           "trace",
                                           "--reconcile-interval",
                                           "1"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        support::ProcessOptions options;
        if (!token.empty()) options.environment = {{"CONSUL_HTTP_TOKEN", token}};
        bridge = std::make_unique<support::Daemon>("pgpulse-consul-bridge", "bridge-1", arguments, options);
    }

    void define(const std::string& name, const std::string& service) {
        auto definition = a_definition(name);
        definition.service = service;
        definition.expect_role = contract::Role::primary;
        bucket.define(definition);
    }

    std::uint64_t flip(const std::string& target, Health health) {
        return bucket.state(a_state(target, health, ++transitions[target]));
    }

    [[nodiscard]] bool says(const std::string& target, const std::string& status,
                            std::uint64_t revision) const {
        const auto raw = consul.kv_get_raw("health/" + target);
        const json value = raw ? json::parse(*raw, nullptr, false) : json{};
        return value.is_object() && value.value("revision", std::uint64_t{0}) == revision &&
               consul.check_status(target + "-isready", target) == status;
    }

    [[nodiscard]] bool logged(const std::string& part) const { return times(part, bridge->log()) > 0; }

    /// What a token may, by HTTP status.
    [[nodiscard]] long put_as(const std::string& token, const std::string& path,
                              const std::string& body) const {
        return ask(token, path, body).status;
    }
    [[nodiscard]] support::HttpResponse ask(const std::string& token, const std::string& path,
                                            const std::optional<std::string>& body = {}) const {
        return body ? consul.put_as(token, path, *body) : consul.get_as(token, path);
    }
};

TEST_F(BridgeRights, OfTheFileAreEnoughForEverything) {
    const support::ConsulToken token{consul, policy_of_the_file()};
    define("orders-db", "orders");
    define("users-db", "users");
    flip("orders-db", Health::up);
    const auto first = flip("users-db", Health::up);
    start_bridge(token.secret());
    ASSERT_TRUE(wait_until([&] { return says("users-db", "passing", first); })) << bridge->log();
    ASSERT_TRUE(wait_until([&] { return bridge->readiness() == 200; })) << bridge->log();

    // A flip, a repair of each kind, a check that is no longer expected, another service's name, a removal.
    const auto second = flip("orders-db", Health::down);
    EXPECT_TRUE(wait_until([&] { return says("orders-db", "critical", second); })) << bridge->log();
    ASSERT_EQ(consul.put("/v1/kv/health/users-db", "spoilt").status, 200);
    EXPECT_TRUE(wait_until([&] { return says("users-db", "passing", first); })) << bridge->log();
    ASSERT_EQ(consul.put("/v1/catalog/deregister", R"({"Node":"users-db"})").status, 200);
    EXPECT_TRUE(wait_until([&] { return consul.check_status("users-db-isready") == "passing"; }))
        << bridge->log();
    auto without_role = a_definition("orders-db");
    without_role.service = "orders";
    bucket.define(without_role);
    EXPECT_TRUE(wait_until([&] { return !consul.check_status("orders-db-isprimary"); })) << bridge->log();
    bucket.undefine("users-db");
    EXPECT_TRUE(wait_until([&] {
        return !consul.kv_get_raw("health/users-db") && !consul.check_status("users-db-isready");
    })) << bridge->log();
    EXPECT_FALSE(logged("denies")) << bridge->log();
    EXPECT_EQ(bridge->metric("pgpulse_bridge_denied_targets"), 0);

    // What its own service on the agent takes.
    EXPECT_EQ(put_as(token.secret(), "/v1/agent/service/register",
                     R"({"ID":"pgpulse-consul-bridge-1","Name":"pgpulse-consul-bridge",
                         "Check":{"CheckID":"bridge-ttl","Name":"hears itself","TTL":"10s"}})"),
              200);
    EXPECT_EQ(put_as(token.secret(), "/v1/agent/check/update/bridge-ttl", R"({"Status":"passing"})"), 200);
    EXPECT_EQ(put_as(token.secret(), "/v1/agent/service/deregister/pgpulse-consul-bridge-1", ""), 200);
}

TEST_F(BridgeRights, OfAReaderShowWhatTheBridgeWroteAndNoMore) {
    define("orders-db", "orders");
    const auto revision = flip("orders-db", Health::up);
    start_bridge(support::ConsulToken{consul, policy_of_the_file()}.secret());
    ASSERT_TRUE(wait_until([&] { return says("orders-db", "passing", revision); })) << bridge->log();

    const support::ConsulToken reader{consul, deployed("reader-policy.hcl")};
    const auto instances = [&](const std::string& token) {
        return json::parse(ask(token, "/v1/health/service/orders").body, nullptr, false).size();
    };
    EXPECT_EQ(instances(reader.secret()), 1U);
    EXPECT_EQ(
        instances(support::ConsulToken{consul, "key_prefix \"health/\" { policy = \"read\" }"}.secret()), 0U);
    EXPECT_EQ(ask(reader.secret(), "/v1/kv/health/orders-db?raw").status, 200);
    EXPECT_EQ(put_as(reader.secret(), "/v1/kv/health/orders-db", "1"), 403);
    EXPECT_EQ(put_as(reader.secret(), "/v1/catalog/deregister", R"({"Node":"orders-db"})"), 403);
}

TEST_F(BridgeRights, OfTheFileAllowNothingBeyond) {
    const support::ConsulToken token{consul, policy_of_the_file()};
    const std::string& secret = token.secret();
    ASSERT_EQ(consul.put("/v1/kv/others/key", "1").status, 200);
    ASSERT_EQ(consul.put("/v1/kv/healthcheck/key", "1").status, 200);
    ASSERT_EQ(consul
                  .put("/v1/catalog/register", R"({"Node":"web-1","Address":"10.0.0.1",
                            "Service":{"ID":"web","Service":"web"}})")
                  .status,
              200);

    const std::pair<const char*, const char*> writes[] = {
        {"/v1/kv/others/key", "2"},
        {"/v1/kv/healthcheck/key", "2"},
        {"/v1/kv/orders-db", "2"},
        {"/v1/catalog/register", R"({"Node":"agent","Address":"10.0.0.9"})"},
        {"/v1/catalog/register", R"({"Node":"web-1","Address":"10.0.0.9"})"},
        {"/v1/catalog/register", R"({"Node":"new","Address":"10.0.0.9"})"},
        {"/v1/catalog/register",
         R"({"Node":"orders-db","Address":"10.0.0.9","Service":{"ID":"web","Service":"web"}})"},
        {"/v1/catalog/deregister", R"({"Node":"agent"})"},
        {"/v1/catalog/deregister", R"({"Node":"web-1"})"},
        {"/v1/catalog/deregister", R"({"Node":"web-1","ServiceID":"web"})"},
        {"/v1/agent/service/register", R"({"Name":"web"})"},
        {"/v1/agent/check/register", R"({"Name":"of the node","TTL":"10s"})"},
        {"/v1/agent/leave", ""},
        {"/v1/agent/maintenance?enable=true", ""},
        {"/v1/session/create", "{}"},
        {"/v1/event/fire/deploy", ""},
        {"/v1/config", R"({"Kind":"proxy-defaults","Name":"global"})"},
        {"/v1/acl/policy", R"({"Name":"more","Rules":"acl = \"write\""})"},
        {"/v1/snapshot", ""},
    };
    for (const auto& [path, body] : writes) {
        EXPECT_EQ(put_as(secret, path, body), 403) << path << " " << body;
    }
    for (const char* path : {"/v1/agent/self", "/v1/agent/metrics", "/v1/acl/tokens", "/v1/acl/policies",
                             "/v1/operator/raft/configuration", "/v1/snapshot"}) {
        EXPECT_EQ(ask(secret, path).status, 403) << path;
    }
    // Of what it may not read Consul shows nothing.
    EXPECT_NE(ask(secret, "/v1/kv/others/key").status, 200);
    EXPECT_EQ(ask(secret, "/v1/kv/?keys").body.find("others"), std::string::npos);
    EXPECT_EQ(json::parse(ask(secret, "/v1/catalog/nodes").body), json::array());
    EXPECT_EQ(json::parse(ask(secret, "/v1/catalog/service/web").body), json::array());
    EXPECT_EQ(json::parse(ask(secret, "/v1/agent/members").body), json::array());
    EXPECT_EQ(consul.kv_get_raw("others/key"), "1");
}

TEST_F(BridgeRights, ThatAreTakenAreNamedAndHarmNothingAndWorkAgainOnceGiven) {
    const std::string all = policy_of_the_file();
    struct Case {
        const char* resource;
        const char* name;
        const char* line;
        const char* over;
    };
    const Case cases[] = {
        {"key_prefix", "health/", "the token needs key_prefix \"health/\" { policy = \"write\" }",
         "Consul allows writing KV keys again"},
        {"service", "orders", "the token needs service \"orders\" { policy = \"write\" }",
         "Consul allows writing services and their checks again"},
    };
    support::ConsulToken token{consul, all};
    define("orders-db", "orders");
    define("users-db", "users");
    auto orders = flip("orders-db", Health::up);
    auto users = flip("users-db", Health::up);
    start_bridge(token.secret());
    const auto both = [&](const char* status) {
        return wait_until(
            [&] { return says("orders-db", status, orders) && says("users-db", status, users); });
    };
    ASSERT_TRUE(both("passing")) << bridge->log();
    for (const Case& c : cases) {
        token.allow(without(all, c.resource, c.name));
        const auto reconciles = [&] { return bridge->metric("pgpulse_bridge_reconciles_total").value_or(0); };
        const double before = reconciles();
        ASSERT_TRUE(wait_until([&] { return reconciles() >= before + 2; })) << bridge->log();
        // What cannot be read is neither removed nor written over.
        EXPECT_TRUE(says("orders-db", "passing", orders));
        EXPECT_TRUE(says("users-db", "passing", users));
        orders = flip("orders-db", Health::down);
        EXPECT_TRUE(wait_until([&] { return logged(c.line); })) << c.line << bridge->log();
        EXPECT_EQ(consul.check_status("orders-db-isready"), "passing");
        token.allow(all);
        EXPECT_TRUE(wait_until([&] { return says("orders-db", "critical", orders); })) << bridge->log();
        EXPECT_TRUE(wait_until([&] { return logged(c.over); })) << bridge->log();
        EXPECT_EQ(times(c.line, bridge->log()), 1);
        orders = flip("orders-db", Health::up);
        ASSERT_TRUE(both("passing")) << bridge->log();
    }
}

TEST_F(BridgeRights, ToANewNodeThatIsMissingIsNamed) {
    const support::ConsulToken token{consul, policy_of_the_file()};
    define("orders-db", "orders");
    define("stock-db", "orders");
    const auto orders = flip("orders-db", Health::up);
    flip("stock-db", Health::up);
    start_bridge(token.secret());
    EXPECT_TRUE(wait_until([&] { return says("orders-db", "passing", orders); })) << bridge->log();
    EXPECT_TRUE(wait_until([&] {
        return logged(
            "Consul denies writing node 'stock-db': the token needs node \"stock-db\" { policy = \"write\" "
            "}");
    })) << bridge->log();
    EXPECT_TRUE(wait_until([&] { return bridge->metric("pgpulse_bridge_denied_targets") == 1; }));
    EXPECT_FALSE(consul.kv_get_raw("health/stock-db"));
}

TEST_F(BridgeRights, WithoutATokenOrWithAnUnknownOneAreSaidAsSuch) {
    define("orders-db", "orders");
    flip("orders-db", Health::up);
    start_bridge("");
    EXPECT_TRUE(wait_until([&] {
        return logged("Consul denies writing KV key 'health/orders-db': the token needs key_prefix") &&
               logged("Consul denies writing node 'orders-db'") &&
               logged("Consul denies writing service 'orders' of node 'orders-db'");
    })) << bridge->log();
    start_bridge("7e110000-0000-4000-8000-000000000000");
    EXPECT_TRUE(wait_until([&] {
        return logged(
            "HTTP 403: ACL not found: there is no such token; see CONSUL_HTTP_TOKEN and the token file");
    })) << bridge->log();
    EXPECT_EQ(bridge->readiness(), 503);
}

TEST_F(BridgeRights, ATokenIsShownNowhereAndItsFileIsReadAgain) {
    const std::string rules = policy_of_the_file();
    const support::ConsulToken first{consul, without(rules, "key_prefix", "health/")};
    const support::ConsulToken second{consul, rules};
    const support::TempDir folder;
    const auto file = folder / "token";
    const auto write = [&](const std::string& text) {
        std::ofstream{folder / "new"} << text << '\n';
        std::filesystem::rename(folder / "new", file);
    };
    write(first.secret());
    define("orders-db", "orders");
    auto orders = flip("orders-db", Health::up);
    start_bridge("", {"--consul-token-file", file.string()});
    ASSERT_TRUE(wait_until([&] { return logged("Consul denies writing KV key"); })) << bridge->log();
    write(second.secret());
    EXPECT_TRUE(wait_until([&] { return says("orders-db", "passing", orders); })) << bridge->log();
    EXPECT_TRUE(logged("token file '" + file.string() + "': a new token is in use"));

    std::filesystem::remove(file);
    for (const auto health : {Health::down, Health::up, Health::down}) {
        orders = flip("orders-db", health);
        EXPECT_TRUE(wait_until([&] {
            return says("orders-db", health == Health::up ? "passing" : "critical", orders);
        })) << bridge->log();
    }
    EXPECT_EQ(times("cannot read '" + file.string() + "': the last token stays in use", bridge->log()), 1);
    write(second.secret());
    EXPECT_TRUE(wait_until([&] { return logged("can be read again"); })) << bridge->log();

    const auto pid = std::to_string(bridge->process().pid());
    const std::string shown = bridge->log() + bridge->metrics() + text_of("/proc/" + pid + "/cmdline") +
                              text_of("/proc/" + pid + "/comm") + text_of("/proc/" + pid + "/environ");
    for (const auto* token : {&first, &second}) EXPECT_EQ(shown.find(token->secret()), std::string::npos);
}

}  // namespace
}  // namespace pgpulse
