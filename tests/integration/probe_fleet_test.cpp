#include "common/contract/names.hpp"
#include "common/contract/ping.hpp"
#include "common/contract/target.hpp"
#include "common/nats/subscription.hpp"
#include "tests/support/coverage_ledger.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/free_port.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/targets_bucket.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <set>

// Several pgpulse-probe beside a real nats-server: who observes what, and whether anything goes unobserved while workers
// come, go, die and stop. Coverage is counted from the pings on NATS by the workers' own clock, which all processes of one
// machine share.
namespace pgpulse {
namespace {

using namespace std::chrono_literals;
using support::CoverageLedger;
using support::Daemon;
using support::mono_ms;
using support::wait_until;
using testing::HasSubstr;

constexpr auto kInterval = 1000ms;
/// A worker that has not pinged a target for so long does not observe it.
constexpr auto kFresh = 3000ms;
constexpr int kPairs = 300;
constexpr int kLone = 30;

class ProbeFleet : public testing::Test {
  protected:
    support::NatsServer server;
    std::unique_ptr<nats::Connection> connection;
    std::unique_ptr<CoverageLedger> ledger;
    std::map<std::string, std::unique_ptr<Daemon>> workers;

    void SetUp() override {
        connection = support::connect_with_targets_bucket(server.url());
        ledger = std::make_unique<CoverageLedger>(*connection, kFresh);
    }

    void define(const std::string& name, std::uint16_t port, std::uint32_t observers,
                std::chrono::milliseconds interval = kInterval) {
        contract::TargetDefinition target;
        target.name = target.service = name;
        target.address = "127.0.0.1";
        target.port = port;
        target.interval = interval;
        target.timeout = 10s;  // what a loaded machine does not reach
        target.observers = observers;
        support::put_target(*connection, target);
    }

    /// Targets with two observers and some with one. Most of them refuse, which is honest and costs next to nothing.
    void define_fleet(std::uint16_t postgres) {
        const std::uint16_t closed = support::free_port();
        for (int i = 0; i < kPairs; ++i) define("pair-" + std::to_string(i), i < 3 ? postgres : closed, 2);
        for (int i = 0; i < kLone; ++i) define("lone-" + std::to_string(i), closed, 1);
        ASSERT_TRUE(connection->flush(5s));
    }

    void start(const std::string& id) {
        workers[id] =
            std::make_unique<Daemon>("pgpulse-probe", id, std::vector<std::string>{"--nats", server.url()});
    }

    std::string logs() {
        std::string text;
        for (const auto& [id, worker] : workers) text += id + ":\n" + worker->log();
        return text;
    }

    /// How often a worker told of a change among the workers.
    std::size_t moves() {
        const std::string text = logs();
        std::size_t count = 0;
        for (auto at = text.find("targets gained"); at != std::string::npos;
             at = text.find("targets gained", at + 1))
            ++count;
        return count;
    }

    /// Whether each target has as many observers as it is to have, and these workers observe.
    bool covered_by(const std::set<std::string>& ids) {
        const CoverageLedger::Owners owners = ledger->owners();
        if (owners.size() != kPairs + kLone) return false;
        std::set<std::string> seen;
        for (const auto& [target, by] : owners) {
            if (by.size() != (target.starts_with("pair-") ? 2U : 1U)) return false;
            seen.insert(by.begin(), by.end());
        }
        return seen == ids;
    }

    bool becomes_covered_by(const std::set<std::string>& ids) {
        return wait_until([&] { return covered_by(ids); }, 60s);
    }

    /// How long the loops of these workers did not turn so far, in ms: they pinged nobody meanwhile.
    std::int64_t stood_still(const std::set<std::string>& ids) {
        double seconds = 0;
        for (const std::string& id : ids)
            seconds += workers[id]->metric("pgpulse_probe_stalled_seconds_total").value_or(0);
        return static_cast<std::int64_t>(seconds * 1000);
    }

