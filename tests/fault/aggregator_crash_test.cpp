#include "tests/support/aggregator_stage.hpp"
#include "tests/support/wait_until.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>
#include <random>
#include <string>
#include <vector>

// Four pgpulse-aggregator that are killed again and again while three workers, played by the test, change their minds:
// the bucket and the messages must equal the ledger of what the workers came to agree on.
//
// A few kills by default; 200 during 1,000 transitions with PGPULSE_TEST_LONG=1.
namespace pgpulse {
namespace {

using support::wait_until;

constexpr int kCrashTargets = 40;
constexpr std::size_t kFlipsAKill = 5;
const std::vector<std::string> kCrashAggregators{"aggregator-1", "aggregator-2", "aggregator-3",
                                                 "aggregator-4"};

int kills() {
    const char* const longer = std::getenv("PGPULSE_TEST_LONG");
    return longer != nullptr && std::string{longer} == "1" ? 200 : 20;
}

class AggregatorCrash : public testing::Test {
  protected:
    support::OneServerStage stage{kCrashTargets};
    std::mt19937 random{std::random_device{}()};

    std::size_t below(std::size_t bound) {
        return std::uniform_int_distribution<std::size_t>{0, bound - 1}(random);
    }

    /// Five targets whose last change is told, once there are as many.
    std::vector<std::string> settled() {
        std::vector<std::string> targets;
        EXPECT_TRUE(wait_until([&] {
            targets.clear();
            std::ranges::copy_if(stage.targets, std::back_inserter(targets),
                                 [&](const std::string& target) { return stage.shown(target); });
            return targets.size() >= kFlipsAKill;
        })) << stage.logs();
        std::ranges::shuffle(targets, random);
        targets.resize(std::min(targets.size(), kFlipsAKill));
        return targets;
    }

    /// Those that do their work.
    std::vector<std::string> ready() const {
        std::vector<std::string> ids;
        for (const auto& [id, daemon] : stage.aggregators()) {
            if (daemon->readiness() == 200) ids.push_back(id);
        }
        return ids;
    }

    /// One that does its work while another does: the changes do not wait for a start.
    std::string victim() {
        std::vector<std::string> ids;
        EXPECT_TRUE(wait_until([&] {
            ids = ready();
            return ids.size() >= 2;
        })) << stage.logs();
        return ids.empty() ? kCrashAggregators.front() : ids.at(below(ids.size()));
    }
};

TEST_F(AggregatorCrash, EachTransitionIsRecordedExactlyOnce) {
    ASSERT_TRUE(stage.start(kCrashAggregators)) << stage.logs();
    stage.flip_all();
    ASSERT_TRUE(stage.all_shown_soon()) << stage.logs();

    std::size_t flips = 0;
    for (int kill = 0; kill < kills() && !HasFailure(); ++kill) {
        const std::string id = victim();
        const std::vector<std::string> targets = settled();
        for (const std::string& target : targets) stage.flip(target);
        flips += targets.size();
        // At once, or when some of the changes are told.
        const std::size_t told = below(targets.size());
        ASSERT_TRUE(wait_until([&] { return stage.shown(targets) >= told; })) << stage.logs();
        support::Daemon& daemon = stage.aggregator(id);
        daemon.kill9();
        daemon.start();
    }
    ASSERT_TRUE(stage.all_shown_soon()) << stage.logs();
    // Whoever starts last has read all, heard everybody, and could contradict.
    ASSERT_TRUE(stage.start(kCrashAggregators)) << stage.logs();
    ASSERT_TRUE(stage.sing(24));

    const std::string stored = stage.stored_otherwise();
    const std::string told = stage.told_otherwise();
    EXPECT_EQ(stored, "") << (stored.empty() ? "" : stage.logs());
    EXPECT_EQ(told, "") << (told.empty() ? "" : stage.logs());
    std::map<std::string, std::size_t> by;
    for (const auto& entry : stage.told->all()) ++by[entry.state ? entry.state->decided_by : "(deleted)"];
    std::cout << fmt::format("{} kills, {} transitions after the first of {} targets; {} messages", kills(),
                             flips, kCrashTargets, stage.told->count());
    for (const auto& [id, count] : by) std::cout << fmt::format(", {} by {}", count, id);
    std::cout << std::endl;
}

}  // namespace
}  // namespace pgpulse
