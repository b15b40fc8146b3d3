#include "common/contract/wall_time.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pgpulse::contract {
namespace {

using namespace std::chrono_literals;

WallTime at(std::chrono::sys_days day, std::chrono::microseconds time_of_day) { return day + time_of_day; }

TEST(WallTime, IsWrittenWithMicrosecondsInUtc) {
    using namespace std::chrono;
    EXPECT_EQ(to_rfc3339(WallTime{}), "1970-01-01T00:00:00.000000Z");
    EXPECT_EQ(to_rfc3339(at(2026y / 1 / 2, 3h + 4min + 5s + 6us)), "2026-01-02T03:04:05.000006Z");
    EXPECT_EQ(to_rfc3339(at(2024y / 2 / 29, 23h + 59min + 59s + 999999us)), "2024-02-29T23:59:59.999999Z");
    EXPECT_EQ(to_rfc3339(WallTime{-1us}), "1969-12-31T23:59:59.999999Z");
    EXPECT_EQ(to_rfc3339(at(1y / 1 / 1, 0us)), "0001-01-01T00:00:00.000000Z");
    EXPECT_EQ(to_rfc3339(at(9999y / 12 / 31, 0us)), "9999-12-31T00:00:00.000000Z");
}

TEST(WallTime, RoundTrips) {
    // Steps of about 37 years less a few odd microseconds, over all years that can be written.
    using namespace std::chrono;
    for (WallTime time = at(1y / 1 / 1, 1us); time < at(9999y / 1 / 1, 0us);
         time += 1'166'666'666'666'667us) {
        EXPECT_EQ(parse_rfc3339(to_rfc3339(time)), time) << to_rfc3339(time);
    }
}

TEST(WallTime, IsReadWithNoneToNineDigitsOfAFraction) {
    using namespace std::chrono;
    const WallTime second = at(2026y / 1 / 2, 3h + 4min + 5s);
    EXPECT_EQ(parse_rfc3339("2026-01-02T03:04:05Z"), second);
    EXPECT_EQ(parse_rfc3339("2026-01-02T03:04:05.1Z"), second + 100ms);
    EXPECT_EQ(parse_rfc3339("2026-01-02T03:04:05.123Z"), second + 123ms);
    EXPECT_EQ(parse_rfc3339("2026-01-02T03:04:05.000006Z"), second + 6us);
    EXPECT_EQ(parse_rfc3339("2026-01-02T03:04:05.000006999Z"), second + 6us);
}

TEST(WallTime, RefusesEverythingElse) {
    for (const std::string text :
         {"", "now", "2026-01-02", "2026-01-02T03:04Z", "2026-01-02T03:04:05", "2026-01-02 03:04:05Z",
          "2026-01-02t03:04:05z", "2026-01-02T03:04:05z", "2026-01-02T03:04:05+00:00",
          "2026-01-02T03:04:05.Z", "2026-01-02T03:04:05.0123456789Z", "2026-01-02T03:04:05,5Z",
          "2026-1-2T03:04:05Z", "26-01-02T03:04:05Z", "2026-01-02T03:04:05Z ", " 2026-01-02T03:04:05Z",
          "2026-01-02T03:04:05ZZ", "-026-01-02T03:04:05Z"}) {
        EXPECT_FALSE(parse_rfc3339(text)) << text;
    }
}

TEST(WallTime, RefusesDaysAndHoursThatDoNotExist) {
    for (const std::string text :
         {"2026-00-02T03:04:05Z", "2026-13-02T03:04:05Z", "2026-01-00T03:04:05Z", "2026-01-32T03:04:05Z",
          "2026-02-29T03:04:05Z", "2100-02-29T03:04:05Z", "2026-04-31T03:04:05Z", "2026-01-02T24:00:00Z",
          "2026-01-02T03:60:05Z", "2026-01-02T03:04:60Z"}) {
        EXPECT_FALSE(parse_rfc3339(text)) << text;
    }
    EXPECT_TRUE(parse_rfc3339("2024-02-29T03:04:05Z"));
    EXPECT_TRUE(parse_rfc3339("2000-02-29T03:04:05Z"));
}

}  // namespace
}  // namespace pgpulse::contract
