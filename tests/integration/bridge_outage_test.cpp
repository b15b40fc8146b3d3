#include "tests/support/bucket_author.hpp"
#include "tests/support/consul_agent.hpp"
#include "tests/support/consul_cluster.hpp"
#include "tests/support/consul_ledger.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/http_proxy.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/times.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

// Two bridges whose Consul is in trouble, while states change: what is kept, what lands, and what is said.
namespace pgpulse {
namespace {

using contract::Health;
using nlohmann::json;
using std::chrono::seconds;
using support::a_definition;
using support::a_state;
using support::eventually;
using support::times;
using support::wait_until;

constexpr int kOutageTargets = 30;
/// Transitions while Consul is away, which are all kept as one state a target.
constexpr int kTransitions = 3000;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr long kMostGrowthKib = 300L * 1024;  // freed memory is kept
#else
constexpr long kMostGrowthKib = 8192;
#endif

/// How long Consul is away at least: as long as the transitions take, or a minute with PGPULSE_TEST_LONG=1.
seconds time_away() {
    const char* const longer = std::getenv("PGPULSE_TEST_LONG");
    return longer != nullptr && std::string{longer} == "1" ? seconds{60} : seconds{0};
}

/// Resident memory, in KiB.
long memory_of(pid_t pid) {
    std::ifstream status{"/proc/" + std::to_string(pid) + "/status"};
    for (std::string word; status >> word;) {
        long kib = 0;
        if (word == "VmRSS:" && status >> kib) return kib;
    }
    return 0;
}

class BridgeOutage : public testing::Test {
  protected:
    support::NatsServer nats;
    support::BucketAuthor bucket{nats.url()};
    std::vector<std::unique_ptr<support::Daemon>> bridges;
    struct Newest {
        std::uint64_t transition = 0;
        std::uint64_t revision = 0;
        Health health = Health::unknown;
    };
    std::map<std::string, Newest> newest;
    unsigned turn = 0;

    void start_bridge(const std::string& consul_url, const std::string& reconcile_seconds = "60") {
        bridges.push_back(std::make_unique<support::Daemon>(
            "pgpulse-consul-bridge", "bridge-" + std::to_string(bridges.size()),
            std::vector<std::string>{"--nats", nats.url(), "--consul", consul_url, "--reconcile-interval",
                                     reconcile_seconds}));
    }

    void define_all(int targets = kOutageTargets) {
        for (int i = 0; i < targets; ++i) {
            const std::string name = "db" + std::to_string(i);
            bucket.define(a_definition(name));
            flip(name, Health::up);
        }
    }

    void flip(const std::string& name, Health health) {
        Newest& last = newest[name];
        last.health = health;
        last.revision = bucket.state(a_state(name, health, ++last.transition));
    }

    /// Each target at least once, and not in step.
    void flip_often(int transitions) {
        constexpr Health kStates[] = {Health::down, Health::up, Health::unknown};
        for (int i = 0; i < transitions; ++i) {
            flip("db" + std::to_string(i % static_cast<int>(newest.size())), kStates[turn++ / 7 % 3]);
        }
    }

    /// Consul has the newest state of every target, in the KV store and in the check.
    [[nodiscard]] bool all_there(const support::ConsulAgent& consul) const {
        const auto values = consul.get("/v1/kv/health/?recurse");
        const auto checks = consul.get("/v1/health/state/any");
        if (values.status != 200 || checks.status != 200) return false;
        std::map<std::string, std::string> statuses;
        for (const json& check : json::parse(checks.body)) statuses[check["CheckID"]] = check["Status"];
        if (json::parse(values.body).size() != newest.size()) return false;
        return std::ranges::all_of(newest, [&](const auto& entry) {
            const auto& [name, state] = entry;
            const auto one = consul.get("/v1/kv/health/" + name + "?raw");
            const char* status = state.health == Health::up     ? "passing"
                                 : state.health == Health::down ? "critical"
                                                                : "warning";
            const json value = one.status == 200 ? json::parse(one.body, nullptr, false) : json{};
            return value.is_object() && value.value("revision", std::uint64_t{0}) == state.revision &&
                   statuses[name + "-isready"] == status;
        });
    }

    [[nodiscard]] bool lands(const support::ConsulAgent& consul,
                             seconds deadline = support::default_deadline) const {
        return wait_until([&] { return all_there(consul); }, deadline);
    }

    [[nodiscard]] bool all_log(const std::string& line) const {
        return wait_until([&] {
            return std::ranges::all_of(bridges,
                                       [&](const auto& bridge) { return times(line, bridge->log()) > 0; });
        });
    }

    [[nodiscard]] std::string logs() const {
        std::string all;
        for (const auto& bridge : bridges) all += "\n" + bridge->log();
        return all;
    }

    [[nodiscard]] double pending() const {
        double sum = 0;
        for (const auto& bridge : bridges)
            sum += bridge->metric("pgpulse_bridge_pending_targets").value_or(0);
        return sum;
    }

    struct Trouble {
        std::function<void()> begin;
        std::function<void()> end;
        std::string said;
        std::string over;
    };

