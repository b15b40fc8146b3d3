#include "probe/opinion.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

// The rules of probe/opinion.hpp, one case or more each.
namespace pgpulse::probe {
namespace {

using contract::Opinion;
using contract::Verdict;

/// One result: a letter for the verdict (A accepting, R rejecting, N no_response, I inconclusive, C
/// not_attempted) and when its ping started.
struct Result {
    char verdict;
    int started_ms;
};

Verdict verdict_of(char letter) {
    switch (letter) {
        case 'A':
            return Verdict::accepting;
        case 'R':
            return Verdict::rejecting;
        case 'N':
            return Verdict::no_response;
        case 'C':
            return Verdict::not_attempted;
        default:
            return Verdict::inconclusive;
    }
}

struct Case {
    std::string rule;
    OpinionTracker::Limits limits;
    std::vector<Result> results;
    Opinion opinion;
    std::uint32_t streak;
    bool settled;
};

/// Results whose pings started one after the other.
std::vector<Result> in_order(const std::string& letters) {
    std::vector<Result> results;
    for (const char letter : letters) results.push_back({letter, static_cast<int>(results.size()) * 100});
    return results;
}

class OpinionRule : public testing::TestWithParam<Case> {};

TEST_P(OpinionRule, Holds) {
    const Case& c = GetParam();
    OpinionTracker tracker;
    for (const Result& result : c.results) {
        tracker.feed(verdict_of(result.verdict), Mono{std::chrono::milliseconds{result.started_ms}},
                     c.limits);
    }
    EXPECT_EQ(tracker.opinion(), c.opinion);
    EXPECT_EQ(tracker.streak(), c.streak);
    EXPECT_EQ(tracker.settled(), c.settled);
}

constexpr OpinionTracker::Limits kUsual{2, 3};

INSTANTIATE_TEST_SUITE_P(
    Table, OpinionRule,
    testing::Values(
        Case{"undecided_at_first", kUsual, {}, Opinion::undecided, 0, false},
        Case{"undecided_at_first_below_rise", kUsual, in_order("A"), Opinion::undecided, 1, false},
        Case{"undecided_at_first_below_fall", kUsual, in_order("NN"), Opinion::undecided, 2, false},
        Case{"up_after_rise", kUsual, in_order("AA"), Opinion::up, 2, true},
        Case{"up_after_rise_of_one", {1, 1}, in_order("A"), Opinion::up, 1, true},
        Case{"up_after_rise_in_a_row_only", kUsual, in_order("ANA"), Opinion::undecided, 1, false},
        Case{"down_after_fall", kUsual, in_order("AANNN"), Opinion::down, 3, true},
        Case{"down_after_fall_from_undecided", kUsual, in_order("NNN"), Opinion::down, 3, true},
        Case{"down_after_fall_of_one", {2, 1}, in_order("AAN"), Opinion::down, 1, true},
        Case{"down_after_fall_in_a_row_only", kUsual, in_order("AANNANN"), Opinion::up, 2, false},
        Case{"success_ends_a_row_of_failures", kUsual, in_order("AANNA"), Opinion::up, 1, true},
        Case{"failure_rejecting_counts", kUsual, in_order("AARRR"), Opinion::down, 3, true},
        Case{"failure_rejecting_and_no_response_are_one_row", kUsual, in_order("AANRN"), Opinion::down, 3,
             true},
        Case{"no_evidence_inconclusive", kUsual, in_order("AANNI"), Opinion::up, 2, false},
        Case{"no_evidence_does_not_break_a_row", kUsual, in_order("AANIINICN"), Opinion::down, 3, true},
        Case{"no_evidence_decides_nothing", kUsual, in_order("IIIICCCC"), Opinion::undecided, 0, false},
        Case{"unsettled_by_a_contradiction_of_up", kUsual, in_order("AAN"), Opinion::up, 1, false},
        Case{"unsettled_by_a_contradiction_of_down", kUsual, in_order("NNNA"), Opinion::down, 1, false},
        Case{"up_again_after_rise", kUsual, in_order("NNNAA"), Opinion::up, 2, true},
        Case{"superseded", kUsual, {{'A', 0}, {'A', 500}, {'N', 100}}, Opinion::up, 2, true},
        Case{"superseded_never_falls",
             kUsual,
             {{'A', 0}, {'A', 500}, {'N', 100}, {'N', 200}, {'N', 300}, {'R', 400}},
             Opinion::up,
             2,
             true},
        Case{"superseded_is_by_start_not_by_end",
             kUsual,
             {{'A', 0}, {'A', 100}, {'N', 101}},
             Opinion::up,
             1,
             false},
        Case{"superseded_by_the_newest_success_alone",
             kUsual,
             {{'A', 500}, {'A', 100}, {'N', 300}},
             Opinion::up,
             2,
             true},
        Case{"success_of_an_old_ping_counts",
             kUsual,
             {{'N', 500}, {'A', 0}, {'A', 100}},
             Opinion::up,
             2,
             true}),
    [](const testing::TestParamInfo<Case>& info) { return info.param.rule; });

}  // namespace
}  // namespace pgpulse::probe
