#include "tests/support/metrics_page.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <gmock/gmock.h>

#include <array>
#include <fstream>
#include <regex>
#include <set>

// deploy/grafana/pgpulse.json, as far as it can be held without a Grafana.
namespace pgpulse {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::Not;

const nlohmann::json& dashboard() {
    static const nlohmann::json board =
        nlohmann::json::parse(support::repository_text("deploy/grafana/pgpulse.json"));
    return board;
}

/// All panels but the titles of rows.
std::vector<nlohmann::json> panels() {
    std::vector<nlohmann::json> found;
    for (const auto& panel : dashboard().at("panels")) {
        if (panel.at("type") != "row") found.push_back(panel);
    }
    return found;
}

std::vector<std::string> expressions() {
    std::vector<std::string> found;
    for (const auto& panel : panels()) {
        for (const auto& target : panel.at("targets")) found.push_back(target.at("expr"));
    }
    return found;
}

/// As Grafana asks it, with all jobs and instances.
std::string with_variables_filled(const std::string& expression) {
    const auto filled = std::regex_replace(expression, std::regex{R"(\$__rate_interval)"}, "1m");
    return std::regex_replace(filled, std::regex{R"(\$(installation|job|instance))"}, ".*");
}

/// What promtool says of these expressions: each becomes a rule.
support::CommandResult check_expressions(const std::vector<std::string>& all) {
    const support::TempDir folder;
    std::ofstream file{folder / "rules.yml"};
    file << "groups:\n  - name: dashboard\n    rules:\n";
    for (std::size_t i = 0; i < all.size(); ++i) {
        // JSON's text in quotes is YAML's as well.
        file << "      - record: panel:" << i << "\n        expr: " << nlohmann::json(all[i]).dump() << '\n';
    }
    file.close();
    return support::run_to_end({support::promtool(), "check", "rules", folder / "rules.yml"});
}

TEST(GrafanaDashboard, HasItsRowsAndVariables) {
    const nlohmann::json& board = dashboard();
    EXPECT_GE(board.at("schemaVersion"), 36) << "of Grafana 9";
    EXPECT_TRUE(board.at("id").is_null()) << "Grafana gives it one";
    std::set<std::string> rows;
    for (const auto& panel : board.at("panels")) {
        if (panel.at("type") == "row") rows.insert(panel.at("title"));
    }
    EXPECT_THAT(rows, IsSupersetOf({"Fleet", "Probes", "Aggregators", "Bridges and Consul"}));
    std::set<std::string> variables;
    for (const auto& variable : board.at("templating").at("list")) variables.insert(variable.at("name"));
    EXPECT_THAT(variables, IsSupersetOf({"datasource", "installation", "job", "instance"}));
}

TEST(GrafanaDashboard, PanelsSayWhatTheyShow) {
    std::set<int> ids;
    for (const auto& panel : dashboard().at("panels"))
        EXPECT_TRUE(ids.insert(panel.at("id").get<int>()).second) << panel.at("title");
    EXPECT_THAT(panels(), Not(IsEmpty()));
    for (const auto& panel : panels()) {
        SCOPED_TRACE(panel.at("title"));
        EXPECT_THAT(panel.at("title").get<std::string>(), Not(IsEmpty()));
        EXPECT_THAT(panel.at("description").get<std::string>(), Not(IsEmpty()));
        EXPECT_THAT(panel.at("fieldConfig").at("defaults").at("unit").get<std::string>(), Not(IsEmpty()));
        EXPECT_EQ(panel.at("datasource").at("uid"), "${datasource}");
        EXPECT_THAT(panel.at("targets"), Not(IsEmpty()));
        for (const auto& target : panel.at("targets"))
            EXPECT_EQ(target.at("datasource").at("uid"), "${datasource}");
    }
}

/// The corners of a panel on Grafana's grid.
struct Place {
    int left, top, right, bottom;
};

TEST(GrafanaDashboard, PanelsDoNotOverlap) {
    std::vector<Place> places;
    for (const auto& panel : dashboard().at("panels")) {
        const auto& at = panel.at("gridPos");
        const int x = at.at("x");
        const int y = at.at("y");
        const Place place{x, y, x + at.at("w").get<int>(), y + at.at("h").get<int>()};
        EXPECT_LE(place.right, 24) << panel.at("title");
        for (const Place& other : places) {
            EXPECT_FALSE(place.left < other.right && other.left < place.right && place.top < other.bottom &&
                         other.top < place.bottom)
                << panel.at("title");
        }
        places.push_back(place);
    }
}

TEST(GrafanaDashboard, ExpressionsAreTakenByPromtool) {
    std::vector<std::string> filled;
    for (const std::string& expression : expressions()) filled.push_back(with_variables_filled(expression));
    for (const std::string& expression : filled) EXPECT_THAT(expression, Not(HasSubstr("$")));
    const auto checked = check_expressions(filled);
    EXPECT_EQ(checked.exit_code, 0) << checked.out << checked.err;
    EXPECT_THAT(checked.out, HasSubstr(std::to_string(filled.size()) + " rules found"));
    filled.emplace_back("sum by (state (pgpulse_aggregator_targets)");
    EXPECT_NE(check_expressions(filled).exit_code, 0) << "what does not parse must be found";
}

TEST(GrafanaDashboard, NamesMetricsThatThereAreAndFiltersEach) {
    EXPECT_THAT(expressions(), Not(IsEmpty()));
    for (const std::string& expression : expressions()) {
        EXPECT_THAT(support::unknown_names(expression), IsEmpty()) << expression;
        EXPECT_THAT(expression, HasSubstr("installation=~\"$installation\"")) << expression;
    }
}

TEST(GrafanaDashboard, ShowsEveryMetric) {
    std::string all;
    for (const std::string& expression : expressions()) all += expression + '\n';
    for (const char* program : {"pgpulse-probe", "pgpulse-aggregator", "pgpulse-consul-bridge"}) {
        for (const auto& [name, shape] : support::documented_metrics(program))
            EXPECT_THAT(all, HasSubstr(name));
    }
}

}  // namespace
}  // namespace pgpulse
