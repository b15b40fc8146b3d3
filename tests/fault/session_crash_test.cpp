#include "common/contract/names.hpp"
#include "common/contract/target.hpp"
#include "common/nats/bucket.hpp"
#include "tests/support/bucket_ledger.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/ping_ledger.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/postgres_session.hpp"
#include "tests/support/state_ledger.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

// A real server in mode `session`, observed by three pgpulse-probe whose pings a pgpulse-aggregator tallies, through
// the crashes of its backends and of its postmaster: what the readers of NATS are told of them.
namespace pgpulse {
namespace {

using namespace std::chrono_literals;
using contract::Health;
using contract::Opinion;
using contract::Ping;
using contract::Reason;
using contract::Role;
using contract::State;
using contract::Via;
using support::Daemon;
using support::PostgresAuth;
using support::PostgresServer;
using support::PostgresServerOptions;
using support::PostgresSession;
using support::wait_until;

const std::string kTarget = "db1";
const std::string kPassword = "a secret of a test";
constexpr std::uint32_t kFall = 100;
const std::array<std::string, 3> kWorkers{"probe-1", "probe-2", "probe-3"};

/// Crashes in a row: as many as a run of all tests has time for, a hundred with PGPULSE_TEST_LONG=1.
int crashes() {
    const char* const longer = std::getenv("PGPULSE_TEST_LONG");
    return longer != nullptr && std::string{longer} == "1" ? 100 : 20;
}

class SessionCrash : public testing::Test {
  protected:
    support::TempDir folder;
    support::NatsServer nats_server;
    PostgresServer database{PostgresServerOptions{.auth = PostgresAuth::scram}};
    std::unique_ptr<nats::Connection> reader;
    std::unique_ptr<support::BucketLedger> bucket;
    std::unique_ptr<support::PingLedger> pings;
    std::unique_ptr<support::StateLedger> states;
    std::vector<std::unique_ptr<Daemon>> daemons;

    void SetUp() override {
        database.exec_sql("CREATE ROLE pgpulse LOGIN PASSWORD '" + kPassword + "'");
        nats::ConnectOptions options;
        options.url = nats_server.url();
        reader = std::move(nats::Connection::open(options).value());
        nats::BucketConfig targets;
        targets.name = contract::kTargetsBucket;
        targets.history = 8;
        ASSERT_TRUE(nats::ensure_bucket(*reader, targets));
        bucket = std::make_unique<support::BucketLedger>(*reader);
        pings = std::make_unique<support::PingLedger>(*reader);
        states = std::make_unique<support::StateLedger>(*reader, kTarget);
        ASSERT_TRUE(reader->publish("$KV.health_targets." + kTarget, encode(definition())));
        ASSERT_TRUE(reader->flush(5s));
        const std::vector<std::string> arguments{"--nats", nats_server.url()};
        daemons.push_back(std::make_unique<Daemon>("pgpulse-aggregator", "aggregator-1", arguments));
        for (const std::string& worker : kWorkers)
            daemons.push_back(std::make_unique<Daemon>("pgpulse-probe", worker, arguments));
        ASSERT_TRUE(wait_until([&] {
            const auto newest = states->newest();
            return newest && newest->state == Health::up && newest->role == Role::primary &&
                   held_by_all(*newest);
        })) << told();
    }

    [[nodiscard]] contract::StoredDefinition definition() const {
        const std::string secret = folder / "secret";
        std::ofstream{secret} << kPassword << '\n';
        EXPECT_EQ(::chmod(secret.c_str(), 0600), 0);
        contract::StoredDefinition stored;
        contract::TargetDefinition& target = stored.definition;
        target.name = target.service = kTarget;
        target.address = "127.0.0.1";
        target.port = database.port();
        target.mode = contract::Mode::session;
        target.user = "pgpulse";
        target.credentials = secret;
        target.observers = kWorkers.size();
        target.timeout = 10s;  // what a loaded machine does not reach
        target.fall = kFall;   // a crash-restart is over long before: only `refused` settles down
        return stored;
    }

    /// Whether every observer holds a session of the server's life that the state tells of.
    bool held_by_all(const State& state) {
        return std::ranges::all_of(kWorkers, [&](const std::string& worker) {
            const auto newest = pings->newest_by_session(kTarget, worker);
            return newest && newest->opinion == Opinion::up && newest->started_at == state.started_at &&
                   newest->crashed_at == state.crashed_at;
        });
    }

