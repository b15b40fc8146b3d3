#include "tests/support/bucket_author.hpp"
#include "tests/support/consul_agent.hpp"
#include "tests/support/consul_watch.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/tcp_relay.hpp"
#include "tests/support/times.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <memory>
#include <regex>
#include <string>
#include <vector>

// The bridge's own service with its TTL check, on a real agent, with real aggregators and a real NATS.
namespace pgpulse {
namespace {

using nlohmann::json;
using support::Daemon;
using support::times;
using support::wait_until;

const std::string kName = "pgpulse-consul-bridge";
/// A TTL of 10 s has to pass in some of these.
constexpr std::chrono::seconds kDeadline{60};

class BridgeSelf : public testing::Test {
  protected:
    explicit BridgeSelf(support::ConsulAgentOptions options = {}) : consul(std::move(options)) {}

    support::NatsServer nats;
    support::ConsulAgent consul;
    std::unique_ptr<Daemon> aggregator;
    std::unique_ptr<Daemon> bridge;

    void start_aggregator() {
        aggregator = std::make_unique<Daemon>("pgpulse-aggregator", "aggregator-1",
                                              std::vector<std::string>{"--nats", nats.url()});
    }

    [[nodiscard]] std::unique_ptr<Daemon> a_bridge(const std::string& id, std::vector<std::string> more = {},
                                                   support::ProcessOptions options = {}) const {
        std::vector<std::string> arguments{"--nats", nats.url(), "--consul", consul.http_url()};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return std::make_unique<Daemon>(kName, id, arguments, std::move(options));
    }

    void start_passing(std::vector<std::string> more = {}) {
        start_aggregator();
        bridge = a_bridge("bridge-1", std::move(more));
        ASSERT_TRUE(soon("bridge-1", "passing", "carries 0 targets")) << told();
    }

    /// The instance of this bridge in the catalog with its checks, null where there is none.
    [[nodiscard]] json instance(const std::string& id) const {
        const json all = json::parse(consul.get("/v1/health/service/" + kName).body, nullptr, false);
        if (!all.is_array()) return {};
        for (const json& one : all) {
            if (one["Service"]["ID"] == kName + "-" + id) return one;
        }
        return {};
    }

    [[nodiscard]] json check(const std::string& id) const {
        const json found = instance(id);
        if (found.is_null()) return {};
        for (const json& one : found["Checks"]) {
            if (one["CheckID"] == "service:" + kName + "-" + id) return one;
        }
        return {};
    }

    [[nodiscard]] bool says(const std::string& id, const std::string& status,
                            const std::string& output) const {
        const json found = check(id);
        return found.is_object() && found["Status"] == status &&
               std::regex_search(found["Output"].get<std::string>(), std::regex{output});
    }

    [[nodiscard]] bool soon(const std::string& id, const std::string& status,
                            const std::string& output) const {
        return wait_until([&] { return says(id, status, output); }, kDeadline);
    }

    [[nodiscard]] bool gone(const std::string& id) const {
        return wait_until([&] { return instance(id).is_null(); }, kDeadline);
    }