    void endure(const support::ConsulAgent& consul, const Trouble& trouble) {
        ASSERT_TRUE(lands(consul)) << logs();
        const support::ConsulLedger ledger{consul};
        trouble.begin();
        const auto end = std::chrono::steady_clock::now() + time_away();
        flip_often(kOutageTargets);
        ASSERT_TRUE(all_log(trouble.said)) << logs();
        std::vector<long> before;
        for (const auto& bridge : bridges) before.push_back(memory_of(bridge->process().pid()));
        do flip_often(kTransitions);
        while (std::chrono::steady_clock::now() < end);
        EXPECT_TRUE(wait_until([&] { return pending() >= kOutageTargets; })) << logs();
        for (std::size_t i = 0; i < bridges.size(); ++i) {
            EXPECT_LE(memory_of(bridges[i]->process().pid()), before[i] + kMostGrowthKib);
        }
        trouble.end();
        EXPECT_TRUE(lands(consul)) << logs();
        EXPECT_TRUE(all_log(trouble.over)) << logs();
        for (const auto& bridge : bridges) {
            EXPECT_EQ(times(trouble.said, bridge->log()), 1) << bridge->log();
            EXPECT_EQ(times(trouble.over, bridge->log()), 1) << bridge->log();
        }
        EXPECT_EQ(ledger.faults(), std::vector<std::string>{});
        EXPECT_TRUE(wait_until([&] { return ledger.changes() > 0; }));
    }
};

const std::string kAway = "keeping the latest state of every target until it answers";
const std::string kBack = "Consul answers again after";

TEST_F(BridgeOutage, AConsulThatIsDown) {
    support::ConsulAgent consul;
    define_all();
    for (int i = 0; i < 2; ++i) start_bridge(consul.http_url());
    endure(consul, {[&] { consul.kill9(); }, [&] { consul.start(); }, kAway, kBack});
}

TEST_F(BridgeOutage, AConsulThatIsFrozen) {
    support::ConsulAgent consul;
    define_all();
    for (int i = 0; i < 2; ++i) start_bridge(consul.http_url());
    endure(consul, {[&] { consul.process().stop(); }, [&] { consul.process().cont(); }, kAway, kBack});
}

class BridgeOutageBehindAProxy : public BridgeOutage, public testing::WithParamInterface<int> {};

TEST_P(BridgeOutageBehindAProxy, ThatAnswersInConsulsPlace) {
    support::ConsulAgent consul;
    const support::HttpProxy proxy{consul.http_port()};
    define_all();
    for (int i = 0; i < 2; ++i) start_bridge(proxy.url());
    const int status = GetParam();
    const std::string answers =
        "answers HTTP " + std::to_string(status) + ": the proxy says no: " +
        (status == 429 ? "sending less, and the latest state of every target" : kAway);
    endure(consul, {[&] { proxy.answer(status); }, [&] { proxy.pass(); }, answers,
                    status == 429 ? "Consul takes all requests again" : kBack});
}

INSTANTIATE_TEST_SUITE_P(Status, BridgeOutageBehindAProxy, testing::Values(429, 500, 503));

TEST_F(BridgeOutage, AClientAgentThatAllowsFewRequestsASecond) {
    const support::ConsulAgent server;
    const support::ConsulAgent client{{.extra_config = R"({"limits": {"rpc_rate": 4, "rpc_max_burst": 4}})",
                                       .node_name = "client",
                                       .servers = 0,
                                       .join = {server.serf_port()}}};
    define_all();
    start_bridge(client.http_url());
    ASSERT_TRUE(lands(server)) << logs();
    const support::ConsulLedger ledger{server};
    for (int round = 0; round < 20 && times("sending less", logs()) == 0; ++round)
        flip_often(10 * kOutageTargets);
    EXPECT_TRUE(all_log("HTTP 429: ")) << logs();
    EXPECT_TRUE(lands(server)) << logs();
    EXPECT_EQ(times("sending less, and the latest state of every target", logs()), 1) << logs();
    EXPECT_EQ(times(kAway, logs()), 0) << logs();
    EXPECT_EQ(ledger.faults(), std::vector<std::string>{});
}

class BridgeOutageOfACluster : public BridgeOutage {
  protected:
    support::ConsulCluster cluster;
    std::size_t agent = 0;  // the server that the bridges ask
    std::size_t leader = 0;

    void start() {
        agent = cluster.follower();
        leader = *cluster.leader();
        define_all();
        for (int i = 0; i < 2; ++i) start_bridge(cluster.server(agent).http_url());
        ASSERT_TRUE(lands(cluster.server(agent))) << logs();
    }

    /// States change all the time until somebody else leads.
    void flip_until_another_leads() {
        ASSERT_TRUE(wait_until([&] {
            flip_often(kOutageTargets);
            return cluster.leader(leader).has_value();
        })) << cluster.log();
        flip_often(kOutageTargets);
    }

