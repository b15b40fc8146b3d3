#include "tests/support/daemons.hpp"
#include "tests/support/metrics_page.hpp"
#include "tests/support/pipeline.hpp"
#include "tests/support/process.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <sstream>

// What `/metrics` of the running daemons says, against docs/metrics.md and against promtool.
namespace pgpulse {
namespace {

using testing::IsEmpty;
using testing::IsSupersetOf;

/// What a text in Prometheus' format says there is.
support::MetricShapes shapes_of(const std::string& text) {
    static const std::regex kType{R"(# TYPE (\S+) (\S+))"};
    static const std::regex kSample{R"(([a-zA-Z_:][\w:]*)(\{[^}]*\})? .*)"};
    static const std::regex kLabel{R"re((\w+)="[^"]*")re"};
    support::MetricShapes shapes;
    std::istringstream lines{text};
    for (std::string line; std::getline(lines, line);) {
        std::smatch match;
        if (std::regex_match(line, match, kType)) shapes[match[1]].type = match[2];
        if (!std::regex_match(line, match, kSample)) continue;
        support::MetricShape& shape = shapes[support::metric_of(match[1], shapes)];
        const std::string labels = match[2];
        for (std::sregex_iterator at{labels.begin(), labels.end(), kLabel}, end; at != end; ++at) {
            if ((*at)[1] != "le") shape.labels.insert((*at)[1]);
        }
    }
    return shapes;
}

TEST(Metrics, OfRunningDaemonsAreThoseOfThePageAndPromtoolHasNoComplaint) {
    const support::Pipeline pipeline;
    // Another bridge, with a webhook: those of one without are fewer.
    const support::Daemon bridge{"pgpulse-consul-bridge",
                                 "bridge-2",
                                 {"--nats", pipeline.nats.url(), "--consul", pipeline.consul.http_url(),
                                  "--webhook", "http://127.0.0.1:1/hook"}};
    ASSERT_TRUE(support::wait_until([&] { return bridge.readiness() == 200; })) << bridge.log();
    const std::map<std::string, std::string> scraped{
        {"pgpulse-probe", pipeline.probe->metrics()},
        {"pgpulse-aggregator", pipeline.aggregator->metrics()},
        {"pgpulse-consul-bridge", bridge.metrics()},
    };
    for (const auto& [program, text] : scraped) {
        EXPECT_EQ(shapes_of(text), support::documented_metrics(program)) << program;
        const auto checked = support::run_to_end({support::promtool(), "check", "metrics"}, {.input = text});
        EXPECT_EQ(checked.exit_code, 0) << program;
        EXPECT_THAT(checked.out + checked.err, IsEmpty()) << program;
    }
    EXPECT_EQ(pipeline.probe->metric("pgpulse_probe_targets"), 2);
    EXPECT_GT(
        pipeline.probe->metric(R"(pgpulse_probe_pings_total{reason="ok",verdict="accepting",via="fresh"})"),
        0);
    EXPECT_GT(pipeline.probe->metric("pgpulse_probe_rtt_seconds_count"), 0);
    EXPECT_GT(pipeline.probe->metric("pgpulse_probe_lateness_seconds_count"), 0);
    // What the others show follows a moment later.
    EXPECT_TRUE(support::wait_until([&] {
        return pipeline.aggregator->metric(R"(pgpulse_aggregator_targets{state="up"})") == 2 &&
               pipeline.bridge->metric("pgpulse_bridge_targets") == 2;
    })) << pipeline.logs();
}

TEST(Metrics, SayWhoIsNotReadyAndWhoDoesNotHearItself) {
    support::Pipeline pipeline;
    const auto all_say = [&](double ready, double frozen) {
        return pipeline.probe->metric("pgpulse_probe_ready") == ready &&
               pipeline.aggregator->metric("pgpulse_aggregator_ready") == ready &&
               pipeline.bridge->metric("pgpulse_bridge_ready") == ready &&
               pipeline.probe->metric("pgpulse_probe_members_frozen") == frozen &&
               pipeline.aggregator->metric("pgpulse_aggregator_members_frozen") == frozen;
    };
    EXPECT_TRUE(support::wait_until([&] { return all_say(1, 0); })) << pipeline.logs();
    pipeline.nats.stop();
    EXPECT_TRUE(support::wait_until([&] { return all_say(0, 1); })) << pipeline.logs();
    pipeline.nats.start();
    EXPECT_TRUE(support::wait_until([&] { return all_say(1, 0); })) << pipeline.logs();
}

TEST(Metrics, ThatAWorkerMustHaveAreOnThePage) {
    std::set<std::string> names;
    for (const auto& [name, shape] : support::documented_metrics("pgpulse-probe")) names.insert(name);
    EXPECT_THAT(names,
                IsSupersetOf({"pgpulse_probe_pings_total", "pgpulse_probe_rtt_seconds",
                              "pgpulse_probe_lateness_seconds", "pgpulse_probe_targets",
                              "pgpulse_probe_in_flight", "pgpulse_probe_pings_dropped_total",
                              "pgpulse_probe_suspect", "pgpulse_probe_members", "pgpulse_probe_sessions"}));
}

TEST(Metrics, PromtoolComplainsOfWhatItIsThereFor) {
    const auto checked = support::run_to_end({support::promtool(), "check", "metrics"},
                                             {.input = "# TYPE pgpulse_rtt_us counter\npgpulse_rtt_us 1\n"});
    EXPECT_NE(checked.exit_code, 0);
}

}  // namespace
}  // namespace pgpulse