    [[nodiscard]] std::string told() const {
        return consul.get("/v1/health/service/" + kName).body + "\n" + bridge->log();
    }
};

const std::string kNoAggregator = R"(^no aggregator is alive since 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$)";
const std::string kNoNats = R"(^has not heard itself on NATS since 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$)";

TEST_F(BridgeSelf, PassesWhileAllIsWellAndACleanExitDeregisters) {
    start_passing();
    const json service = instance("bridge-1")["Service"];
    EXPECT_EQ(service["Address"], "127.0.0.1");
    EXPECT_GT(service["Port"], 0);
    EXPECT_EQ(service["Meta"]["managed-by"], "pgpulse");
    EXPECT_EQ(service["Meta"]["kv-prefix"], "health/");
    EXPECT_EQ(kName + " " + service["Meta"]["version"].get<std::string>() + "\n",
              support::run_to_end({support::built_program(kName), "--version"}).out);
    EXPECT_TRUE(wait_until([&] { return bridge->metric("pgpulse_bridge_pipeline_healthy") == 1; }));
    EXPECT_EQ(bridge->metric("pgpulse_bridge_stale"), 0);
    EXPECT_EQ(bridge->stop(), 0);
    EXPECT_TRUE(gone("bridge-1")) << told();
    EXPECT_EQ(times("not stopped within", bridge->log()), 0) << bridge->log();
}

TEST_F(BridgeSelf, IsCriticalWhileNoAggregatorIsAlive) {
    bridge = a_bridge("bridge-1");
    EXPECT_TRUE(soon("bridge-1", "critical", kNoAggregator)) << told();
    start_aggregator();
    EXPECT_TRUE(soon("bridge-1", "passing", "carries 0 targets")) << told();
    aggregator->kill9();
    EXPECT_TRUE(soon("bridge-1", "critical", kNoAggregator)) << told();
    EXPECT_TRUE(wait_until([&] { return bridge->readiness() == 200; })) << told();
    EXPECT_EQ(bridge->metric("pgpulse_bridge_pipeline_healthy"), 0);
    EXPECT_EQ(times("own check is critical: no aggregator is alive since", bridge->log()), 1)
        << bridge->log();
    aggregator->start();
    EXPECT_TRUE(soon("bridge-1", "passing", "carries 0 targets")) << told();
}

TEST_F(BridgeSelf, IsCriticalWhileNatsIsStoppedFrozenOrNotThereYet) {
    start_passing();
    nats.stop();
    EXPECT_TRUE(soon("bridge-1", "critical", kNoNats)) << told();
    nats.start();
    EXPECT_TRUE(soon("bridge-1", "passing", "carries 0 targets")) << told();
    nats.process().stop();
    EXPECT_TRUE(soon("bridge-1", "critical", kNoNats)) << told();
    nats.process().cont();
    EXPECT_TRUE(soon("bridge-1", "passing", "carries 0 targets")) << told();
    ASSERT_EQ(bridge->stop(), 0);
    nats.stop();
    bridge->start();
    EXPECT_TRUE(soon("bridge-1", "critical", "^starting: has not heard itself on NATS yet$")) << told();
    EXPECT_EQ(bridge->stop(), 0);
    EXPECT_TRUE(gone("bridge-1")) << told();
}

TEST_F(BridgeSelf, IsCriticalOnceItsTtlIsOverWhenItIsKilledAndPassesAgain) {
    start_passing();
    bridge->kill9();
    EXPECT_TRUE(soon("bridge-1", "critical", "TTL expired")) << told();
    bridge->start();
    EXPECT_TRUE(soon("bridge-1", "passing", "carries 0 targets")) << told();
}

TEST_F(BridgeSelf, IsCriticalOnceItsTtlIsOverWhenItIsFrozenAndPassesAgain) {
    start_passing();
    bridge->process().stop();
    EXPECT_TRUE(soon("bridge-1", "critical", "TTL expired")) << told();
    bridge->process().cont();
    EXPECT_TRUE(soon("bridge-1", "passing", "carries 0 targets")) << told();
}

class BridgeSelfCounted : public BridgeSelf {
  protected:
    // The agent tells its log of each request.
    BridgeSelfCounted() : BridgeSelf({.extra_config = R"({"log_level": "debug"})"}) {}
};

TEST_F(BridgeSelfCounted, NothingUnchangedWakesAWatcher) {
    start_passing();
    const support::ConsulWatch watch{consul.http_url(), {"-type=service", "-service=" + kName}};
    ASSERT_TRUE(wait_until([&] { return !watch.entries().empty(); }));
    const auto updates = [&] { return times("/v1/agent/check/update/service:" + kName, consul.log()); };
    // A machine that stands still for a second makes it critical for a while, which is a change.
    const auto undisturbed = [&] {
        const int troubles = times("own check is critical", bridge->log());
        EXPECT_TRUE(soon("bridge-1", "passing", "carries 0 targets")) << told();
        // The watch may have been started between the two writes that a registration is.
        const int seen = updates();
        EXPECT_TRUE(wait_until([&] { return updates() > seen; })) << told();
        const json before = instance("bridge-1");
        const std::size_t woken = watch.entries().size();
        const int first = updates();
        EXPECT_TRUE(wait_until([&] { return updates() >= first + 5; }, kDeadline)) << told();
        if (times("own check is critical", bridge->log()) != troubles) return false;
        EXPECT_EQ(instance("bridge-1"), before);
        EXPECT_EQ(watch.entries().size(), woken);
        return true;
    };
    EXPECT_TRUE(wait_until(undisturbed, 3 * kDeadline)) << told();
}

TEST_F(BridgeSelf, AnAgentThatRestartedKeepsItAndOneThatWasWipedGetsItAgain) {
    start_passing();
    consul.kill9();
    ASSERT_TRUE(wait_until([&] { return times("Consul's agent does not answer", bridge->log()) == 1; }));
    consul.start();
    EXPECT_TRUE(wait_until([&] { return times("is kept in Consul now", bridge->log()) == 1; })) << told();
    EXPECT_TRUE(soon("bridge-1", "passing", "carries 0 targets")) << told();
    consul.stop();
    consul.wipe();
    consul.start();
    EXPECT_TRUE(soon("bridge-1", "passing", "carries 0 targets")) << told();
    EXPECT_LE(times("is not kept in Consul", bridge->log()), 2) << bridge->log();
    EXPECT_EQ(consul.put("/v1/agent/service/deregister/" + kName + "-bridge-1", "").status, 200);
    EXPECT_TRUE(soon("bridge-1", "passing", "carries 0 targets")) << told();
}

TEST_F(BridgeSelf, AFrozenAgentKeepsNobodyFromStoppingInTime) {
    start_passing();
    // Half a second is left of the time that an end may take: more than that a machine may stand still, but not always.
    const auto in_time = [&] {
        const int late = times("not stopped within", bridge->log());
        consul.process().stop();
        EXPECT_EQ(bridge->stop(), 0);
        consul.process().cont();
        if (times("not stopped within", bridge->log()) == late) return true;
        bridge->start();
        EXPECT_TRUE(soon("bridge-1", "passing", "carries 0 targets")) << told();
        return false;
    };
    bool ended = false;
    for (int end = 0; end < 4 && !ended; ++end) ended = in_time();
    EXPECT_TRUE(ended) << bridge->log();
}

TEST_F(BridgeSelf, AServiceOfItsIdThatNoBridgeMadeIsLeftAlone) {
    const std::string id = kName + "-bridge-1";
    ASSERT_EQ(consul.put("/v1/agent/service/register", json{{"ID", id}, {"Name", "shop"}}.dump()).status,
              200);
    start_aggregator();
    bridge = a_bridge("bridge-1");
    ASSERT_TRUE(wait_until([&] { return times("that no bridge made", bridge->log()) == 1; })) << told();
    EXPECT_TRUE(wait_until([&] { return bridge->readiness() == 200; })) << bridge->log();
    EXPECT_EQ(json::parse(consul.get("/v1/agent/service/" + id).body)["Service"], "shop");
    EXPECT_EQ(consul.put("/v1/agent/service/deregister/" + id, "").status, 200);
    EXPECT_TRUE(soon("bridge-1", "passing", "carries 0 targets")) << told();
    EXPECT_EQ(times("that no bridge made", bridge->log()), 1) << bridge->log();
}

TEST_F(BridgeSelf, AnotherBridgeOfItsIdTakesNothingFromIt) {
    start_passing();
    const std::string run = instance("bridge-1")["Service"]["Meta"]["run"];
    const auto second = a_bridge("bridge-1");
    EXPECT_EQ(second->process().wait_exit(), 2) << second->log();
    EXPECT_EQ(instance("bridge-1")["Service"]["Meta"]["run"], run) << told();
    EXPECT_TRUE(says("bridge-1", "passing", "carries 0 targets")) << told();
}

TEST_F(BridgeSelf, TwoBridgesOfOneAgentHaveAServiceEach) {
    start_passing();
    const auto second = a_bridge("bridge-2");
    EXPECT_TRUE(soon("bridge-2", "passing", "carries 0 targets")) << second->log();
    EXPECT_EQ(bridge->stop(), 0);
    EXPECT_TRUE(gone("bridge-1")) << told();
    EXPECT_TRUE(says("bridge-2", "passing", "carries 0 targets")) << second->log();
}

TEST_F(BridgeSelf, IsNotRegisteredWithoutAName) {
    start_aggregator();
    bridge = a_bridge("bridge-1", {"--self-service", ""});
    EXPECT_TRUE(wait_until([&] { return bridge->metric("pgpulse_bridge_pipeline_healthy") == 1; })) << told();
    EXPECT_EQ(json::parse(consul.get("/v1/agent/services").body), json::object());
    EXPECT_EQ(bridge->stop(), 0);
}

class BridgeStale : public BridgeSelfCounted {
  protected:
    const std::vector<std::string> stale_soon{"--stale-after", "3"};
    static constexpr const char* kStale = "targets are stale since";