    /// The longest gap since then among the targets of this kind.
    std::int64_t worst_gap(const std::string& kind, int count, std::int64_t since) {
        std::int64_t worst = 0;
        for (int i = 0; i < count; ++i)
            worst = std::max(worst, ledger->longest_gap(kind + std::to_string(i), since));
        return worst;
    }
};

TEST_F(ProbeFleet, NoTargetWithTwoObserversGoesUnobservedWhenAWorkerIsKilledStoppedOrAdded) {
    const support::PostgresServer postgres;
    define_fleet(postgres.port());
    for (const char* id : {"w1", "w2", "w3"}) start(id);
    ASSERT_TRUE(becomes_covered_by({"w1", "w2", "w3"})) << logs();

    std::int64_t since = mono_ms();
    workers["w3"]->kill9();
    ASSERT_TRUE(becomes_covered_by({"w1", "w2"})) << logs();
    // What a target without a second observer goes through is what nobody with one may.
    const std::int64_t without_cover = worst_gap("lone-", kLone, since);
    EXPECT_GT(without_cover, 1000) << "the dead worker's targets were missed for about a TTL";
    EXPECT_LT(worst_gap("pair-", kPairs, since), without_cover + stood_still({"w1", "w2"})) << logs();

    since = mono_ms();
    workers["w3"]->start();
    ASSERT_TRUE(becomes_covered_by({"w1", "w2", "w3"})) << logs();
    EXPECT_LT(worst_gap("pair-", kPairs, since), without_cover + stood_still({"w1", "w2", "w3"})) << logs();

    since = mono_ms();
    ASSERT_EQ(workers["w2"]->stop(), 0) << logs();
    ASSERT_TRUE(becomes_covered_by({"w1", "w3"})) << logs();
    EXPECT_LT(worst_gap("pair-", kPairs, since), without_cover + stood_still({"w1", "w3"})) << logs();
    EXPECT_LT(worst_gap("lone-", kLone, since), without_cover + stood_still({"w1", "w3"}))
        << "a clean exit hands over at once\n"
        << logs();
    workers["w2"]->start();
    ASSERT_TRUE(becomes_covered_by({"w1", "w2", "w3"})) << logs();

    since = mono_ms();
    workers["w1"]->process().stop();
    ASSERT_TRUE(becomes_covered_by({"w2", "w3"})) << logs();
    workers["w1"]->process().cont();
    ASSERT_TRUE(becomes_covered_by({"w1", "w2", "w3"})) << logs();
    // The stop of w1 is a time in which its loop did not turn as well.
    EXPECT_LT(worst_gap("pair-", kPairs, since), without_cover + stood_still({"w2", "w3"})) << logs();
}

TEST_F(ProbeFleet, AnotherWorkerTakesItsShareFromTheOthersAndNothingElseMoves) {
    define_fleet(support::free_port());
    for (const char* id : {"w1", "w2", "w3"}) start(id);
    ASSERT_TRUE(becomes_covered_by({"w1", "w2", "w3"})) << logs();
    const auto before = ledger->owners();
    start("w4");
    ASSERT_TRUE(becomes_covered_by({"w1", "w2", "w3", "w4"})) << logs();
    int taken = 0;
    for (const auto& [target, after] : ledger->owners()) {
        std::set<std::string> kept = after;
        taken += static_cast<int>(kept.erase("w4"));
        EXPECT_TRUE(std::ranges::includes(before.at(target), kept))
            << target << " moved between the old ones";
    }
    // A quarter of 630 is 157.
    EXPECT_GT(taken, 100);
    EXPECT_LT(taken, 220);
}

TEST_F(ProbeFleet, ANatsThatDiesAndComesBackMovesNothingAndHoldsNoPingUp) {
    define_fleet(support::free_port());
    for (const char* id : {"w1", "w2"}) start(id);
    ASSERT_TRUE(becomes_covered_by({"w1", "w2"})) << logs();
    const auto before = ledger->owners();
    const std::size_t moves_before = moves();
    std::map<std::string, std::uint64_t> seq_before;
    for (const auto& [id, worker] : workers) seq_before[id] = ledger->newest_seq(id);
    const auto made = [&] {
        return workers["w1"]->metric("pgpulse_probe_rtt_seconds_count").value_or(0) +
               workers["w1"]->metric("pgpulse_probe_lateness_seconds_count").value_or(0);
    };
    server.kill9();
    const double at_death = made();
    // Far beyond a TTL, counted in pings: each of some 315 targets is pinged once a second.
    ASSERT_TRUE(wait_until([&] { return made() > at_death + 2500; }, 60s)) << logs();
    server.start();
    ASSERT_TRUE(becomes_covered_by({"w1", "w2"})) << logs();
    EXPECT_TRUE(wait_until([&] { return ledger->owners() == before; })) << logs();
    // One that stood still for over a second may have been missed.
    if (stood_still({"w1"}) < 1000 && stood_still({"w2"}) < 1000) {
        EXPECT_EQ(moves(), moves_before) << logs();
    }
    for (const auto& [id, seq] : seq_before)
        EXPECT_GT(ledger->newest_seq(id), seq + 1000) << id << " pinged on meanwhile";
}

TEST_F(ProbeFleet, TheIdOfALivingWorkerIsRefusedAndTakesNothingFromIt) {
    define_fleet(support::free_port());
    for (const char* id : {"w1", "w2"}) start(id);
    ASSERT_TRUE(becomes_covered_by({"w1", "w2"})) << logs();
    const auto before = ledger->owners();
    Daemon second{"pgpulse-probe", "w1", {"--nats", server.url()}};
    EXPECT_EQ(second.process().wait_exit(), 2) << second.log();
    EXPECT_THAT(second.log(), HasSubstr("--id: 'w1' is the id of another probe that is running"));
    EXPECT_TRUE(wait_until([&] { return ledger->owners() == before; })) << logs();
    if (stood_still({"w1"}) < 1000 && stood_still({"w2"}) < 1000) {
        EXPECT_EQ(workers["w2"]->log().find("probes that serve: 1;"),
                  workers["w2"]->log().rfind("probes that serve: 1;"))
            << "the living one was never missed\n"
            << logs();
    }
}

TEST_F(ProbeFleet, ACallIsAnsweredByAPingAtOnce) {
    const support::PostgresServer postgres;
    define("db1", postgres.port(), 2, 60s);
    for (const char* id : {"w1", "w2"}) start(id);
    const auto settled = [&](const std::string& id) {
        const auto ping = ledger->newest("db1", id);
        return ping && ping->opinion == contract::Opinion::up;
    };
    ASSERT_TRUE(wait_until([&] { return settled("w1") && settled("w2"); })) << logs();
    const std::size_t w1 = ledger->pings("db1", "w1");
    const std::size_t w2 = ledger->pings("db1", "w2");
    ASSERT_TRUE(connection->publish("health.check.db1", ""));
    EXPECT_TRUE(wait_until([&] {
        return ledger->pings("db1", "w1") > w1 && ledger->pings("db1", "w2") > w2;
    })) << logs();
}

TEST_F(ProbeFleet, AFirstFailureCallsTheOtherObservers) {
    support::PostgresServer postgres;
    std::mutex mutex;
    std::vector<std::string> calls;
    const auto subscription = nats::Subscription::open(*connection, std::string{contract::kAllChecks},
                                                       [&](const nats::Message& message) {
                                                           const std::lock_guard lock{mutex};
                                                           calls.emplace_back(nats::subject_of(message));
                                                       });
    ASSERT_TRUE(subscription);
    define("db1", postgres.port(), 2, 3s);
    for (const char* id : {"w1", "w2"}) start(id);
    const auto opinion = [&](const std::string& id) {
        const auto ping = ledger->newest("db1", id);
        return ping ? ping->opinion : contract::Opinion::undecided;
    };
    const auto both = [&](contract::Opinion wanted) {
        return wait_until([&] { return opinion("w1") == wanted && opinion("w2") == wanted; });
    };
    ASSERT_TRUE(both(contract::Opinion::up)) << logs();
    postgres.kill9();
    ASSERT_TRUE(both(contract::Opinion::down)) << logs();
    const std::lock_guard lock{mutex};
    EXPECT_THAT(calls, testing::Contains("health.check.db1"));
    EXPECT_LE(calls.size(), 2U) << "one of each worker at most";
}

TEST_F(ProbeFleet, AFirstFailureMakesTheOtherObserversPingLongBeforeTheirTurn) {
    constexpr int kTargets = 8;
    constexpr std::int64_t kTurn = 12'000;
    const auto name = [](int i) { return "slow-" + std::to_string(i); };
    support::PostgresServer postgres;
    for (int i = 0; i < kTargets; ++i) define(name(i), postgres.port(), 2, std::chrono::milliseconds{kTurn});
    for (const char* id : {"w1", "w2"}) start(id);
    const auto newest = [&](int i, const std::string& id) { return ledger->newest(name(i), id); };
    // The first pings follow each other closely, until the opinion is settled and those under way have ended.
    const auto in_its_turn = [&](int i, const std::string& id) {
        const auto ping = newest(i, id);
        return ping && ping->opinion == contract::Opinion::up &&
               ledger->newest_distance(name(i), id) > kTurn / 2;
    };
    const auto all = [&](auto&& holds) {
        for (int i = 0; i < kTargets; ++i) {
            if (!holds(i, "w1") || !holds(i, "w2")) return false;
        }
        return true;
    };
    ASSERT_TRUE(wait_until([&] { return all(in_its_turn); }, 60s)) << logs();
    std::int64_t furthest = 0;
    for (int i = 0; i < kTargets; ++i) {
        const std::int64_t apart = std::abs(newest(i, "w1")->mono_ms - newest(i, "w2")->mono_ms) % kTurn;
        furthest = std::max(furthest, std::min(apart, kTurn - apart));
    }
    ASSERT_GT(furthest, 3500) << "else nothing is shown: some turns are to lie far apart";

    postgres.kill9();
    const auto down = [&](int i, const std::string& id) {
        return newest(i, id)->opinion == contract::Opinion::down;
    };
    ASSERT_TRUE(wait_until([&] { return all(down); }, 60s)) << logs();
    for (int i = 0; i < kTargets; ++i) {
        const std::int64_t w1 = ledger->first_failure(name(i), "w1").value();
        const std::int64_t w2 = ledger->first_failure(name(i), "w2").value();
        EXPECT_LT(std::abs(w1 - w2), 3000) << name(i);
    }
}

}  // namespace
}  // namespace pgpulse
