#include "common/contract/target.hpp"
#include "tests/support/bucket_ledger.hpp"
#include "tests/support/coverage_ledger.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/network_namespace.hpp"
#include "tests/support/pgbouncer.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/targets_bucket.hpp"
#include "tests/support/wait_until.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

// A worker whose network is cut while the rest of the fleet goes on. It runs in a network namespace of its own, from
// which one cable leads to the targets and another to NATS; a pulled cable loses what is sent, without a word. The
// servers, an aggregator, two more workers and this test live in the other namespace.
namespace pgpulse {
namespace {

using namespace std::chrono_literals;
using support::CoverageLedger;
using support::Daemon;
using support::mono_ms;
using support::NetworkNamespace;
using support::wait_until;

constexpr auto kInterval = 1000ms;
constexpr int kPairs = 16;
constexpr int kLone = 8;
constexpr int kAtPostgres = 2;
constexpr int kRounds = 6;
/// Where the servers are, on loopback interfaces of the servers' side, which no cut takes away.
constexpr const char* kTargetsAt = "10.231.0.1";
constexpr const char* kNatsAt = "10.231.0.2";
constexpr const char* kFar = "w3";

class ProbeCut : public testing::Test {
  protected:
    NetworkNamespace near;
    NetworkNamespace far;
    std::optional<NetworkNamespace::Visit> at_home{near};  // what follows is started there
    support::NatsServer server{{.host = "0.0.0.0"}};
    support::PostgresServer postgres{{.settings = {{"listen_addresses", "*"}},
                                      .hba = {"local all all trust", "host all all 127.0.0.1/32 trust",
                                              "host all all 10.231.0.0/16 scram-sha-256"}}};
    support::PgBouncer pooler{{.listen_address = "0.0.0.0"}};
    std::unique_ptr<nats::Connection> connection;
    std::unique_ptr<CoverageLedger> ledger;
    std::unique_ptr<support::BucketLedger> states;
    std::map<std::string, std::unique_ptr<Daemon>> workers;
    std::unique_ptr<Daemon> aggregator;

    void SetUp() override {
        lay_cable("targets", "10.231.1.1", "10.231.1.2", kTargetsAt);
        lay_cable("nats", "10.231.2.1", "10.231.2.2", kNatsAt);
        connection = support::connect_with_targets_bucket(server.url());
        ledger = std::make_unique<CoverageLedger>(*connection, 3 * kInterval);
        states = std::make_unique<support::BucketLedger>(*connection);
        for (int i = 0; i < kPairs; ++i) define(pair(i), i, 2);
        for (int i = 0; i < kLone; ++i) define(lone(i), kPairs + i, 1);
        ASSERT_TRUE(connection->flush(5s));
    }

    /// `more` are flags of the far worker.
    void start_fleet(const std::vector<std::string>& more = {}) {
        const std::vector<std::string> here{"--nats", server.url()};
        aggregator = std::make_unique<Daemon>("pgpulse-aggregator", "aggregator-1", here);
        for (const char* id : {"w1", "w2"}) workers[id] = std::make_unique<Daemon>("pgpulse-probe", id, here);
        // Nobody listens at port 1: a refusal is an answer.
        std::vector<std::string> there{"--nats", fmt::format("nats://{}:{}", kNatsAt, server.port()),
                                       "--reference", fmt::format("{}:1", kTargetsAt)};
        there.insert(there.end(), more.begin(), more.end());
        {
            const NetworkNamespace::Visit visit{far};
            workers[kFar] = std::make_unique<Daemon>("pgpulse-probe", kFar, there);
        }
        ASSERT_TRUE(observed_by({"w1", "w2", kFar})) << logs();
        ASSERT_TRUE(wait_until([&] { return all_states_up(); })) << logs();
    }

    static std::string pair(int i) { return "pair-" + std::to_string(i); }
    static std::string lone(int i) { return "lone-" + std::to_string(i); }
    static std::vector<std::string> all_targets() {
        std::vector<std::string> all;
        for (int i = 0; i < kPairs; ++i) all.push_back(pair(i));
        for (int i = 0; i < kLone; ++i) all.push_back(lone(i));
        return all;
    }

    void lay_cable(const std::string& name, const std::string& address, const std::string& far_address,
                   const std::string& leads_to) const {
        near.ip({"address", "add", leads_to + "/32", "dev", "lo"});
        near.connect(far, name, address, far_address);
        far.ip({"route", "add", leads_to, "via", address});
    }

