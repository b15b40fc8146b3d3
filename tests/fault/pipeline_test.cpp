#include "tests/support/pipeline.hpp"

#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>

// The pipeline end to end, through the faults its users meet. Each test ends with the same question: do the
// bucket, the KV key and the check agree, and was every transition written exactly once?
namespace pgpulse {
namespace {

using support::wait_until;

class PipelineFaults : public testing::Test {
  protected:
    support::Pipeline pipeline;

    void kill_and_see_it_down() {
        pipeline.db1.kill9();
        ASSERT_TRUE(pipeline.agree_soon("db1", "down")) << pipeline.logs();
    }

    void start_and_see_it_up() {
        pipeline.db1.start();
        ASSERT_TRUE(pipeline.agree_soon("db1", "up")) << pipeline.logs();
    }

    void expect_each_transition_once(std::size_t transitions) const {
        EXPECT_TRUE(pipeline.counted_without_gap("db1")) << pipeline.logs();
        EXPECT_EQ(pipeline.ledger->history("db1").size(), transitions) << pipeline.logs();
        EXPECT_EQ(pipeline.ledger->history("db2").size(), 1U) << "db2 was never away\n" << pipeline.logs();
        EXPECT_TRUE(pipeline.agree("db2", "up")) << pipeline.logs();
    }
};

TEST_F(PipelineFaults, AKilledServerIsSeenByEveryReader) {
    kill_and_see_it_down();
    const auto history = pipeline.ledger->history("db1");
    ASSERT_EQ(history.size(), 2U);
    EXPECT_EQ(history[1].state.previous, contract::Health::up);
    ASSERT_EQ(history[1].state.evidence.size(), 1U);
    EXPECT_EQ(history[1].state.evidence[0].worker, "probe-1");

    // The handlers' last call shows it.
    EXPECT_TRUE(wait_until([&] {
        const auto checks = nlohmann::json::parse(pipeline.check_watch->entries().back().json);
        return checks.size() == 1 && checks[0]["CheckID"] == "db1-isready" &&
               checks[0]["Status"] == "critical";
    }));
    EXPECT_TRUE(wait_until([&] {
        return pipeline.key_watch->entries().back().json.find("health/db1") != std::string::npos &&
               pipeline.key_watch->entries().size() >= 2;
    }));

    start_and_see_it_up();
    EXPECT_TRUE(wait_until([&] {
        const auto checks = nlohmann::json::parse(pipeline.check_watch->entries().back().json);
        return checks.size() == 1 && checks[0]["Status"] == "passing";
    }));
    expect_each_transition_once(3);
}

TEST_F(PipelineFaults, ConsulKilledMeanwhile) {
    pipeline.consul.kill9();
    pipeline.db1.kill9();
    ASSERT_TRUE(wait_until([&] {
        const auto newest = pipeline.ledger->newest("db1");
        return newest && newest->state.state == contract::Health::down;
    })) << pipeline.logs();
    pipeline.consul.start();
    EXPECT_TRUE(pipeline.agree_soon("db1", "down")) << pipeline.logs();
    start_and_see_it_up();
    expect_each_transition_once(3);
}

TEST_F(PipelineFaults, NatsKilledAndRestartedWithItsStore) {
    pipeline.nats.kill9();
    pipeline.nats.start();
    kill_and_see_it_down();
    pipeline.nats.kill9();
    pipeline.db1.start();
    pipeline.nats.start();
    ASSERT_TRUE(pipeline.agree_soon("db1", "up")) << pipeline.logs();
    expect_each_transition_once(3);
}

TEST_F(PipelineFaults, ProbeKilledAndRestarted) {
    pipeline.probe->kill9();
    pipeline.db1.kill9();
    pipeline.probe->start();
    ASSERT_TRUE(pipeline.agree_soon("db1", "down")) << pipeline.logs();
    start_and_see_it_up();
    expect_each_transition_once(3);
}

TEST_F(PipelineFaults, AggregatorKilledAndRestarted) {
    pipeline.aggregator->kill9();
    pipeline.db1.kill9();
    pipeline.aggregator->start();
    ASSERT_TRUE(pipeline.agree_soon("db1", "down")) << pipeline.logs();
    pipeline.aggregator->kill9();
    pipeline.db1.start();
    pipeline.aggregator->start();
    ASSERT_TRUE(pipeline.agree_soon("db1", "up")) << pipeline.logs();
    expect_each_transition_once(3);
}

TEST_F(PipelineFaults, BridgeKilledAndRestarted) {
    pipeline.bridge->kill9();
    pipeline.db1.kill9();
    ASSERT_TRUE(wait_until([&] {
        const auto newest = pipeline.ledger->newest("db1");
        return newest && newest->state.state == contract::Health::down;
    })) << pipeline.logs();
    EXPECT_EQ(pipeline.kv_state("db1"), "up") << "nobody else writes it";
    pipeline.bridge->start();
    ASSERT_TRUE(pipeline.agree_soon("db1", "down")) << pipeline.logs();
    start_and_see_it_up();
    expect_each_transition_once(3);
}

TEST_F(PipelineFaults, AStoppedAggregatorWritesNothingWrongWhenItGoesOn) {
    pipeline.aggregator->process().stop();
    // Longer than a freshness of pings passes for everybody else: 26 pings of two targets at one a second.
    const auto pings = [&] {
        return pipeline.probe
            ->metric(R"(pgpulse_probe_pings_total{reason="ok",verdict="accepting",via="fresh"})")
            .value_or(0);
    };
    const double before = pings();
    ASSERT_TRUE(wait_until([&] { return pings() >= before + 26; }, std::chrono::seconds{60}))
        << pipeline.logs();
    pipeline.aggregator->process().cont();
    kill_and_see_it_down();
    start_and_see_it_up();
    expect_each_transition_once(3);
}

TEST_F(PipelineFaults, EveryDaemonEndsInTime) {
    EXPECT_EQ(pipeline.probe->stop(), 0);
    EXPECT_EQ(pipeline.aggregator->stop(), 0);
    EXPECT_EQ(pipeline.bridge->stop(), 0);
}

}  // namespace
}  // namespace pgpulse
