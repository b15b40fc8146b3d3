#include "tests/support/coverage_ledger.hpp"
#include "tests/support/stall_stage.hpp"
#include "tests/support/wait_until.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

// Whatever happens to those who watch healthy targets, no state in the bucket `health` says that one is not up. The
// targets are hasty: a single failure is enough for a worker to call one down.
//
// Once or twice each trouble by default; twelve times as often with PGPULSE_TEST_LONG=1.
namespace pgpulse {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using support::mono_ms;
using support::StallStage;
using support::StallStageOptions;
using support::wait_until;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kStallSanitized = true;
const StallStageOptions kHasty{.targets = 20, .interval = 2000ms, .fall = 1};
#else
constexpr bool kStallSanitized = false;
const StallStageOptions kHasty{.targets = 60, .interval = 500ms, .fall = 1};
#endif

/// So many pings are under way at once that a stop surely meets two of one target.
const StallStageOptions kBusy{.targets = 60, .interval = 500ms, .fall = 1};

bool at_length() {
    const char* const value = std::getenv("PGPULSE_TEST_LONG");
    return value != nullptr && std::string{value} == "1";
}

/// So many workers are stopped for so long, at such intervals: the harshest of what a worker that trusts itself gets
/// wrong.
constexpr std::size_t kStopped = 4;
constexpr auto kStop = 2000ms;
constexpr auto kStopInterval = 256ms;

class HealthyTargets : public testing::Test {
  protected:
    std::unique_ptr<StallStage> stage;
    std::int64_t since = 0;
    std::uint64_t revision = 0;

    void begin(const StallStageOptions& options, const std::vector<std::string>& more = {}) {
        stage = std::make_unique<StallStage>(options);
        ASSERT_TRUE(stage->start(more)) << stage->logs();
        since = mono_ms();
        revision = stage->revision();
    }

    /// Stops workers once. True where a target was accused.
    bool stop_workers() { return stage->stop_workers(kStopped, kStop, kStopInterval, since); }

    /// Makes the trouble so many times, at length twelve times as often.
    void trouble(std::size_t times, const std::function<void(std::size_t)>& trouble) {
        const std::size_t all = at_length() ? 12 * times : times;
        for (std::size_t i = 0; i < all && !HasFailure(); ++i) trouble(i);
        std::cout << fmt::format("{} times, {} pings, {} inconclusive, ", all, stage->ledger->pings(),
                                 stage->ledger->pings(contract::Verdict::inconclusive));
    }

    /// How far the workers' clocks are ahead, by what each said last: in whole minutes.
    std::set<long> minutes_ahead() {
        std::map<std::string, contract::Ping> newest;
        for (const auto& [target, by] : stage->ledger->owners()) {
            for (const std::string& worker : by) {
                const auto ping = stage->ledger->newest(target, worker);
                if (ping && ping->seq > newest[worker].seq) newest[worker] = *ping;
            }
        }
        std::set<long> found;
        for (const auto& [worker, ping] : newest) {
            const auto ahead =
                ping.at - std::chrono::system_clock::now() + milliseconds{mono_ms() - ping.mono_ms};
            found.insert(std::chrono::round<std::chrono::minutes>(ahead).count());
        }
        return found;
    }

    void expect_all_was_well() {
        EXPECT_TRUE(stage->all_is_well()) << stage->logs();
        const auto false_words = stage->accusations(since);
        EXPECT_TRUE(false_words.empty()) << support::shown(false_words) << '\n' << stage->logs();
        const auto false_states = stage->false_states(revision);
        EXPECT_TRUE(false_states.empty()) << support::shown(false_states) << '\n' << stage->logs();
        std::cout << fmt::format("{} states that are not so\n", false_states.size());
    }
};

TEST_F(HealthyTargets, AreNotToldDownWhileWorkersAreStopped) {
    ASSERT_NO_FATAL_FAILURE(begin(kHasty));
    trouble(3,
            [&](std::size_t) { EXPECT_FALSE(stop_workers()) << support::shown(stage->accusations(since)); });
    expect_all_was_well();
}

TEST_F(HealthyTargets, AreToldDownWhereTheWorkersTrustThemselves) {
    ASSERT_NO_FATAL_FAILURE(begin(kBusy, {"--trust-itself"}));
    EXPECT_TRUE(wait_until(
        [&] {
            // For as long as ever, whoever was accused before: a single worker's word is not enough. So many that two
            // of most targets' three observers are among them.
            stage->stop_workers(StallStage::kWorkers - 2, kStop, kStopInterval, mono_ms());
            // The machine's own part in it is no matter here.
            const auto states = support::stored_states(*stage->connection);
            return std::ranges::any_of(states, [this](const support::ToldState& stored) {
                return stored.revision > revision && stored.state &&
                       stored.state->state == contract::Health::down;
            });
        },
        120s))
        << "the tests beside this one could not fail\n"
        << stage->logs();
}

TEST_F(HealthyTargets, AreNotToldDownWhileAnAggregatorIsStoppedForTenSeconds) {
    ASSERT_NO_FATAL_FAILURE(begin(kHasty));
    trouble(1, [&](std::size_t time) {
        support::Process& stopped = stage->aggregators[time % stage->aggregators.size()]->process();
        stopped.stop();
        const auto end = std::chrono::steady_clock::now() + 10s;
        while (std::chrono::steady_clock::now() < end) stop_workers();
        stopped.cont();
    });
    expect_all_was_well();
}

TEST_F(HealthyTargets, AreNotToldDownWhileNatsIsStoppedAndKilled) {
    ASSERT_NO_FATAL_FAILURE(begin(kHasty));
    trouble(1, [&](std::size_t time) {
        const std::vector<milliseconds> stops{4s, 8s, 2s};
        stage->nats.process().stop();
        // Nothing can be heard of the targets meanwhile: time passes, and there is nothing else to wait for.
        EXPECT_FALSE(wait_until([&] { return !stage->accusations(since).empty(); }, stops.at(time % 3)));
        stage->nats.process().cont();
        stop_workers();
        stage->nats.kill9();
        stage->nats.start();
        stop_workers();
    });
    expect_all_was_well();
}

TEST_F(HealthyTargets, AreNotToldDownWhileClocksAreSetByAnHour) {
    if (kStallSanitized) GTEST_SKIP() << "a sanitizer does not let another library in before it";
    StallStageOptions options = kHasty;
    options.settable_clock = true;
    ASSERT_NO_FATAL_FAILURE(begin(options));
    trouble(4, [&](std::size_t time) {
        const std::vector<std::chrono::minutes> clocks{60min, 0min, -60min, 0min};
        const auto ahead = clocks.at(time % 4);
        stage->clock.set_ahead(ahead);
        EXPECT_TRUE(wait_until([&] { return minutes_ahead() == std::set<long>{0, ahead.count()}; }))
            << "of half of the workers\n"
            << stage->logs();
        stop_workers();
    });
    expect_all_was_well();
}

}  // namespace
}  // namespace pgpulse