    void pull(const std::string& cable) const { near.ip({"link", "set", cable, "down"}); }
    void plug_in(const std::string& cable) const { near.ip({"link", "set", cable, "up"}); }

    void define(const std::string& name, int number, std::uint32_t observers) const {
        contract::TargetDefinition target;
        target.name = target.service = name;
        target.address = kTargetsAt;
        target.port = number < kAtPostgres ? postgres.port() : pooler.port();
        target.interval = kInterval;
        target.timeout = 2s;  // what a loaded machine does not reach
        target.observers = observers;
        support::put_target(*connection, target);
    }

    /// These workers and no others hold every target up, each by as many as it is to have.
    bool observed_by(const std::set<std::string>& ids) {
        return wait_until(
            [&] {
                const CoverageLedger::Owners owners = ledger->owners();
                if (owners.size() != kPairs + kLone || ledger->holding_up() != owners) return false;
                std::set<std::string> seen;
                for (const auto& [target, by] : owners) {
                    if (by.size() != (target.starts_with("pair-") ? 2U : 1U)) return false;
                    seen.insert(by.begin(), by.end());
                }
                return seen == ids;
            },
            60s);
    }

    bool all_states_up() const {
        return std::ranges::all_of(all_targets(), [&](const std::string& target) {
            const auto newest = states->newest(target);
            return newest && newest->state.state == contract::Health::up;
        });
    }

    /// A sample of the far worker's metrics, read where it is.
    double far_metric(const std::string& sample) {
        const NetworkNamespace::Visit visit{far};
        return workers[kFar]->metric(sample).value_or(0);
    }

    double far_pings() { return far_metric("pgpulse_probe_lateness_seconds_count"); }
    double far_answers() { return far_metric("pgpulse_probe_rtt_seconds_count"); }

    bool far_pings_on() {
        // Beyond a TTL: its eight targets are pinged once a second.
        return wait_until([&, before = far_pings()] { return far_pings() > before + 40; }, 60s);
    }

    /// How often the far worker took targets over or gave some up.
    std::size_t far_moves() {
        const std::string text = workers[kFar]->log();
        std::size_t count = 0;
        for (auto at = text.find("targets gained"); at != std::string::npos;
             at = text.find("targets gained", at + 1))
            ++count;
        return count;
    }

    /// The longest time without a ping since then, of those targets that had the far worker among them.
    std::int64_t worst_gap(const std::string& kind, const CoverageLedger::Owners& before,
                           std::int64_t since) {
        std::int64_t worst = 0;
        for (const auto& [target, owners] : before) {
            if (target.starts_with(kind) && owners.contains(kFar))
                worst = std::max(worst, ledger->longest_gap(target, since));
        }
        return worst;
    }

    /// What the far worker said against its targets since then.
    std::vector<contract::Ping> far_accusations(std::int64_t since) {
        std::vector<contract::Ping> found = ledger->accusations(since);
        std::erase_if(found, [](const contract::Ping& ping) { return ping.worker != kFar; });
        return found;
    }

    /// The far worker, blind since then, has held no target down. Failures it does publish: until it has pinged
    /// enough others to know better it holds them back, and its opinion stays.
    void expect_nobody_called_down(std::int64_t since) {
        std::vector<contract::Ping> down = far_accusations(since);
        std::erase_if(down,
                      [](const contract::Ping& ping) { return ping.opinion != contract::Opinion::down; });
        EXPECT_TRUE(down.empty()) << support::shown(down) << '\n' << logs();
    }

    void expect_no_transition() const {
        for (const std::string& target : all_targets())
            EXPECT_EQ(states->history(target).size(), 1U) << target << " was never away\n" << logs();
    }

