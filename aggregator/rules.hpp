#pragma once

#include "common/contract/vocabulary.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace pgpulse::aggregator {

/// One voter's standing word on a target, as it counts now.
struct Vote {
    contract::Opinion opinion = contract::Opinion::undecided;
    contract::Reason reason = contract::Reason::ok;
    bool suspect = false;  // the observer doubts itself: it has no voice, and still counts among the voters
};

/// Everything a decision rests on.
struct Ballot {
    std::span<const Vote> votes;  // of voters heard freshly; without those that have been suspect for long
    std::uint32_t unheard = 0;    // observers that have had the target for less than a freshness and were not
                                  // heard yet
    std::uint32_t assigned = 0;   // observers by rank, heard or not
    bool anyone_heard = false;    // a worker that serves, or just did, was heard freshly: an observer or not
    bool young = false;           // this aggregator has had the target for less than a freshness
    std::optional<std::uint32_t> quorum;  // of the definition; empty: a majority
};

enum class Ruling { up, down, unknown, keep };

/// "up", "down", "unknown" or "the state stays".
std::string_view in_words(Ruling ruling);

struct Rule {
    std::string_view name;
    std::string_view asks;     // the condition, as a question: the documentation's diagram is made of these
    std::string_view because;  // one sentence for the documentation and `explain`
    Ruling ruling;
    bool (*applies)(const Ballot&);
};

/// The table, in the order in which it is read: the first rule that applies decides. The last one always
/// applies.
///
/// The specification that the rows hold to:
/// - The observers of a target are the first `observers` of the live workers by rank. The voters are those of
///   them who were heard within one freshness, and, for one freshness after it was assigned, each who was not
///   heard yet: whoever may be about to contradict counts in the denominator.
/// - A worker that doubts itself has no voice. It counts among the voters for three intervals, so that the others
///   do not decide alone at the moment of a common trouble, and not after that, so that they can.
/// - `up` and `down` need `quorum` voices, by default a majority of the voters, never more than there are voters.
/// - Soft evidence (silence, a reset) may be the observer's own fault: with two observers assigned or more it
///   needs two voices. A lone voice needs hard evidence, which only the target's host can give.
/// - Without a quorum a state stays as it is: a disagreement is not a change.
/// - `unknown` is said when nobody who serves has been heard for a whole freshness, never because somebody
///   disagrees, and not by an aggregator that has not had the target for so long itself.
std::span<const Rule> rules();

/// The rule that decides.
const Rule& decide(const Ballot& ballot);

/// Voters who were heard disagree: `up` and `down` both have a voice.
bool disagree(const Ballot& ballot);

/// The table as a Mermaid flowchart, one line a step: docs/verdicts.md holds it, and a test compares.
std::string rules_as_flowchart();

}  // namespace pgpulse::aggregator