    /// Kills one backend with SIGKILL, upon which the postmaster ends all of them and starts the server anew.
    void crash(bool of_an_observer) {
        if (!of_an_observer) {
            const PostgresSession victim{database};
            ASSERT_EQ(::kill(victim.backend(), SIGKILL), 0);
            return;
        }
        // A session may just be opened again: a 57P03 that is read late closes it.
        std::vector<std::vector<std::string>> held;
        ASSERT_TRUE(wait_until([&] {
            held =
                database.exec_sql("SELECT pid FROM pg_stat_activity WHERE usename = 'pgpulse' ORDER BY pid");
            return held.size() == kWorkers.size();
        })) << held.size()
            << " sessions";
        ASSERT_EQ(::kill(std::atoi(held.at(0).at(0).c_str()), SIGKILL), 0);
    }

    std::string told() const {
        std::string text;
        for (const State& state : states->all()) text += encode(state) + "\n";
        for (const auto& daemon : daemons) text += daemon->log() + "\n";
        return text;
    }
};

TEST_F(SessionCrash, EachIsRecordedExactlyOnce) {
    const std::size_t before = states->all().size();
    for (int round = 1; round <= crashes(); ++round) {
        const State last = *states->newest();
        crash(round % 5 == 0);
        ASSERT_FALSE(HasFatalFailure());
        ASSERT_TRUE(wait_until([&] {
            const State now = *states->newest();
            return now.restarts > last.restarts && held_by_all(now);
        })) << "round "
            << round << "\n"
            << told();
    }

    // The history of the bucket holds 64; the messages are all.
    const std::vector<State> all = states->all();
    EXPECT_EQ(all.size(), before + static_cast<std::size_t>(crashes())) << told();
    for (std::size_t i = before; i < all.size(); ++i) {
        EXPECT_EQ(all[i].reason, Reason::restarted) << encode(all[i]);
        EXPECT_EQ(all[i].state, Health::up) << encode(all[i]);
        EXPECT_EQ(all[i].transition, all[i - 1].transition + 1) << encode(all[i]);
        EXPECT_EQ(all[i].restarts, all[i - 1].restarts + 1) << encode(all[i]);
        EXPECT_EQ(all[i].started_at, all[i - 1].started_at) << "the postmaster lives";
        EXPECT_GT(all[i].crashed_at, all[i - 1].crashed_at) << encode(all[i]);
    }
    EXPECT_EQ(all.back().restarts - all[before - 1].restarts, static_cast<std::uint64_t>(crashes()));
    EXPECT_TRUE(wait_until([&] {
        const auto newest = bucket->newest(kTarget);
        return newest && newest->state == all.back();
    }));
    for (const Ping& ping : pings->of(kTarget)) EXPECT_NE(ping.opinion, Opinion::down) << encode(ping);
}

TEST_F(SessionCrash, AKilledPostmasterIsToldByAFreshPingAndThenByTheState) {
    const std::size_t before = pings->of(kTarget).size();
    const State last = *states->newest();
    database.kill9();
    const auto down = support::eventually([&]() -> std::optional<Ping> {
        const auto all = pings->of(kTarget);
        const auto first = std::find_if(all.begin() + static_cast<std::ptrdiff_t>(before), all.end(),
                                        [](const Ping& ping) { return ping.opinion == Opinion::down; });
        return first == all.end() ? std::nullopt : std::optional{*first};
    });
    ASSERT_TRUE(down) << told();
    EXPECT_EQ(down->via, Via::fresh);
    EXPECT_EQ(down->reason, Reason::refused);
    EXPECT_LT(down->streak, kFall) << "nothing is waited for";
    ASSERT_TRUE(wait_until([&] { return states->newest()->state == Health::down; })) << told();
    const State state = *states->newest();
    EXPECT_EQ(state.transition, last.transition + 1);
    EXPECT_EQ(state.reason, Reason::refused);

    database.start();
    // Fresh pings may tell of `up` before a session tells of the new life: until then the sessions that the observers
    // were last told of are those of the life before, as the state's.
    ASSERT_TRUE(wait_until([&] {
        const State now = *states->newest();
        return now.state == Health::up && now.restarts > last.restarts && held_by_all(now);
    })) << told();
    const State back = *states->newest();
    EXPECT_EQ(back.restarts, last.restarts + 1);
    EXPECT_GT(back.started_at, last.started_at);
}

}  // namespace
}  // namespace pgpulse
