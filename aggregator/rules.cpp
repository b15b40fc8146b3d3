#include "aggregator/rules.hpp"

#include <algorithm>
#include <array>

namespace pgpulse::aggregator {
namespace {

using contract::Opinion;

std::uint32_t voices(const Ballot& ballot, Opinion opinion) {
    return static_cast<std::uint32_t>(std::ranges::count_if(
        ballot.votes, [&](const Vote& vote) { return !vote.suspect && vote.opinion == opinion; }));
}

std::uint32_t voters(const Ballot& ballot) {
    return static_cast<std::uint32_t>(ballot.votes.size()) + ballot.unheard;
}

std::uint32_t needed(const Ballot& ballot) {
    const auto all = voters(ballot);
    return std::min(ballot.quorum.value_or(all / 2 + 1), std::max(all, 1U));
}

bool has_quorum(const Ballot& ballot, Opinion opinion) {
    const auto count = voices(ballot, opinion);
    return count > 0 && count >= needed(ballot);
}

bool hard_down(const Ballot& ballot) {
    return std::ranges::any_of(ballot.votes, [](const Vote& vote) {
        return !vote.suspect && vote.opinion == Opinion::down && contract::is_hard_evidence(vote.reason);
    });
}

bool former_voters(const Ballot& ballot) { return voters(ballot) == 0 && ballot.anyone_heard; }

bool too_young(const Ballot& ballot) { return voters(ballot) == 0 && ballot.young; }

bool nobody_heard(const Ballot& ballot) { return voters(ballot) == 0; }

bool quorum_up(const Ballot& ballot) { return has_quorum(ballot, Opinion::up); }

bool lone_soft_voice(const Ballot& ballot) {
    return has_quorum(ballot, Opinion::down) && voices(ballot, Opinion::down) == 1 && ballot.assigned > 1 &&
           !hard_down(ballot);
}

bool quorum_down(const Ballot& ballot) { return has_quorum(ballot, Opinion::down); }

bool always(const Ballot&) { return true; }

constexpr std::array kRules{
    Rule{"former_voters", "no voters, but a worker that serves was heard within one freshness?",
         "Those who may vote were not heard yet, or doubt themselves; what was heard lately stands.",
         Ruling::keep, former_voters},
    Rule{"too_young", "no voters, and this aggregator has the target for less than one freshness?",
         "Whoever has just begun to listen has not heard anybody's silence.", Ruling::keep, too_young},
    Rule{"nobody_heard", "no voters?", "Nobody who serves was heard for a whole freshness.", Ruling::unknown,
         nobody_heard},
    Rule{"quorum_up", "a quorum of the voters says up?", "A quorum of the voters holds the target up.",
         Ruling::up, quorum_up},
    Rule{"lone_soft_voice", "a quorum of one says down, of several observers, on soft evidence?",
         "One voice among several observers, and only silence to show for it.", Ruling::keep,
         lone_soft_voice},
    Rule{"quorum_down", "a quorum of the voters says down?", "A quorum of the voters holds the target down.",
         Ruling::down, quorum_down},
    Rule{"no_quorum", "otherwise", "The voters disagree or have not made up their minds.", Ruling::keep,
         always},
};

}  // namespace

std::span<const Rule> rules() { return kRules; }

const Rule& decide(const Ballot& ballot) {
    return *std::ranges::find_if(kRules, [&](const Rule& rule) { return rule.applies(ballot); });
}

bool disagree(const Ballot& ballot) {
    return voices(ballot, Opinion::up) > 0 && voices(ballot, Opinion::down) > 0;
}

std::string_view in_words(Ruling ruling) {
    switch (ruling) {
        case Ruling::up:
            return "up";
        case Ruling::down:
            return "down";
        case Ruling::unknown:
            return "unknown";
        case Ruling::keep:
            return "the state stays";
    }
    return "";
}

std::string rules_as_flowchart() {
    std::string chart = "flowchart TD\n";
    for (std::size_t i = 0; i + 1 < kRules.size(); ++i) {
        const Rule& rule = kRules[i];
        const Rule& next = kRules[i + 1];
        chart.append("    ").append(rule.name).append("{\"").append(rule.asks).append("\"}\n");
        chart.append("    ").append(rule.name).append(" -- yes --> ").append(rule.name);
        chart.append("_ruling([\"").append(in_words(rule.ruling)).append("\"])\n");
        chart.append("    ").append(rule.name).append(" -- no --> ").append(next.name);
        const bool last = i + 2 == kRules.size();
        if (last) chart.append("([\"").append(in_words(next.ruling)).append("\"])");
        chart.append("\n");
    }
    return chart;
}

}  // namespace pgpulse::aggregator