    [[nodiscard]] static bool becomes(const Daemon& daemon, bool stale) {
        return wait_until([&] { return daemon.metric("pgpulse_bridge_stale") == (stale ? 1 : 0); },
                          kDeadline);
    }
};

TEST_F(BridgeStale, OnceNoAggregatorWasAliveForThatLongAndUntilOneIs) {
    start_passing(stale_soon);
    ASSERT_TRUE(becomes(*bridge, false)) << told();
    // On a slow machine the bridge takes longer than that to hear itself, and says so.
    const int before = times(kStale, bridge->log());
    aggregator->kill9();
    EXPECT_TRUE(becomes(*bridge, true)) << told();
    EXPECT_TRUE(says("bridge-1", "critical", kNoAggregator)) << told();
    aggregator->start();
    EXPECT_TRUE(becomes(*bridge, false)) << told();
    EXPECT_EQ(times(kStale, bridge->log()), before + 1) << bridge->log();
}

TEST_F(BridgeStale, TargetsWarnInCheckAndValueAndSayWhatIsKnownOnceSomebodyKnows) {
    support::BucketAuthor bucket{nats.url()};
    bucket.define(support::a_definition("db1"));
    bucket.state(support::a_state("db1", contract::Health::up));
    bridge = a_bridge("bridge-1", stale_soon);
    const auto value = [&] {
        const auto raw = consul.kv_get_raw("health/db1");
        return raw ? json::parse(*raw) : json::object();
    };
    ASSERT_TRUE(wait_until([&] { return value().contains("stale_since"); }, kDeadline)) << told();
    EXPECT_EQ(value()["state"], "up");
    EXPECT_EQ(consul.check_status("db1-isready"), "warning");
    // A bridge that has not heard itself yet gives that as the reason first.
    EXPECT_TRUE(wait_until(
        [&] {
            return consul.get("/v1/health/node/db1")
                       .body.find("no aggregator is alive; last known: up since") != std::string::npos;
        },
        kDeadline))
        << told();
    start_aggregator();
    EXPECT_TRUE(wait_until([&] { return !value().contains("stale_since"); }, kDeadline)) << told();
    EXPECT_EQ(consul.get("/v1/health/node/db1").body.find("stale since"), std::string::npos);
}

TEST_F(BridgeStale, OneThatIsCutOffFromNatsLeavesAllToTheOther) {
    start_passing(stale_soon);
    support::TcpRelay relay{nats.port()};
    const Daemon second{kName,
                        "bridge-2",
                        {"--nats", "nats://127.0.0.1:" + std::to_string(relay.port()), "--consul",
                         consul.http_url(), "--stale-after", "3"}};
    ASSERT_TRUE(soon("bridge-2", "passing", "carries 0 targets")) << second.log();
    ASSERT_TRUE(becomes(second, false)) << second.log();
    const int before = times(kStale, second.log());
    relay.cut();
    EXPECT_TRUE(soon("bridge-2", "critical", kNoNats)) << second.log();
    // So many times it has asked for the other since; from one to the next 2.5 s pass.
    const auto updates = [&] {
        return times("/v1/agent/check/update/service:" + kName + "-bridge-2", consul.log());
    };
    const int first = updates();
    ASSERT_TRUE(wait_until([&] { return updates() >= first + 4; }, kDeadline)) << second.log();
    // Unless the other did not hear NATS for a while, on a machine that stood still.
    const bool other_passed = times("own check is critical", bridge->log()) == 0;
    if (other_passed) {
        EXPECT_EQ(second.metric("pgpulse_bridge_stale"), 0);
    }
    EXPECT_TRUE(soon("bridge-1", "passing", "carries 0 targets")) << told();
    // Alone it says so, and until it hears itself again.
    EXPECT_EQ(bridge->stop(), 0);
    EXPECT_TRUE(becomes(second, true)) << second.log();
    relay.mend();
    EXPECT_TRUE(becomes(second, false)) << second.log();
    if (other_passed) {
        EXPECT_EQ(times(kStale, second.log()), before + 1) << second.log();
    }
}

TEST_F(BridgeStale, AllOfThemWhenNatsIsGoneAndUntilItIsBack) {
    start_passing(stale_soon);
    const auto second = a_bridge("bridge-2", stale_soon);
    ASSERT_TRUE(soon("bridge-2", "passing", "carries 0 targets")) << second->log();
    nats.stop();
    EXPECT_TRUE(becomes(*bridge, true)) << told();
    EXPECT_TRUE(becomes(*second, true)) << second->log();
    EXPECT_TRUE(wait_until([&] { return times("no bridge hears NATS", bridge->log()) == 1; }))
        << bridge->log();
    nats.start();
    EXPECT_TRUE(becomes(*bridge, false)) << told();
    EXPECT_TRUE(becomes(*second, false)) << second->log();
}

constexpr const char* kManagementToken = "7a0d2b8e-5b0c-4c53-9d1c-6e5a1f0c2a11";

class BridgeSelfUnderAcls : public BridgeSelf {
  protected:
    BridgeSelfUnderAcls()
        : BridgeSelf({.extra_config =
                          json{{"acl",
                                {{"enabled", true},
                                 {"default_policy", "deny"},
                                 {"policy_ttl", "1s"},
                                 {"token_ttl", "1s"},
                                 {"tokens", {{"master", kManagementToken}, {"agent", kManagementToken}}}}}}
                              .dump(),
                      .token = kManagementToken}) {}

