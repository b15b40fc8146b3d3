#include "consul-bridge/pipeline_health.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>

namespace pgpulse::consul_bridge {
namespace {

using namespace std::chrono_literals;
using contract::WallTime;

constexpr std::chrono::seconds kStaleAfter{30};

const WallTime kStart = *contract::parse_rfc3339("2026-01-02T14:00:00.25Z");

/// A bridge's eyes and its clocks.
struct HealthStage {
    explicit HealthStage(std::chrono::seconds stale_after = kStaleAfter) : health(stale_after, now, wall) {}

    Mono now{1h};
    WallTime wall = kStart;
    PipelineHealth::Seen seen{true, 2, 3};
    std::optional<bool> one_passes;  // what Consul says when it is asked
    PipelineHealth health;

    /// One look each half second.
    void pass(std::chrono::milliseconds time) {
        for (; time > 0ms; time -= 500ms) {
            now += 500ms;
            wall += 500ms;
            look();
        }
    }

    void look() {
        health.observe(seen, now, wall);
        if (one_passes && health.asks_for_others()) health.others(*one_passes, now);
    }

    /// No look meanwhile.
    void stand_still(std::chrono::milliseconds time) {
        now += time;
        wall += time;
        look();
    }

    [[nodiscard]] std::string says() const {
        const OwnCheck check = health.check();
        return (check.passing ? "passing: " : "critical: ") + check.output;
    }

