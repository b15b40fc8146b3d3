#include "ctl/options.hpp"

#include <gtest/gtest.h>

namespace pgpulse::ctl {
namespace {

using namespace std::chrono_literals;

TEST(TimeSpan, IsNumbersWithTheirUnits) {
    EXPECT_EQ(parse_time_span("90s"), 90s);
    EXPECT_EQ(parse_time_span("30m"), 30min);
    EXPECT_EQ(parse_time_span("1h30m"), 90min);
    EXPECT_EQ(parse_time_span("2d"), 48h);
    EXPECT_EQ(parse_time_span("366d"), 366 * 24h);
}

TEST(TimeSpan, IsNothingElse) {
    for (const char* text : {"", "1", "h", "1x", "-1h", "1h ", " 1h", "0s", "367d", "1.5h",
                             "99999999999999999999s", "1h30", "366d1s"})
        EXPECT_EQ(parse_time_span(text), std::nullopt) << text;
}

}  // namespace
}  // namespace pgpulse::ctl
