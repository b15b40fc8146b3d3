#include "common/runtime/logging.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <string>

namespace pgpulse::runtime {
namespace {

using namespace std::chrono_literals;

TEST(LineLimit, LetsOneLineThroughAnInterval) {
    LineLimit limit{1000ms};
    const std::chrono::steady_clock::time_point start{};
    EXPECT_EQ(limit.allow(start), 0U);
    EXPECT_EQ(limit.allow(start + 1ms), std::nullopt);
    EXPECT_EQ(limit.allow(start + 999ms), std::nullopt);
    EXPECT_EQ(limit.allow(start + 1000ms), 2U);
    EXPECT_EQ(limit.allow(start + 1001ms), std::nullopt);
    EXPECT_EQ(limit.allow(start + 10s), 1U);
    EXPECT_EQ(limit.allow(start + 20s), 0U);
}

TEST(LineLimit, CountsFromTheLastLineLetThrough) {
    LineLimit limit{1000ms};
    const std::chrono::steady_clock::time_point start{};
    EXPECT_TRUE(limit.allow(start + 500ms));
    EXPECT_FALSE(limit.allow(start + 1400ms));
    EXPECT_TRUE(limit.allow(start + 1500ms));
}

/// What the log writes to standard error while `say` runs.
std::string logged(std::string_view level, std::string_view format, void (*say)()) {
    testing::internal::CaptureStderr();
    set_up_logging("pgpulse-test", level, format);
    say();
    spdlog::default_logger()->flush();
    return testing::internal::GetCapturedStderr();
}

TEST(Logging, InJsonIsOneObjectALineWhateverIsLogged) {
    const std::string text =
        logged("info", "json", [] { spdlog::warn("a \"quoted\" \\ back\nslash\tand \x01 and ü"); });
    ASSERT_EQ(std::ranges::count(text, '\n'), 1) << text;
    const auto line = nlohmann::json::parse(text);
    EXPECT_EQ(line.at("message"), "a \"quoted\" \\ back\nslash\tand \x01 and ü");
    EXPECT_EQ(line.at("level"), "warning");
    EXPECT_EQ(line.at("program"), "pgpulse-test");
    EXPECT_EQ(line.at("time").get<std::string>().size(), 27U);
}

TEST(Logging, InTextNamesTimeLevelAndProgram) {
    const std::string text = logged("info", "text", [] { spdlog::info("hello"); });
    EXPECT_THAT(text, testing::MatchesRegex("[0-9]+-[0-9]+-[0-9]+T[0-9]+:[0-9]+:[0-9]+\\.[0-9]+Z "
                                            "info pgpulse-test: hello\n"));
}

TEST(Logging, KeepsToItsLevel) {
    EXPECT_EQ(logged("error", "text", [] { spdlog::warn("quiet"); }), "");
    EXPECT_NE(logged("trace", "text", [] { spdlog::trace("loud"); }), "");
}

}  // namespace
}  // namespace pgpulse::runtime
