#include "tests/support/aggregator_stage.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/process.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <gmock/gmock.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

// A target's transitions as an operator reads them, written by a real aggregator and copied into the history by it.
namespace pgpulse {
namespace {

using support::wait_until;
using testing::HasSubstr;

support::CommandResult history(const std::string& url, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {support::built_program("pgpulse"), "--nats", url, "history"});
    return support::run_to_end(arguments);
}

std::size_t lines_of(const std::string& text) {
    return static_cast<std::size_t>(std::ranges::count(text, '\n'));
}

TEST(CtlHistory, TellsEachTransitionAndTheTimeInBetween) {
    support::OneServerStage stage{2};
    ASSERT_TRUE(stage.start({"aggregator-1"})) << stage.logs();
    stage.flip_all();
    ASSERT_TRUE(stage.all_shown_soon()) << stage.logs();
    stage.flip("db1");
    ASSERT_TRUE(stage.all_shown_soon()) << stage.logs();
    const std::string url = stage.nats.url();
    // Who copies does so a moment later.
    ASSERT_TRUE(wait_until([&] { return lines_of(history(url, {"db1", "--json"}).out) == 2; }))
        << stage.logs();
    const auto told = history(url, {"db1"});
    EXPECT_EQ(told.exit_code, 0) << told.err;
    EXPECT_EQ(lines_of(told.out), 4U) << told.out;
    EXPECT_THAT(told.out, HasSubstr("  up "));
    EXPECT_THAT(told.out, HasSubstr("  down "));
    EXPECT_THAT(told.out, HasSubstr(" % of the "));
    EXPECT_THAT(told.out, HasSubstr("1 outage, the longest "));
    std::istringstream lines{history(url, {"db1", "--json"}).out};
    std::string line;
    std::getline(lines, line);
    EXPECT_EQ(nlohmann::json::parse(line).at("state").at("transition"), 1);
    std::getline(lines, line);
    EXPECT_EQ(nlohmann::json::parse(line).at("state").at("state"), "down");

    EXPECT_EQ(history(url, {"db1", "--json", "--since", "2100-01-01T00:00:00Z"}).out, "");
    const auto unknown = history(url, {"db9"});
    EXPECT_EQ(unknown.exit_code, 1);
    EXPECT_EQ(unknown.err, "pgpulse: 'db9' has no history\n");
}

}  // namespace
}  // namespace pgpulse
