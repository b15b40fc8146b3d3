#include "tests/support/folders.hpp"
#include "tests/support/metrics_page.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

// deploy/prometheus: the rules, the stories that fire them, and docs/alerts.md.
namespace pgpulse {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

const std::string kRules = "deploy/prometheus/pgpulse.rules.yml";
const std::string kStories = "deploy/prometheus/pgpulse.rules.test.yml";

/// A part of a text that its first line names.
struct Block {
    std::string name;
    std::string text;
};

/// The parts of a text that begin with such a line, of which the first group is the name. One ends where the next one
/// begins, or a line of `end`.
std::vector<Block> blocks(const std::string& text, const std::string& begin, const std::string& end = "$^") {
    const std::regex first{begin};
    const std::regex last{end};
    std::vector<Block> found;
    bool inside = false;
    std::istringstream lines{text};
    for (std::string line; std::getline(lines, line);) {
        std::smatch match;
        if (std::regex_match(line, match, first)) {
            found.push_back({match[1], ""});
            inside = true;
        } else if (std::regex_match(line, last)) {
            inside = false;
        }
        if (inside) found.back().text += line + '\n';
    }
    return found;
}

std::vector<Block> alerts() {
    return blocks(support::repository_text(kRules), "      - alert: (\\w+)",
                  R"(  - name: .*| {6}- record: .*)");
}

std::vector<Block> stories() {
    return blocks(support::repository_text(kStories), "  - name: '?([^']*)'?", "  # .*");
}

std::set<std::string> recorded_names() {
    std::set<std::string> names;
    for (const Block& rule : blocks(support::repository_text(kRules), "      - record: (\\S+)"))
        names.insert(rule.name);
    return names;
}

std::string path_of(const std::string& file) { return support::source_folder() / file; }

support::CommandResult promtool_test(const std::string& file) {
    // It reckons hours of every rule's life; a machine may be busy.
    return support::run_to_end({support::promtool(), "test", "rules", file}, {}, std::chrono::minutes{4});
}

/// A story that expects this alert, after a time at which nothing had fired.
bool tells_of(const Block& story, const std::string& alert) {
    const auto quiet = story.text.find("exp_samples: []");
    const auto fires = story.text.find(R"('{alertname=")" + alert + R"("}')");
    return quiet != std::string::npos && fires != std::string::npos && quiet < fires;
}

TEST(PrometheusFiles, AreTakenByPromtool) {
    const auto rules = support::run_to_end({support::promtool(), "check", "rules", path_of(kRules)});
    EXPECT_EQ(rules.exit_code, 0) << rules.out << rules.err;
    const auto config = support::run_to_end(
        {support::promtool(), "check", "config", path_of("deploy/prometheus/prometheus.yml")});
    EXPECT_EQ(config.exit_code, 0) << config.out << config.err;
}

TEST(PrometheusFiles, AlertsFireInTheirStoriesAndNowhereElse) {
    const auto tested = promtool_test(path_of(kStories));
    EXPECT_EQ(tested.exit_code, 0) << tested.out << tested.err;
}

TEST(PrometheusFiles, NameMetricsLabelsAndValuesThatThereAre) {
    const std::set<std::string> recorded = recorded_names();
    EXPECT_THAT(recorded, Not(IsEmpty()));
    for (const std::string& file : {kRules, kStories})
        EXPECT_THAT(support::unknown_names(support::repository_text(file), recorded), IsEmpty()) << file;
}

TEST(PrometheusAlerts, AreExplainedAndHaveAStory) {
    const std::string page = support::repository_text("docs/alerts.md");
    const std::vector<Block> entries = blocks(page, "### (\\w+)", "## .*");
    const std::vector<Block> told = stories();
    EXPECT_THAT(entries, SizeIs(alerts().size()));
    for (const Block& alert : alerts()) {
        SCOPED_TRACE(alert.name);
        std::string anchor = alert.name;
        std::ranges::transform(anchor, anchor.begin(),
                               [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        EXPECT_THAT(alert.text, ContainsRegex("\n        for: [0-9]+[sm]\n"));
        EXPECT_THAT(alert.text, ContainsRegex("severity: (warning|critical)}\n"));
        EXPECT_THAT(alert.text, ContainsRegex("\n          summary: '.+'\n"));
        EXPECT_THAT(alert.text, ContainsRegex("\n          description: '.+'\n"));
        EXPECT_THAT(alert.text, HasSubstr("\n          runbook: docs/alerts.md#" + anchor + "\n"));
        const auto entry = std::ranges::find(entries, alert.name, &Block::name);
        ASSERT_NE(entry, entries.end());
        EXPECT_THAT(entry->text, HasSubstr("\n- Look"));
        EXPECT_THAT(entry->text, ContainsRegex("\n- (Look, and d|D)o: "));
        EXPECT_TRUE(
            std::ranges::any_of(told, [&](const Block& story) { return tells_of(story, alert.name); }));
    }
}

// The checks themselves: each must find what it is there for.

TEST(PrometheusFiles, PromtoolFailsAStoryThatIsNotSo) {
    const support::TempDir folder;
    // As a threshold that nothing reaches would.
    std::string rules = support::repository_text(kRules);
    const std::string before = "alert: PgpulseTargetsInConflict";
    ASSERT_NE(rules.find(before), std::string::npos);
    rules.replace(rules.find(before), before.size(), "alert: SomethingElse");
    std::ofstream{folder / "pgpulse.rules.yml"} << rules;
    std::string all = support::repository_text(kStories);
    std::ofstream file{folder / "stories.yml"};
    file << all.substr(0, all.find("\ntests:\n") + 8);
    for (Block& story : stories()) {
        if (!tells_of(story, "PgpulseTargetsInConflict")) continue;
        // What the anchors of the whole file stand for.
        story.text = std::regex_replace(story.text, std::regex{R"(\*ever)"}, "'count(ALERTS)'");
        file << std::regex_replace(story.text, std::regex{R"(\*firing)"}, "'count by (alertname) (ALERTS)'");
    }
    file.close();
    const auto tested = promtool_test(folder / "stories.yml");
    EXPECT_NE(tested.exit_code, 0);
    EXPECT_THAT(tested.out + tested.err, HasSubstr("SomethingElse"));
}

TEST(PrometheusNames, ThatAreNotOnThePageAreFound) {
    for (const char* promql : {
             "pgpulse_probe_pongs_total",
             R"(pgpulse_probe_pings_total{colour="red"})",
             R"(pgpulse_aggregator_targets{state="dwon"})",
             R"(pgpulse_aggregator_pings_total{outcome=~"counted|lost"})",
             "pgpulse_probe_rtt_seconds",
             "pgpulse_probe_targets_bucket",
             "sum by (reasn) (pgpulse_probe_pings_total)",
             R"(a:pgpulse_targets:max{state="up"})",
         })
        EXPECT_THAT(support::unknown_names(promql), SizeIs(1)) << promql;
    for (const char* promql : {
             R"(sum by (verdict) (rate(pgpulse_probe_pings_total{reason!="ok", job=~"x"}[5m])))",
             "sum by (le) (pgpulse_probe_rtt_seconds_bucket)",
             "process_start_time_seconds",
         })
        EXPECT_THAT(support::unknown_names(promql), IsEmpty()) << promql;
    EXPECT_THAT(support::unknown_names(R"(a:pgpulse_targets:max{state="up"})", {"a:pgpulse_targets:max"}),
                IsEmpty());
}

}  // namespace
}  // namespace pgpulse
