#include "tests/support/daemons.hpp"
#include "tests/support/folders.hpp"
#include "tests/support/pipeline.hpp"
#include "tests/support/process.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
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

/// What is known of one metric: its type, and the names of its labels.
struct Shape {
    std::string type;
    std::set<std::string> labels;

    bool operator==(const Shape&) const = default;

    friend void PrintTo(const Shape& shape, std::ostream* out) {
        *out << shape.type << '{';
        for (const std::string& label : shape.labels) *out << label << ' ';
        *out << '}';
    }
};
using Shapes = std::map<std::string, Shape>;

/// The metric that a sample belongs to: a histogram's samples have endings.
std::string metric_of(const std::string& sample, const Shapes& shapes) {
    for (const char* ending : {"_bucket", "_sum", "_count"}) {
        if (!sample.ends_with(ending)) continue;
        const std::string name = sample.substr(0, sample.size() - std::string_view{ending}.size());
        if (shapes.contains(name)) return name;
    }
    return sample;
}

/// What a text in Prometheus' format says there is.
Shapes shapes_of(const std::string& text) {
    static const std::regex kType{R"(# TYPE (\S+) (\S+))"};
    static const std::regex kSample{R"(([a-zA-Z_:][\w:]*)(\{[^}]*\})? .*)"};
    static const std::regex kLabel{R"re((\w+)="[^"]*")re"};
    Shapes shapes;
    std::istringstream lines{text};
    for (std::string line; std::getline(lines, line);) {
        std::smatch match;
        if (std::regex_match(line, match, kType)) shapes[match[1]].type = match[2];
        if (!std::regex_match(line, match, kSample)) continue;
        Shape& shape = shapes[metric_of(match[1], shapes)];
        const std::string labels = match[2];
        for (std::sregex_iterator at{labels.begin(), labels.end(), kLabel}, end; at != end; ++at) {
            if ((*at)[1] != "le") shape.labels.insert((*at)[1]);
        }
    }
    return shapes;
}

/// What the page says a program has: rows of a table, | `name` | type | `label`, `label` | meaning |.
Shapes documented(const std::string& program) {
    static const std::regex kRow{R"(\| `(\w+)` \| (counter|gauge|histogram) \|([^|]*)\| [^|]+ \|)"};
    static const std::regex kLabel{"`(\\w+)`"};
    std::ifstream file{std::filesystem::path{support::source_folder()} / "docs" / "metrics.md"};
    Shapes shapes;
    bool of_program = false;
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("## ")) of_program = line == "## " + program;
        std::smatch match;
        if (!of_program || !std::regex_match(line, match, kRow)) continue;
        Shape& shape = shapes[match[1]];
        shape.type = match[2];
        const std::string labels = match[3];
        for (std::sregex_iterator at{labels.begin(), labels.end(), kLabel}, end; at != end; ++at)
            shape.labels.insert((*at)[1]);
    }
    return shapes;
}

/// promtool, from PATH or from where scripts/promtool.sh puts it.
std::string promtool() {
    if (const auto found = support::find_program("promtool")) return found->string();
    return std::filesystem::path{support::source_folder()} / "build" / "tools" / "promtool";
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
        EXPECT_EQ(shapes_of(text), documented(program)) << program;
        const auto checked = support::run_to_end({promtool(), "check", "metrics"}, {.input = text});
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

TEST(Metrics, ThatAWorkerMustHaveAreOnThePage) {
    std::set<std::string> names;
    for (const auto& [name, shape] : documented("pgpulse-probe")) names.insert(name);
    EXPECT_THAT(names,
                IsSupersetOf({"pgpulse_probe_pings_total", "pgpulse_probe_rtt_seconds",
                              "pgpulse_probe_lateness_seconds", "pgpulse_probe_targets",
                              "pgpulse_probe_in_flight", "pgpulse_probe_pings_dropped_total",
                              "pgpulse_probe_suspect", "pgpulse_probe_members", "pgpulse_probe_sessions"}));
}

TEST(Metrics, PromtoolComplainsOfWhatItIsThereFor) {
    const auto checked = support::run_to_end({promtool(), "check", "metrics"},
                                             {.input = "# TYPE pgpulse_rtt_us counter\npgpulse_rtt_us 1\n"});
    EXPECT_NE(checked.exit_code, 0);
}

}  // namespace
}  // namespace pgpulse