    std::string logs() const {
        std::string text = "aggregator:\n" + aggregator->log();
        for (const auto& [id, worker] : workers) text += id + ":\n" + worker->log();
        return text;
    }
};

TEST_F(ProbeCut, FromNatsAloneAWorkerPingsOnAndItsTargetsAreTakenOverUntilItIsBack) {
    ASSERT_NO_FATAL_FAILURE(start_fleet());
    const auto before = ledger->owners();
    const std::size_t moves = far_moves();
    const std::int64_t since = mono_ms();
    const double answers = far_answers();
    pull("nats");
    ASSERT_TRUE(observed_by({"w1", "w2"})) << logs();
    EXPECT_LT(worst_gap("pair-", before, since), worst_gap("lone-", before, since))
        << "those with a second observer were not missed as those with one are\n"
        << logs();
    EXPECT_TRUE(far_pings_on()) << logs();
    EXPECT_GT(far_answers(), answers + 20) << "and the targets answer it";
    EXPECT_EQ(far_metric("pgpulse_probe_suspect"), 0) << logs();

    plug_in("nats");
    ASSERT_TRUE(observed_by({"w1", "w2", kFar})) << logs();
    EXPECT_TRUE(wait_until([&] { return ledger->owners() == before; })) << logs();
    EXPECT_EQ(far_moves(), moves) << "its membership was frozen\n" << logs();
    const auto accusations = far_accusations(since);
    EXPECT_TRUE(accusations.empty()) << support::shown(accusations) << '\n' << logs();
    expect_no_transition();
}

TEST_F(ProbeCut, FromEverythingAWorkerDoubtsItselfAndNeverCallsAHealthyTargetDown) {
    ASSERT_NO_FATAL_FAILURE(start_fleet());
    const auto before = ledger->owners();
    const std::size_t moves = far_moves();
    const std::int64_t since = mono_ms();
    pull("nats");
    pull("targets");
    ASSERT_TRUE(observed_by({"w1", "w2"})) << logs();
    EXPECT_LT(worst_gap("pair-", before, since), worst_gap("lone-", before, since)) << logs();
    EXPECT_TRUE(wait_until([&] { return far_metric("pgpulse_probe_suspect") == 1; })) << logs();
    EXPECT_TRUE(far_pings_on()) << logs();
    EXPECT_EQ(far_metric("pgpulse_probe_suspect"), 1) << "as long as no reference answers\n" << logs();

    // NATS first, so that it can say all that it thinks of the targets while it is blind.
    plug_in("nats");
    const auto heard_blind = [&] {
        return std::ranges::any_of(all_targets(), [&](const std::string& target) {
            const auto ping = ledger->newest(target, kFar);
            return ping && ping->suspect;
        });
    };
    EXPECT_TRUE(wait_until(heard_blind)) << logs();
    plug_in("targets");
    ASSERT_TRUE(observed_by({"w1", "w2", kFar})) << logs();
    EXPECT_TRUE(wait_until([&] { return ledger->owners() == before; })) << logs();
    EXPECT_EQ(far_moves(), moves) << "its membership was frozen\n" << logs();
    EXPECT_TRUE(wait_until([&] { return far_metric("pgpulse_probe_suspect") == 0; })) << logs();

    expect_nobody_called_down(since);
    expect_no_transition();
}

TEST_F(ProbeCut, FromItsTargetsAloneAgainAndAgainAWorkerNeverCallsAHealthyTargetDown) {
    ASSERT_NO_FATAL_FAILURE(start_fleet());
    for (int round = 1; round <= kRounds && !HasFailure(); ++round) {
        const std::int64_t since = mono_ms();
        pull("targets");
        // What is under way when the cable is back in must not count either, and some always is: a doubted
        // target is pinged ten times a second.
        EXPECT_TRUE(wait_until([&] { return far_metric("pgpulse_probe_suspect") == 1; })) << logs();
        EXPECT_TRUE(far_pings_on()) << logs();
        plug_in("targets");
        EXPECT_TRUE(wait_until([&] { return far_metric("pgpulse_probe_suspect") == 0; })) << logs();
        EXPECT_TRUE(observed_by({"w1", "w2", kFar})) << logs();
        expect_nobody_called_down(since);
    }
    expect_no_transition();
}

TEST_F(ProbeCut, FromItsTargetsAWorkerThatTrustsItselfCallsThemDown) {
    ASSERT_NO_FATAL_FAILURE(start_fleet({"--trust-itself"}));
    const std::int64_t since = mono_ms();
    pull("targets");
    EXPECT_TRUE(wait_until([&] {
        return std::ranges::any_of(far_accusations(since), [](const contract::Ping& ping) {
            return ping.opinion == contract::Opinion::down;
        });
    })) << "the tests above could not fail\n"
        << logs();
}

}  // namespace
}  // namespace pgpulse
