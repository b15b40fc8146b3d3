#include "aggregator/rules.hpp"
#include "tests/support/folders.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
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

/// Of `observers` assigned; the votes' count where it is 0.
struct Case {
    std::string what;
    std::vector<Vote> votes;
    std::string rule;
    std::uint32_t unheard = 0;
    std::uint32_t observers = 0;
    std::optional<std::uint32_t> quorum{};
    bool anyone_heard = false;
    bool young = false;
};

Ballot ballot_of(const Case& c) {
    Ballot ballot;
    ballot.votes = c.votes;
    ballot.unheard = c.unheard;
    ballot.assigned = c.observers > 0 ? c.observers : static_cast<std::uint32_t>(c.votes.size()) + c.unheard;
    ballot.anyone_heard = c.anyone_heard || !c.votes.empty();
    ballot.young = c.young;
    ballot.quorum = c.quorum;
    return ballot;
}

const std::vector<Case>& cases() {
    static const std::vector<Case> all{
        {"nobody is heard", {}, "nobody_heard", 0, 3},
        {"no observer is assigned", {}, "nobody_heard"},
        {"nobody is heard, by one who has just begun to listen", {}, "too_young", 0, 3, {}, false, true},
        {"those who observed before were heard lately", {}, "former_voters", 0, 0, {}, true},
        {"all doubt themselves for long", {}, "former_voters", 0, 3, {}, true},
        {"one voter, up", {kUp}, "quorum_up"},
        {"one voter, down by hard evidence", {kHardDown}, "quorum_down"},
        {"the only observer may be believed about silence", {kSoftDown}, "quorum_down"},
        {"the only voter of two observers may not", {kSoftDown}, "lone_soft_voice", 0, 2},
        {"and is by hard evidence", {kHardDown}, "quorum_down", 0, 2},
        {"two of three up", {kUp, kUp, kHardDown}, "quorum_up"},
        {"two of three down", {kSoftDown, kHardDown, kUp}, "quorum_down"},
        {"two soft voices suffice", {kSoftDown, kSoftDown, kUp}, "quorum_down"},
        {"one of two is no majority", {kHardDown, kUp}, "no_quorum"},
        {"an undecided voter counts among the voters", {kUp, kUndecided}, "no_quorum"},
        {"a suspect voter has no voice", {kSuspectDown, kSuspectDown}, "no_quorum"},
        {"a suspect voter counts among the voters", {kSuspectDown, kHardDown}, "no_quorum"},
        {"nobody has made up their mind", {kUndecided}, "no_quorum"},
        {"those not heard yet count", {kHardDown}, "no_quorum", 2},
        {"those not heard yet count against up as well", {kUp}, "no_quorum", 2},
        {"nobody heard yet is not nobody heard", {}, "no_quorum", 1},
        {"a majority in spite of one not heard yet", {kHardDown, kHardDown}, "quorum_down", 1},
        {"quorum 1: hard evidence of one voter is enough",
         {kHardDown, kUndecided, kUndecided},
         "quorum_down",
         0,
         0,
         1},
        {"quorum 1: one soft voice among several is not",
         {kSoftDown, kUndecided, kUndecided},
         "lone_soft_voice",
         0,
         0,
         1},
        {"quorum 1: two soft voices are", {kSoftDown, kSoftDown, kUndecided}, "quorum_down", 0, 0, 1},
        {"quorum 3 is not reached by two", {kSoftDown, kSoftDown, kUp}, "no_quorum", 0, 0, 3},
        {"a quorum is never more than there are voters", {kHardDown, kHardDown}, "quorum_down", 0, 3, 3},
        {"up stands before down where both reach a quorum", {kHardDown, kUp}, "quorum_up", 0, 0, 1},
    };
    return all;
}

TEST(AggregatorRules, TableDecides) {
    for (const Case& c : cases()) EXPECT_EQ(decide(ballot_of(c)).name, c.rule) << c.what;
}

TEST(AggregatorRules, EveryRuleIsReached) {
    std::set<std::string_view> reached;
    for (const Case& c : cases()) reached.insert(decide(ballot_of(c)).name);
    for (const Rule& rule : rules()) EXPECT_TRUE(reached.contains(rule.name)) << rule.name;
}

TEST(AggregatorRules, TheDocumentsFlowchartIsMadeOfTheTable) {
    const std::filesystem::path path = support::source_folder() / "docs/verdicts.md";
    const std::string chart = "```mermaid\n" + rules_as_flowchart() + "```\n";
    std::ostringstream text;
    text << std::ifstream{path}.rdbuf();
    std::string document = text.str();
    const auto begin = document.find("```mermaid\n");
    ASSERT_NE(begin, std::string::npos);
    const auto end = document.find("```\n", begin + 3);
    ASSERT_NE(end, std::string::npos);
    if (std::getenv("PGPULSE_UPDATE_DOCUMENTS") != nullptr) {
        document.replace(begin, end + 4 - begin, chart);
        std::ofstream{path} << document;
        return;
    }
    EXPECT_EQ(document.substr(begin, end + 4 - begin), chart)
        << "PGPULSE_UPDATE_DOCUMENTS=1 writes the table's into docs/verdicts.md";
    for (const Rule& rule : rules())
        EXPECT_NE(document.find("`" + std::string{rule.name} + "`"), std::string::npos) << rule.name;
}

TEST(AggregatorRules, VotersWhoDisagreeAreToldFromThoseWhoDoNot) {
    EXPECT_TRUE(disagree(ballot_of({"", {kUp, kHardDown}, ""})));
    EXPECT_FALSE(disagree(ballot_of({"", {kUp, kUndecided}, ""})));
    EXPECT_FALSE(disagree(ballot_of({"", {kUp, kSuspectDown}, ""})));
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
