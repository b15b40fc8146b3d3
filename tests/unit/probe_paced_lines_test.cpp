#include "probe/paced_lines.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <vector>

namespace pgpulse::probe {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

class PacedLinesTest : public testing::Test {
  protected:
    PacedLines lines;
    Mono now{1000s};

    void add(int count) {
        for (int i = 0; i < count; ++i) lines.add(PacedLines::Level::warning, std::to_string(i));
    }
    std::vector<std::string> said() {
        std::vector<std::string> texts;
        while (const auto line = lines.next(now)) texts.push_back(line->text);
        return texts;
    }
};

TEST_F(PacedLinesTest, AFewAreSaidAtOnceAndInOrder) {
    lines.add(PacedLines::Level::error, "first");
    lines.add(PacedLines::Level::info, "second");
    EXPECT_EQ(lines.next(now)->level, PacedLines::Level::error);
    EXPECT_EQ(lines.next(now)->text, "second");
    EXPECT_FALSE(lines.next(now));
}

TEST_F(PacedLinesTest, ManyAreSaidOneAfterTheOtherAndNoneIsLost) {
    add(100);
    const std::size_t at_once = said().size();
    EXPECT_LE(at_once, static_cast<std::size_t>(PacedLines::kAtOnce) + 1);
    now += PacedLines::kPace;
    EXPECT_EQ(said().size(), 1U);
    now += 1h;
    EXPECT_LE(said().size(), static_cast<std::size_t>(PacedLines::kAtOnce) + 1)
        << "silence saves up no more than that";
    std::size_t rest = 0;
    for (int i = 0; i < 200; ++i, now += PacedLines::kPace) rest += said().size();
    EXPECT_EQ(at_once + 1 + at_once + rest, 100U);
}

TEST_F(PacedLinesTest, WhatIsOverTheBoundIsCounted) {
    add(static_cast<int>(PacedLines::kMostWaiting) + 5);
    std::vector<std::string> all;
    for (int i = 0; i < 2000; ++i, now += PacedLines::kPace)
        for (const std::string& text : said()) all.push_back(text);
    EXPECT_EQ(all.size(), PacedLines::kMostWaiting);
    EXPECT_EQ(all.back(), "999 (5 lines like this left out)");
    add(1);
    EXPECT_THAT(said(), ElementsAre("0"));
}

}  // namespace
}  // namespace pgpulse::probe