    [[nodiscard]] bool stale() const { return health.stale().has_value(); }
};

TEST(PipelineHealthRule, HearsAndServed) {
    HealthStage stage;
    EXPECT_EQ(stage.says(), "critical: starting: has not heard itself on NATS yet");
    stage.look();
    EXPECT_EQ(stage.says(), "passing: carries 3 targets");
    stage.seen.aggregators = 1;
    stage.pass(1h);
    EXPECT_EQ(stage.says(), "passing: carries 3 targets");
}

TEST(PipelineHealthRule, ReasonWithTime) {
    HealthStage stage;
    stage.seen.hears_itself = false;
    stage.pass(1min);
    EXPECT_EQ(stage.says(), "critical: starting: has not heard itself on NATS yet");
    stage.seen = {true, 0, 3};
    stage.pass(1min);
    EXPECT_EQ(stage.says(), "critical: no aggregator is alive since 2026-01-02T14:01:00Z");
    stage.seen.aggregators = 1;
    stage.pass(500ms);
    EXPECT_EQ(stage.says(), "passing: carries 3 targets");
    stage.seen.hears_itself = false;
    stage.pass(2min);
    EXPECT_EQ(stage.says(), "critical: has not heard itself on NATS since 2026-01-02T14:02:01Z");
    stage.seen = {true, 0, 3};
    stage.pass(2s);
    EXPECT_EQ(stage.says(), "critical: no aggregator is alive since 2026-01-02T14:04:01Z");
}

TEST(PipelineHealthRule, AfterAGap) {
    HealthStage stage;
    stage.look();
    stage.stand_still(PipelineHealth::kLongestGap);
    EXPECT_EQ(stage.says(), "passing: carries 3 targets");
    stage.stand_still(1min);
    EXPECT_EQ(stage.says(), "critical: has not heard itself on NATS since 2026-01-02T14:01:02Z");
    stage.pass(500ms);
    EXPECT_EQ(stage.says(), "critical: has not heard itself on NATS since 2026-01-02T14:01:02Z");
    stage.pass(500ms);
    EXPECT_EQ(stage.says(), "passing: carries 3 targets");
}

TEST(PipelineHealthRule, AfterAGapNothingIsStaleByThatTime) {
    HealthStage stage;
    stage.seen.aggregators = 0;
    stage.one_passes = false;
    stage.pass(kStaleAfter - 1s);
    stage.stand_still(1h);
    EXPECT_FALSE(stage.stale());
    stage.pass(500ms);
    EXPECT_FALSE(stage.stale());
    stage.pass(500ms);
    EXPECT_TRUE(stage.stale());
}

TEST(PipelineHealthRule, AfterAGapWhatConsulSaidBeforeIsForgotten) {
    HealthStage stage;
    stage.look();
    stage.seen.hears_itself = false;
    stage.one_passes = false;
    stage.pass(kStaleAfter + 1s);
    ASSERT_TRUE(stage.stale());
    stage.one_passes.reset();
    stage.stand_still(3s);
    EXPECT_FALSE(stage.stale());
}

TEST(PipelineHealthRule, StaleAfterNoAggregator) {
    HealthStage stage;
    stage.pass(10s);
    stage.seen.aggregators = 0;
    stage.pass(kStaleAfter);
    EXPECT_FALSE(stage.stale());
    stage.pass(500ms);
    ASSERT_TRUE(stage.stale());
    EXPECT_EQ(*stage.health.stale(), (Stale{kStart + 10500ms, "no aggregator is alive"}));
    EXPECT_FALSE(stage.health.asks_for_others());
    const auto before = stage.health.stale();
    stage.pass(1h);
    EXPECT_EQ(stage.health.stale(), before);
}

TEST(PipelineHealthRule, StaleAfterNatsIsGone) {
    HealthStage stage;
    stage.look();
    stage.seen.hears_itself = false;
    stage.one_passes = false;
    stage.pass(kStaleAfter);
    EXPECT_FALSE(stage.stale());
    stage.pass(500ms);
    ASSERT_TRUE(stage.stale());
    EXPECT_EQ(*stage.health.stale(), (Stale{kStart + 500ms, "no bridge hears NATS"}));
}

TEST(PipelineHealthRule, StaleAfterIsNeverUnlessAskedFor) {
    HealthStage stage{0s};
    stage.look();
    stage.one_passes = false;
    for (const PipelineHealth::Seen seen : {PipelineHealth::Seen{true, 0, 3}, {false, 0, 3}}) {
        stage.seen = seen;
        stage.pass(1h);
        EXPECT_FALSE(stage.stale());
        EXPECT_FALSE(stage.health.asks_for_others());
    }
}

TEST(PipelineHealthRule, StaleAfterCountsOnWhereTheCauseChanges) {
    HealthStage stage;
    stage.look();
    stage.seen.hears_itself = false;
    stage.one_passes = false;
    stage.pass(kStaleAfter / 2);
    stage.seen = {true, 0, 3};
    stage.pass(kStaleAfter / 2 + 500ms);
    ASSERT_TRUE(stage.stale());
    EXPECT_EQ(*stage.health.stale(), (Stale{kStart + 500ms, "no aggregator is alive"}));
}

TEST(PipelineHealthRule, StaleAfterOneCauseStaysSoInTheSameWordsWhileAnotherComes) {
    HealthStage stage;
    stage.look();
    stage.seen.aggregators = 0;
    stage.pass(kStaleAfter + 500ms);
    const Stale stale{kStart + 500ms, "no aggregator is alive"};
    ASSERT_EQ(stage.health.stale(), stale);
    stage.seen.hears_itself = false;
    stage.pass(500ms);
    EXPECT_EQ(stage.health.stale(), stale);
    stage.one_passes = false;
    stage.pass(1min);
    EXPECT_EQ(stage.health.stale(), stale);
    stage.one_passes.reset();
    stage.pass(PipelineHealth::kAnswerHolds + 500ms);
    EXPECT_FALSE(stage.stale());
}

TEST(PipelineHealthRule, OthersCarryOn) {
    HealthStage stage;
    stage.look();
    stage.seen.hears_itself = false;
    stage.one_passes = true;
    stage.pass(1h);
    EXPECT_FALSE(stage.stale());
    // It counts from when one last passed.
    stage.one_passes = false;
    stage.pass(kStaleAfter);
    EXPECT_FALSE(stage.stale());
    stage.pass(500ms);
    ASSERT_TRUE(stage.stale());
    EXPECT_EQ(stage.health.stale()->since, kStart + 1h + 500ms);
    stage.one_passes = true;
    stage.pass(1s);
    EXPECT_FALSE(stage.stale());
}

TEST(PipelineHealthRule, OthersCarryOnAsFarAsIsKnown) {
    HealthStage stage;
    stage.look();
    stage.seen.hears_itself = false;
    stage.pass(1h);
    EXPECT_FALSE(stage.stale());
    EXPECT_TRUE(stage.health.asks_for_others());
    stage.health.others(false, stage.now);
    stage.pass(PipelineHealth::kAnswerHolds);
    EXPECT_TRUE(stage.stale());
    EXPECT_EQ(stage.health.stale()->since, kStart + 500ms);
    stage.pass(500ms);
    EXPECT_FALSE(stage.stale());
}

TEST(PipelineHealthRule, OthersCarryOnAlsoWhereThisBridgeHasNeverHeardItself) {
    HealthStage stage;
    stage.seen = {false, 0, 0};
    stage.pass(1h);
    EXPECT_TRUE(stage.health.asks_for_others());
    EXPECT_FALSE(stage.stale());
    stage.health.others(false, stage.now);
    stage.pass(500ms);
    ASSERT_TRUE(stage.stale());
    EXPECT_EQ(stage.health.stale()->since, kStart);
}

TEST(PipelineHealthRule, OverAtOnce) {
    for (const PipelineHealth::Seen dead : {PipelineHealth::Seen{true, 0, 3}, {false, 2, 3}}) {
        HealthStage stage;
        stage.look();
        stage.one_passes = false;
        stage.seen = dead;
        stage.pass(1min);
        ASSERT_TRUE(stage.stale());
        stage.seen = {true, 1, 3};
        stage.look();
        EXPECT_FALSE(stage.stale());
        EXPECT_EQ(stage.says(), "passing: carries 3 targets");
        // What was counted and answered then counts no more.
        stage.seen = dead;
        stage.one_passes.reset();
        stage.pass(kStaleAfter);
        EXPECT_FALSE(stage.stale());
    }
}

TEST(PipelineHealthRule, SettledNumber) {
    HealthStage stage;
    stage.seen.targets = 0;
    stage.look();
    EXPECT_EQ(stage.says(), "passing: carries 0 targets");
    for (int i = 0; i < 100; ++i) {
        ++stage.seen.targets;
        stage.pass(PipelineHealth::kSettled - 500ms);
        ASSERT_EQ(stage.says(), "passing: carries 0 targets");
    }
    stage.pass(1s);
    EXPECT_EQ(stage.says(), "passing: carries 100 targets");
    stage.seen.targets = 1;
    stage.pass(PipelineHealth::kSettled + 500ms);
    EXPECT_EQ(stage.says(), "passing: carries 1 target");
}

TEST(PipelineHealth, ALoopThatHangsPassesNothing) {
    const Mono turned{1h};
    const OwnCheck check{true, "carries 3 targets"};
    EXPECT_EQ(check_of_loop(check, turned, turned + PipelineHealth::kStuck - 1ms, kStart), check);
    EXPECT_EQ(check_of_loop(check, turned, turned + 65s, kStart + 65s),
              (OwnCheck{false, "its loop has not turned since 2026-01-02T14:00:00Z"}));
}

}  // namespace
}  // namespace pgpulse::consul_bridge
