#include "common/contract/target.hpp"
#include "tests/support/coverage_ledger.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/distance.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/pgbouncer.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/targets_bucket.hpp"
#include "tests/support/wait_until.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <set>
#include <string>
#include <vector>

// Workers that are stopped again and again while they ping healthy targets: whatever the length and the pace, no
// ping may say that a target fails. Every ping is under way for 60 or 120 ms of its 500, so that a stop always
// meets some.
//
// A few stops of each kind by default; the whole grid, some twelve minutes, with PGPULSE_TEST_LONG=1.
namespace pgpulse {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using support::CoverageLedger;
using support::Daemon;
using support::mono_ms;
using support::wait_until;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// A sanitized worker is some ten times slower, and this is about time.
constexpr bool kSanitized = true;
constexpr int kTargets = 40;
constexpr auto kInterval = 4000ms;
#else
constexpr bool kSanitized = false;
constexpr int kTargets = 200;
constexpr auto kInterval = 2000ms;
#endif
constexpr int kWorkers = 8;
constexpr std::uint32_t kObservers = 3;
/// So many stand at a PostgreSQL server itself: a ping costs it a fork, and this machine is shared.
constexpr int kAtPostgres = 4;
constexpr auto kOneWay = 30ms;
constexpr std::size_t kFewestRounds = 2;
constexpr auto kWhile = 1000ms;  // longer than any ping is under way

/// So many workers are stopped at once for so long, again and again at such intervals.
struct Cell {
    std::size_t workers;
    milliseconds stop;
    milliseconds interval;
};

bool whole_grid() {
    const char* const value = std::getenv("PGPULSE_TEST_LONG");
    return value != nullptr && std::string{value} == "1";
}

std::vector<Cell> cells_of(std::size_t workers) {
    if (kSanitized) return {{workers, 512ms, 64ms}};
    if (!whole_grid()) {
        switch (workers) {
            case 1:
                return {{1, 128ms, 16ms}, {1, 512ms, 64ms}};
            case 2:
                return {{2, 512ms, 256ms}, {2, 2s, 16ms}};
            default:
                return {{workers, 2s, 1s}};
        }
    }
    std::vector<Cell> cells;
    for (const milliseconds stop : {128ms, 512ms, 2000ms, 8000ms}) {
        for (const milliseconds interval : {16ms, 64ms, 256ms, 1000ms, 4000ms})
            cells.push_back({workers, stop, interval});
    }
    return cells;
}

class ProbeStalls : public testing::Test {
  protected:
    support::NatsServer server;
    support::PostgresServer postgres{{.auth = support::PostgresAuth::scram}};
    support::PgBouncer pooler;
    support::Distance to_postgres{postgres.port(), kOneWay};
    support::Distance to_pooler{pooler.port(), kOneWay};
    std::unique_ptr<nats::Connection> connection;
    std::unique_ptr<CoverageLedger> ledger;
    std::vector<std::unique_ptr<Daemon>> workers;
    std::size_t next = 0;  // to be stopped

    void SetUp() override {
        connection = support::connect_with_targets_bucket(server.url());
        ledger = std::make_unique<CoverageLedger>(*connection, 2 * kInterval);
        for (int i = 0; i < kTargets; ++i) define(i);
        ASSERT_TRUE(connection->flush(5s));
    }

    void define(int number) const {
        contract::TargetDefinition target;
        target.name = target.service = "db" + std::to_string(number);
        target.address = "127.0.0.1";
        target.port = number < kAtPostgres ? to_postgres.port() : to_pooler.port();
        target.interval = kInterval;
        target.observers = kObservers;
        // Every other one takes a second round trip, which is begun in time and answered too late.
        target.sslmode = number % 2 == 0 ? contract::SslMode::disable : contract::SslMode::prefer;
        support::put_target(*connection, target);
    }

    void start_workers(const std::vector<std::string>& more = {}) {
        std::vector<std::string> arguments{"--nats", server.url()};
        arguments.insert(arguments.end(), more.begin(), more.end());
        for (int i = 1; i <= kWorkers; ++i)
            workers.push_back(std::make_unique<Daemon>("pgpulse-probe", "w" + std::to_string(i), arguments));
        ASSERT_TRUE(all_is_well()) << logs();
    }

    /// Every target is held up by all of its observers, and every worker is one; and the burst of first pings,
    /// in which a loaded machine lets some time out, is over.
    bool all_is_well() {
        return wait_until(
            [&] {
                const CoverageLedger::Owners owners = ledger->owners();
                if (!accusations(mono_ms() - 2 * kWhile.count()).empty()) return false;
                if (owners.size() != kTargets || ledger->holding_up() != owners) return false;
                std::set<std::string> seen;
                for (const auto& [target, by] : owners) {
                    if (by.size() != kObservers) return false;
                    seen.insert(by.begin(), by.end());
                }
                return seen.size() == kWorkers;
            },
            60s);
    }

