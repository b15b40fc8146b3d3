#include "aggregator/rules.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace pgpulse::aggregator {
namespace {

using contract::Opinion;
using contract::Reason;

constexpr Vote kUp{Opinion::up, Reason::ok, false};
constexpr Vote kHardDown{Opinion::down, Reason::refused, false};
constexpr Vote kSoftDown{Opinion::down, Reason::timeout, false};
constexpr Vote kUndecided{Opinion::undecided, Reason::ok, false};
constexpr Vote kSuspectDown{Opinion::down, Reason::timeout, true};

struct Case {
    std::string what;
    std::vector<Vote> votes;
    std::string rule;
    std::uint32_t unheard = 0;
    bool young = false;
    std::optional<std::uint32_t> quorum{};
};

const std::vector<Case>& cases() {
    static const std::vector<Case> all{
        {"nobody is heard", {}, "nobody_heard"},
        {"one voter, up", {kUp}, "quorum_up"},
        {"one voter, down by hard evidence", {kHardDown}, "quorum_down"},
        {"one voter alone may be believed about silence", {kSoftDown}, "quorum_down"},
        {"two of three up", {kUp, kUp, kHardDown}, "quorum_up"},
        {"two of three down", {kSoftDown, kHardDown, kUp}, "quorum_down"},
        {"two soft voices suffice", {kSoftDown, kSoftDown, kUp}, "quorum_down"},
        {"one of two is no majority", {kHardDown, kUp}, "no_quorum"},
        {"an undecided voter counts among the voters", {kUp, kUndecided}, "no_quorum"},
        {"a suspect voter has no voice", {kSuspectDown, kSuspectDown}, "no_quorum"},
        {"a suspect voter counts among the voters", {kSuspectDown, kHardDown}, "no_quorum"},
        {"nobody has made up their mind", {kUndecided}, "no_quorum"},
        {"those not heard yet count", {kHardDown}, "no_quorum", 2},
        {"nobody heard yet is not nobody heard", {}, "no_quorum", 1},
        {"a majority in spite of one not heard yet", {kHardDown, kHardDown}, "quorum_down", 1},
        {"a first down waits for others", {kHardDown}, "young_down", 0, true},
        {"a first down needs no wait where one more voter could not change it",
         {kHardDown, kHardDown},
         "quorum_down",
         0,
         true},
        {"a first up waits for nobody", {kUp}, "quorum_up", 0, true},
        {"quorum 1: hard evidence of one voter is enough",
         {kHardDown, kUndecided, kUndecided},
         "quorum_down",
         0,
         false,
         1},
        {"quorum 1: one soft voice among several is not",
         {kSoftDown, kUndecided, kUndecided},
         "lone_soft_voice",
         0,
         false,
         1},
        {"quorum 1: two soft voices are", {kSoftDown, kSoftDown, kUndecided}, "quorum_down", 0, false, 1},
        {"quorum 3 is not reached by two", {kSoftDown, kSoftDown, kUp}, "no_quorum", 0, false, 3},
        {"a quorum is never more than there are voters", {kHardDown, kHardDown}, "quorum_down", 0, false, 3},
        {"up stands before down where both reach a quorum", {kHardDown, kUp}, "quorum_up", 0, false, 1},
    };
    return all;
}

TEST(AggregatorRules, TableDecides) {
    for (const Case& c : cases()) {
        const Ballot ballot{c.votes, c.unheard, c.young, c.quorum};
        EXPECT_EQ(decide(ballot).name, c.rule) << c.what;
    }
}

TEST(AggregatorRules, EveryRuleIsReached) {
    std::set<std::string_view> reached;
    for (const Case& c : cases()) reached.insert(decide({c.votes, c.unheard, c.young, c.quorum}).name);
    for (const Rule& rule : rules()) EXPECT_TRUE(reached.contains(rule.name)) << rule.name;
}

TEST(AggregatorRules, RulingOfEachRule) {
    for (const Rule& rule : rules()) {
        const std::string name{rule.name};
        const Ruling expected = name == "nobody_heard"  ? Ruling::unknown
                                : name == "quorum_up"   ? Ruling::up
                                : name == "quorum_down" ? Ruling::down
                                                        : Ruling::keep;
        EXPECT_EQ(rule.ruling, expected) << name;
        EXPECT_FALSE(rule.because.empty()) << name;
    }
}

}  // namespace
}  // namespace pgpulse::aggregator