    std::string policy_id;

    void allow(const std::string& rules) {
        const json policy{{"Name", "bridge"}, {"Rules", rules}};
        const auto answer =
            consul.put("/v1/acl/policy" + (policy_id.empty() ? "" : "/" + policy_id), policy.dump());
        ASSERT_EQ(answer.status, 200) << answer.body;
        policy_id = json::parse(answer.body)["ID"];
    }
};

TEST_F(BridgeSelfUnderAcls, AMissingRightIsNamedOnceAndNeedsNoMoreThanItsRule) {
    allow(R"(key_prefix "health/" { policy = "write" })");
    const auto token = consul.put("/v1/acl/token", json{{"Policies", {{{"ID", policy_id}}}}}.dump());
    ASSERT_EQ(token.status, 200) << token.body;
    const std::string secret = json::parse(token.body)["SecretID"];
    start_aggregator();
    bridge = a_bridge("bridge-1", {}, {.environment = {{"CONSUL_HTTP_TOKEN", secret}}});
    const std::string named = R"(the rule service ")" + kName + R"(" { policy = "write" } is missing)";
    ASSERT_TRUE(wait_until([&] { return times(named, bridge->log()) == 1; })) << told();
    allow(R"(key_prefix "health/" { policy = "write" } service ")" + kName + R"(" { policy = "write" })");
    EXPECT_TRUE(soon("bridge-1", "passing", "carries 0 targets")) << told();
    EXPECT_EQ(times(named, bridge->log()), 1) << bridge->log();
    EXPECT_EQ(bridge->stop(), 0);
    EXPECT_TRUE(gone("bridge-1")) << told();
    EXPECT_EQ(times(secret, bridge->log()), 0);
}

TEST_F(BridgeSelfUnderAcls, WithoutTheRightToSeeTheOthersNothingIsStaleWhileNatsIsGone) {
    const std::string own =
        R"(key_prefix "health/" { policy = "write" } service ")" + kName + R"(" { policy = "write" })";
    allow(own);
    const auto token = consul.put("/v1/acl/token", json{{"Policies", {{{"ID", policy_id}}}}}.dump());
    ASSERT_EQ(token.status, 200) << token.body;
    const std::string secret = json::parse(token.body)["SecretID"];
    start_aggregator();
    bridge = a_bridge("bridge-1", {"--stale-after", "1"}, {.environment = {{"CONSUL_HTTP_TOKEN", secret}}});
    ASSERT_TRUE(soon("bridge-1", "passing", "carries 0 targets")) << told();
    nats.stop();
    ASSERT_TRUE(
        wait_until([&] { return times(R"(the rule node_prefix "")", bridge->log()) == 1; }, kDeadline))
        << told();
    EXPECT_EQ(bridge->metric("pgpulse_bridge_stale"), 0);
    allow(own + R"( node_prefix "" { policy = "read" })");
    EXPECT_TRUE(wait_until([&] { return bridge->metric("pgpulse_bridge_stale") == 1; }, kDeadline)) << told();
}

}  // namespace
}  // namespace pgpulse
