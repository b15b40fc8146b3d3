#include "ctl/live_table.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <sstream>
#include <string>
#include <vector>

namespace pgpulse::ctl {
namespace {

using contract::Health;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

contract::State state(const std::string& target, Health health, int since = 0) {
    contract::State state;
    state.target = target;
    state.state = health;
    state.since = contract::WallTime{std::chrono::seconds{1'700'000'000 + since}};
    return state;
}

std::vector<std::string> lines_of(const std::string& frame) {
    std::vector<std::string> lines;
    std::istringstream text{frame};
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    return lines;
}

/// The targets that a screen shows, from the top.
std::vector<std::string> shown(LiveTable& table, ScreenSize size = {}) {
    std::vector<std::string> names;
    const auto lines = lines_of(table.frame(size, "", false));
    for (std::size_t i = 3; i < lines.size(); ++i) names.push_back(lines[i].substr(0, lines[i].find(' ')));
    return names;
}

LiveTable five() {
    LiveTable table;
    for (const auto& one :
         {state("a", Health::up, 1), state("b", Health::down, 1), state("c", Health::unknown),
          state("d", Health::down, 2), state("e", Health::up, 3)})
        table.take(one);
    table.loaded();
    return table;
}

TEST(LiveTable, ShowsTroubleFirstAndThenWhatChangedLast) {
    LiveTable table = five();
    EXPECT_THAT(shown(table), ElementsAre("d", "b", "c", "e", "a"));
    table.take(state("a", Health::down, 9));
    table.remove("d");
    EXPECT_THAT(shown(table), ElementsAre("a", "b", "c", "e"));
    EXPECT_THAT(table.frame({}, "", false),
                StartsWith("pgpulse  4 targets, 2 down, 1 unknown, 1 up  (q ends)\n\nTARGET "));
    EXPECT_THAT(table.frame({}, "NATS is away", false), HasSubstr("1 up  NATS is away\n"));
}

TEST(LiveTable, FitsTheScreenAndScrolls) {
    LiveTable table = five();
    const ScreenSize small{5, 20};
    for (const std::string& line : lines_of(table.frame(small, "", false)))
        EXPECT_LE(line.size(), 20U) << line;
    EXPECT_EQ(lines_of(table.frame(small, "", false)).size(), 5U);
    EXPECT_THAT(shown(table, small), ElementsAre("d", "b"));
    table.scroll(1);
    EXPECT_THAT(shown(table, small), ElementsAre("b", "c"));
    table.scroll(100);
    EXPECT_THAT(shown(table, small), ElementsAre("e", "a"));
    table.scroll(-1);
    EXPECT_THAT(shown(table, small), ElementsAre("c", "e"));
    table.scroll(-100);
    EXPECT_THAT(shown(table, small), ElementsAre("d", "b"));
    table.scroll(2);
    table.scroll_to_top();
    EXPECT_THAT(shown(table, small), ElementsAre("d", "b"));
    EXPECT_EQ(lines_of(table.frame({2, 20}, "", false)).size(), 3U) << "two lines have no room for a target";
}

TEST(LiveTable, WhatIsNotToldAnewIsGone) {
    LiveTable table = five();
    table.reset();
    table.take(state("b", Health::up));
    EXPECT_EQ(shown(table).size(), 5U) << "until all was told";
    table.loaded();
    EXPECT_THAT(shown(table), ElementsAre("b"));
}

TEST(LiveTable, ColoursTakeNoRoom) {
    LiveTable table = five();
    const std::string plain = table.frame({}, "", false);
    std::string coloured = table.frame({}, "", true);
    EXPECT_THAT(coloured, HasSubstr("\x1b[31mdown\x1b[0m"));
    for (const char* escape : {"\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"}) {
        for (auto at = coloured.find(escape); at != std::string::npos; at = coloured.find(escape))
            coloured.erase(at, std::string{escape}.size());
    }
    EXPECT_EQ(coloured, plain);
}

}  // namespace
}  // namespace pgpulse::ctl