    void expect_as_often_over_as_it_began() const {
        for (const auto& bridge : bridges) {
            EXPECT_TRUE(wait_until([&] {
                return times(kAway, bridge->log()) == times(kBack, bridge->log());
            })) << bridge->log();
        }
    }
};

TEST_F(BridgeOutageOfACluster, WhoseLeaderIsKilled) {
    start();
    const support::ConsulLedger ledger{cluster.server(agent)};
    cluster.server(leader).kill9();
    flip_until_another_leads();
    EXPECT_TRUE(lands(cluster.server(agent))) << logs();
    cluster.server(leader).start();
    flip_often(kOutageTargets);
    EXPECT_TRUE(lands(cluster.server(leader))) << logs();
    EXPECT_EQ(ledger.faults(), std::vector<std::string>{});
    expect_as_often_over_as_it_began();
}

TEST_F(BridgeOutageOfACluster, WhoseLeaderIsFrozenAndGoesOn) {
    start();
    const support::ConsulLedger ledger{cluster.server(agent)};
    cluster.server(leader).process().stop();
    flip_until_another_leads();
    // A request that waits for the frozen server is given up after ten seconds.
    EXPECT_TRUE(lands(cluster.server(agent), seconds{60})) << logs();
    cluster.server(leader).process().cont();
    flip_often(kOutageTargets);
    EXPECT_TRUE(lands(cluster.server(agent))) << logs();
    EXPECT_TRUE(lands(cluster.server(leader))) << logs();
    EXPECT_EQ(ledger.faults(), std::vector<std::string>{});
    expect_as_often_over_as_it_began();
}

TEST_F(BridgeOutageOfACluster, ThatLosesItsQuorum) {
    start();
    const support::ConsulLedger ledger{cluster.server(agent)};
    for (std::size_t i = 0; i < support::ConsulCluster::kServers; ++i) {
        if (i != agent) cluster.server(i).kill9();
    }
    ASSERT_TRUE(wait_until([&] {
        flip_often(kOutageTargets);
        return times(kAway, bridges[0]->log()) > 0 && times(kAway, bridges[1]->log()) > 0;
    })) << logs();
    flip_often(kTransitions / 10);
    cluster.server(leader).start();
    EXPECT_TRUE(lands(cluster.server(agent))) << logs();
    EXPECT_EQ(ledger.faults(), std::vector<std::string>{});
    expect_as_often_over_as_it_began();
}

TEST_F(BridgeOutage, AConsulThatIsRestoredFromAnOldSnapshot) {
    const support::ConsulAgent consul;
    define_all();
    for (int i = 0; i < 2; ++i) start_bridge(consul.http_url(), "2");
    ASSERT_TRUE(lands(consul)) << logs();
    const support::TempDir folder;
    const std::string file = (folder / "snapshot").string();
    const auto snapshot = [&](const char* verb) {
        const auto result = support::run_to_end(
            {support::consul_program(), "snapshot", verb, "-http-addr=" + consul.http_url(), file});
        ASSERT_EQ(result.exit_code, 0) << result.err;
    };
    snapshot("save");
    flip_often(3 * kOutageTargets);
    bucket.undefine("db0");
    newest.erase("db0");
    bucket.define(a_definition("new"));
    flip("new", Health::up);
    ASSERT_TRUE(lands(consul)) << logs();
    // So that what is repaired is seen from its beginning on.
    for (const auto& bridge : bridges) bridge->process().stop();
    snapshot("restore");
    EXPECT_FALSE(all_there(consul));
    // From here on: Consul itself went back.
    const support::ConsulLedger ledger{consul};
    for (const auto& bridge : bridges) bridge->process().cont();
    flip("db1", Health::down);
    flip("db2", Health::up);
    EXPECT_TRUE(lands(consul)) << logs();
    EXPECT_TRUE(wait_until([&] { return !consul.check_status("db0-isready"); })) << logs();
    EXPECT_EQ(ledger.faults(), std::vector<std::string>{});
}

TEST_F(BridgeOutage, AConsulThatIsWiped) {
    support::ConsulAgent consul;
    define_all();
    for (int i = 0; i < 2; ++i) start_bridge(consul.http_url(), "2");
    ASSERT_TRUE(lands(consul)) << logs();
    consul.stop();
    consul.wipe();
    flip_often(3 * kOutageTargets);
    consul.start();
    const support::ConsulLedger ledger{consul};
    flip_often(3 * kOutageTargets);
    EXPECT_TRUE(lands(consul)) << logs();
    EXPECT_EQ(ledger.faults(), std::vector<std::string>{});
}

TEST_F(BridgeOutage, ABridgeThatSleptOverwritesNothingNewer) {
    const support::ConsulAgent consul;
    define_all();
    for (int i = 0; i < 2; ++i) start_bridge(consul.http_url(), "1");
    ASSERT_TRUE(lands(consul)) << logs();
    const support::ConsulLedger ledger{consul};
    for (int round = 0; round < 3; ++round) {
        flip_often(2 * kOutageTargets);
        bridges[0]->process().stop();
        flip_often(3 * kOutageTargets);
        EXPECT_TRUE(lands(consul)) << logs();
        bridges[0]->process().cont();
        flip_often(kOutageTargets);
        EXPECT_TRUE(lands(consul)) << logs();
    }
    EXPECT_EQ(ledger.faults(), std::vector<std::string>{});
}

}  // namespace
}  // namespace pgpulse
