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
/// not_attempted) and when its ping started. n is a no_response that may not decide. Or what is no result:
/// v voids the failures, q questions the opinion, d settles it down.
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
        case 'n':
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
        switch (result.verdict) {
            case 'v':
                tracker.void_failures();
                break;
            case 'q':
                tracker.question();
                break;
            case 'd':
                tracker.settle_down();
                break;
            default:
                tracker.feed(verdict_of(result.verdict), Mono{std::chrono::milliseconds{result.started_ms}},
                             c.limits, result.verdict != 'n');
        }
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
             true},
        Case{"held_back", kUsual, in_order("AAnnnn"), Opinion::up, 4, false},
        Case{"held_back_from_undecided", kUsual, in_order("nnn"), Opinion::undecided, 3, false},
        Case{"held_back_until_the_next_that_may", kUsual, in_order("AAnnN"), Opinion::down, 3, true},
        Case{"held_back_decides_not_before_fall", kUsual, in_order("AAnN"), Opinion::up, 2, false},
        Case{"held_back_is_ended_by_a_success", kUsual, in_order("AAnnnAN"), Opinion::up, 1, false},
        Case{"held_back_leaves_down", kUsual, in_order("NNNnn"), Opinion::down, 5, true},
        Case{"held_back_is_no_success", kUsual, in_order("AAnnnA"), Opinion::up, 1, true},
        Case{"held_back_and_superseded", kUsual, {{'A', 0}, {'A', 500}, {'n', 100}}, Opinion::up, 2, true},
        Case{"voided", kUsual, in_order("AANNv"), Opinion::up, 0, false},
        Case{"voided_row_begins_anew", kUsual, in_order("AANNvNN"), Opinion::up, 2, false},
        Case{"voided_row_falls_after_fall", kUsual, in_order("AANNvNNN"), Opinion::down, 3, true},
        Case{"voided_from_undecided", kUsual, in_order("NNvN"), Opinion::undecided, 1, false},
        Case{"voided_leaves_successes", kUsual, in_order("AAv"), Opinion::up, 2, true},
        Case{"voided_leaves_successes_below_rise", kUsual, in_order("AvA"), Opinion::up, 2, true},
        Case{"voided_leaves_down", kUsual, in_order("NNNNv"), Opinion::down, 4, true},
        Case{"voided_leaves_what_is_superseded",
             kUsual,
             {{'A', 0}, {'A', 500}, {'N', 600}, {'v', 0}, {'N', 400}},
             Opinion::up,
             0,
             false},
        Case{"voided_then_a_success", kUsual, in_order("AANvA"), Opinion::up, 1, true},
        Case{"questioned", kUsual, in_order("AAq"), Opinion::up, 2, false},
        Case{"questioned_down", kUsual, in_order("NNNq"), Opinion::down, 3, false},
        Case{"questioned_until_a_success", kUsual, in_order("AAqA"), Opinion::up, 3, true},
        Case{"questioned_until_a_failure", kUsual, in_order("NNNqN"), Opinion::down, 4, true},
        Case{"questioned_not_answered_by_no_evidence", kUsual, in_order("AAqIC"), Opinion::up, 2, false},
        Case{"questioned_not_answered_by_what_is_superseded",
             kUsual,
             {{'A', 0}, {'A', 500}, {'q', 0}, {'N', 100}},
             Opinion::up,
             2,
             false},
        Case{"settled_down", kUsual, in_order("AANd"), Opinion::down, 1, true},
        Case{"settled_down_from_undecided", kUsual, in_order("Nd"), Opinion::down, 1, true},
        Case{"settled_down_and_up_again_after_rise", kUsual, in_order("AANdA"), Opinion::down, 1, false},
        Case{"settled_down_after_a_question", kUsual, in_order("AAqNd"), Opinion::down, 1, true},
        Case{"settled_down_is_not_voided", kUsual, in_order("AANdv"), Opinion::down, 1, true}),
    [](const testing::TestParamInfo<Case>& info) { return info.param.rule; });

}  // namespace
}  // namespace pgpulse::probe
