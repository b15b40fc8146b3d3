#include "ctl/timeline.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

namespace pgpulse::ctl {
namespace {

using namespace std::chrono_literals;
using contract::Health;
using testing::HasSubstr;
using testing::Not;

const contract::WallTime kBegin{1'767'225'600s};

TimelineEntry entry(std::chrono::seconds at, Health health) {
    contract::State state;
    state.state = health;
    state.decided_by = "a1";
    state.changed.set(static_cast<std::size_t>(contract::Change::state));
    return {kBegin + at, state};
}

TEST(TimeInStates, CountsWhatItWasObserved) {
    const std::vector<TimelineEntry> entries{entry(100s, Health::up),   entry(160s, Health::down),
                                             entry(170s, Health::up),   entry(200s, Health::unknown),
                                             entry(210s, Health::down), {kBegin + 250s, {}},
                                             entry(1000s, Health::up)};
    const auto times = time_in_states(entries, kBegin, kBegin + 1100s);
    EXPECT_EQ(times.up, 190s);
    EXPECT_EQ(times.down, 50s);
    EXPECT_EQ(times.unknown, 10s);
    EXPECT_EQ(times.outages, 2U);
    EXPECT_EQ(times.longest_outage, 40s);
    EXPECT_EQ(in_words(times),
              "up 76.000 % of the 4m 10s that it was observed, unknown for 10s; 2 outages, the longest 40s");
}

TEST(TimeInStates, TakesWhatWasSoWhenTheTimeBegan) {
    const std::vector<TimelineEntry> entries{entry(0s, Health::up), entry(50s, Health::down),
                                             entry(120s, Health::up)};
    const auto times = time_in_states(entries, kBegin + 100s, kBegin + 200s);
    EXPECT_EQ(times.up, 80s);
    EXPECT_EQ(times.down, 20s);
    EXPECT_EQ(times.outages, 1U);
    EXPECT_EQ(times.longest_outage, 20s);
}

TEST(TimeInStates, IsNoHundredPerCentWhereItWasDownForAMoment) {
    const std::vector<TimelineEntry> entries{entry(0s, Health::up), entry(10'000'000s, Health::down),
                                             entry(10'000'001s, Health::up)};
    EXPECT_THAT(in_words(time_in_states(entries, kBegin, kBegin + 20'000'000s)), HasSubstr("up 99.999 %"));
    EXPECT_THAT(in_words(time_in_states({entry(0s, Health::up)}, kBegin, kBegin + 5s)),
                HasSubstr("up 100.000 % of the 5s that it was observed; no outage"));
    EXPECT_EQ(in_words(time_in_states({}, kBegin, kBegin + 5s)), "not observed in this time");
}

TEST(TimeInStates, AnOutageThatChangesItsWordsIsOne) {
    const std::vector<TimelineEntry> entries{entry(0s, Health::up), entry(10s, Health::down),
                                             entry(20s, Health::down), entry(30s, Health::up)};
    const auto times = time_in_states(entries, kBegin, kBegin + 40s);
    EXPECT_EQ(times.outages, 1U);
    EXPECT_EQ(times.longest_outage, 20s);
}

TEST(LengthInWords, HasTheTwoLargestUnits) {
    EXPECT_EQ(length_in_words(850ms), "850ms");
    EXPECT_EQ(length_in_words(59s), "59s");
    EXPECT_EQ(length_in_words(250s), "4m 10s");
    EXPECT_EQ(length_in_words(4h), "4h");
    EXPECT_EQ(length_in_words(12 * 24h + 3h + 59min), "12d 3h");
    EXPECT_EQ(length_in_words(2 * 24h + 59min), "2d");
}

TEST(TimelineTable, HasALineForEach) {
    const std::vector<TimelineEntry> entries{
        entry(0s, Health::up), entry(60s, Health::down), {kBegin + 70s, {}}};
    EXPECT_EQ(timeline_table(entries, kBegin + 10s, kBegin + 80s, false),
              "TIME                         STATE    FOR  REASON  CHANGED  OBSERVERS  DECIDED BY\n"
              "2026-01-01T00:01:00.000000Z  down     10s  ok      state    0/0        a1\n"
              "2026-01-01T00:01:10.000000Z  deleted  -    -       -        -          -\n");
    EXPECT_THAT(timeline_table(entries, kBegin, kBegin + 80s, false), Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace pgpulse::ctl