    /// What was said against targets since then, less what was so: a target that was late on a machine without
    /// a processor for it was not healthy then. That is known once the wait is over, so it ends a while ago.
    std::vector<contract::Ping> accusations(std::int64_t since) {
        std::vector<contract::Ping> found = ledger->accusations(since);
        std::erase_if(found, [&](const contract::Ping& ping) {
            const std::chrono::steady_clock::time_point ended{milliseconds{ping.mono_ms}};
            const auto began = ended - kWhile;
            return ended > std::chrono::steady_clock::now() - kWhile || to_postgres.was_late(began, ended) ||
                   to_pooler.was_late(began, ended);
        });
        return found;
    }

    /// Lets the time pass, and stops early where a target was accused: no use to go on then.
    bool accused_within(milliseconds time, std::int64_t since) {
        return wait_until([&] { return !accusations(since).empty(); }, time);
    }

    /// One stop of the cell; every worker has its turn. True where a target was accused.
    bool stop_once(const Cell& cell, std::int64_t since) {
        std::vector<support::Process*> stopped;
        while (stopped.size() < cell.workers) stopped.push_back(&workers[next++ % workers.size()]->process());
        for (support::Process* const process : stopped) process->stop();
        const bool accused = accused_within(cell.stop, since);
        for (const support::Process* const process : stopped) process->cont();
        return accused_within(cell.interval, since) || accused;
    }

    void expect_no_accusation(std::size_t count) {
        ASSERT_NO_FATAL_FAILURE(start_workers());
        const std::int64_t since = mono_ms();
        const auto time = kSanitized ? 3s : whole_grid() ? 8s : 5s;
        const std::size_t stalled_before = ledger->pings(contract::Verdict::inconclusive);
        for (const Cell& cell : cells_of(count)) {
            const std::size_t pings = ledger->pings();
            const std::size_t inconclusive = ledger->pings(contract::Verdict::inconclusive);
            const auto end = std::chrono::steady_clock::now() + time;
            std::size_t rounds = 0;
            bool accused = false;
            for (; !accused && (rounds < kFewestRounds || std::chrono::steady_clock::now() < end); ++rounds)
                accused = stop_once(cell, since);
            std::cout << fmt::format(
                             "{} workers stopped for {} ms at intervals of {} ms: {} times, {} pings, {} "
                             "inconclusive, "
                             "{}\n",
                             cell.workers, cell.stop.count(), cell.interval.count(), rounds,
                             ledger->pings() - pings,
                             ledger->pings(contract::Verdict::inconclusive) - inconclusive,
                             accused ? "A TARGET ACCUSED" : "no target accused")
                      << std::flush;
            if (accused) break;
        }
        // A stop that meets no ping which can end no more proves little, and few pings are under way at a time.
        const auto met = [&] { return ledger->pings(contract::Verdict::inconclusive) > stalled_before; };
        const auto deadline = std::chrono::steady_clock::now() + 60s;
        while (!met() && std::chrono::steady_clock::now() < deadline)
            if (stop_once({count, 512ms, 64ms}, since)) break;
        EXPECT_TRUE(all_is_well()) << logs();
        const auto false_words = accusations(since);
        EXPECT_TRUE(false_words.empty()) << support::shown(false_words) << '\n' << logs();
        std::cout << fmt::format("pings that failed because the machine kept a target waiting: {}\n",
                                 ledger->accusations(since).size() - false_words.size());
        EXPECT_TRUE(met()) << "no stop has met a ping that could end no more";
    }

    std::string logs() {
        std::string text;
        for (std::size_t i = 0; i < workers.size(); ++i)
            text += fmt::format("w{}:\n{}", i + 1, workers[i]->log());
        return text;
    }
};

TEST_F(ProbeStalls, OfOneWorkerAreNoFailureOfATarget) { expect_no_accusation(1); }

TEST_F(ProbeStalls, OfTwoWorkersAreNoFailureOfATarget) { expect_no_accusation(2); }

TEST_F(ProbeStalls, OfFourWorkersAreNoFailureOfATarget) { expect_no_accusation(4); }

TEST_F(ProbeStalls, AccuseHealthyTargetsWhereTheWorkersTrustThemselves) {
    ASSERT_NO_FATAL_FAILURE(start_workers({"--trust-itself"}));
    const std::int64_t since = mono_ms();
    const auto end = std::chrono::steady_clock::now() + 60s;
    bool accused = false;
    while (!accused && std::chrono::steady_clock::now() < end) accused = stop_once({4, 2s, 256ms}, since);
    EXPECT_TRUE(accused) << "the tests above could not fail\n" << logs();
}

}  // namespace
}  // namespace pgpulse
