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

std::uint32_t needed(const Ballot& ballot, std::uint32_t voters) {
    return std::min(ballot.quorum.value_or(voters / 2 + 1), std::max(voters, 1U));
}

bool hard_down(const Ballot& ballot) {
    return std::ranges::any_of(ballot.votes, [](const Vote& vote) {
        return !vote.suspect && vote.opinion == Opinion::down && contract::is_hard_evidence(vote.reason);
    });
}

bool nobody_heard(const Ballot& ballot) { return voters(ballot) == 0; }

bool quorum_up(const Ballot& ballot) {
    const auto up = voices(ballot, Opinion::up);
    return up > 0 && up >= needed(ballot, voters(ballot));
}

bool young_down(const Ballot& ballot) {
    const auto others = voters(ballot) + 1;
    return ballot.first_decision_is_young && voices(ballot, Opinion::down) < needed(ballot, others);
}

bool quorum_down(const Ballot& ballot) {
    const auto down = voices(ballot, Opinion::down);
    return down > 0 && down >= needed(ballot, voters(ballot));
}

bool lone_soft_voice(const Ballot& ballot) {
    return quorum_down(ballot) && voices(ballot, Opinion::down) == 1 && voters(ballot) > 1 &&
           !hard_down(ballot);
}

bool always(const Ballot&) { return true; }

constexpr std::array kRules{
    Rule{"nobody_heard", "No voter was heard for a whole freshness.", Ruling::unknown, nobody_heard},
    Rule{"quorum_up", "A quorum of the voters holds the target up.", Ruling::up, quorum_up},
    Rule{"young_down", "A first `down` waits for voters who may not have been heard yet.", Ruling::keep,
         young_down},
    Rule{"lone_soft_voice", "One voice among several voters, and only silence to show for it.", Ruling::keep,
         lone_soft_voice},
    Rule{"quorum_down", "A quorum of the voters holds the target down.", Ruling::down, quorum_down},
    Rule{"no_quorum", "The voters disagree or have not made up their minds.", Ruling::keep, always},
};

}  // namespace

std::span<const Rule> rules() { return kRules; }

const Rule& decide(const Ballot& ballot) {
    return *std::ranges::find_if(kRules, [&](const Rule& rule) { return rule.applies(ballot); });
}

}  // namespace pgpulse::aggregator
