#include "tests/support/coverage_ledger.hpp"
#include "tests/support/stall_stage.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

// Workers that are stopped again and again while they ping healthy targets: whatever the length and the pace, no
// ping may say that a target fails, and no state that it is `down` or `unknown`.
//
// A few stops of each kind by default; the whole grid, some twelve minutes, with PGPULSE_TEST_LONG=1.
namespace pgpulse {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using support::mono_ms;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// A sanitized worker is some ten times slower, and this is about time.
constexpr bool kSanitized = true;
constexpr int kStalledTargets = 40;
constexpr auto kStalledInterval = 4000ms;
#else
constexpr bool kSanitized = false;
constexpr int kStalledTargets = 200;
constexpr auto kStalledInterval = 2000ms;
#endif
constexpr std::size_t kFewestRounds = 2;

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
    support::StallStage stage{{.targets = kStalledTargets, .interval = kStalledInterval}};

    /// One stop of the cell. True where a target was accused.
    bool stop_once(const Cell& cell, std::int64_t since) {
        return stage.stop_workers(cell.workers, cell.stop, cell.interval, since);
    }

    void expect_no_accusation(std::size_t count) {
        ASSERT_TRUE(stage.start()) << stage.logs();
        const std::int64_t since = mono_ms();
        const std::uint64_t revision = stage.revision();
        const auto time = kSanitized ? 3s : whole_grid() ? 8s : 5s;
        const std::size_t stalled_before = stage.ledger->pings(contract::Verdict::inconclusive);
        for (const Cell& cell : cells_of(count)) {
            const std::size_t pings = stage.ledger->pings();
            const std::size_t inconclusive = stage.ledger->pings(contract::Verdict::inconclusive);
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
                             stage.ledger->pings() - pings,
                             stage.ledger->pings(contract::Verdict::inconclusive) - inconclusive,
                             accused ? "A TARGET ACCUSED" : "no target accused")
                      << std::flush;
            if (accused) break;
        }
        // A stop that meets no ping which can end no more proves little, and few pings are under way at a time.
        const auto met = [&] {
            return stage.ledger->pings(contract::Verdict::inconclusive) > stalled_before;
        };
        const auto deadline = std::chrono::steady_clock::now() + 60s;
        while (!met() && std::chrono::steady_clock::now() < deadline)
            if (stop_once({count, 512ms, 64ms}, since)) break;
        EXPECT_TRUE(stage.all_is_well()) << stage.logs();
        const auto false_words = stage.accusations(since);
        EXPECT_TRUE(false_words.empty()) << support::shown(false_words) << '\n' << stage.logs();
        const auto false_states = stage.false_states(revision);
        EXPECT_TRUE(false_states.empty()) << support::shown(false_states) << '\n' << stage.logs();
        std::cout << fmt::format("pings that failed because the machine kept a target waiting: {}\n",
                                 stage.ledger->accusations(since).size() - false_words.size());
        EXPECT_TRUE(met()) << "no stop has met a ping that could end no more";
    }
};

TEST_F(ProbeStalls, OfOneWorkerAreNoFailureOfATarget) { expect_no_accusation(1); }

TEST_F(ProbeStalls, OfTwoWorkersAreNoFailureOfATarget) { expect_no_accusation(2); }

TEST_F(ProbeStalls, OfFourWorkersAreNoFailureOfATarget) { expect_no_accusation(4); }

TEST_F(ProbeStalls, AccuseHealthyTargetsWhereTheWorkersTrustThemselves) {
    ASSERT_TRUE(stage.start({"--trust-itself"})) << stage.logs();
    const std::int64_t since = mono_ms();
    const auto end = std::chrono::steady_clock::now() + 60s;
    bool accused = false;
    while (!accused && std::chrono::steady_clock::now() < end) accused = stop_once({4, 2s, 256ms}, since);
    EXPECT_TRUE(accused) << "the tests above could not fail\n" << stage.logs();
}

}  // namespace
}  // namespace pgpulse
