#pragma once

#include "common/contract/vocabulary.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace pgpulse::aggregator {

/// One observer's standing word on a target, as it counts now.
struct Vote {
    contract::Opinion opinion = contract::Opinion::undecided;
    contract::Reason reason = contract::Reason::ok;
    bool suspect = false;  // the observer doubts itself: it has no voice, and still counts among the voters
};

/// Everything a decision rests on.
struct Ballot {
    std::span<const Vote> votes;  // of voters heard freshly
    std::uint32_t unheard = 0;    // voters known from the last transition's evidence and not heard yet, while
                                  // the aggregator is young
    bool first_decision_is_young =
        false;  // no state yet, and others may observe the target who were not heard yet
    std::optional<std::uint32_t> quorum;  // of the definition; empty: a majority
};

enum class Ruling { up, down, unknown, keep };

struct Rule {
    std::string_view name;
    std::string_view because;  // one sentence for the documentation and `explain`
    Ruling ruling;
    bool (*applies)(const Ballot&);
};

/// The table, in the order in which it is read: the first rule that applies decides. The last one always
/// applies.
///
/// The specification the rows hold to:
/// - the voters are those heard freshly, and, while the aggregator is young, those it has reason to expect;
/// - `up` and `down` need `quorum` voices, by default a majority of the voters, never more than there are
/// voters;
/// - soft evidence (silence, a reset) needs two voices where there are two voters, because it may be the
/// observer's fault;
/// - without a quorum a state stays as it is: a disagreement is not a change;
/// - `unknown` is said only when nobody can be heard any more, never because somebody disagrees.
std::span<const Rule> rules();

/// The rule that decides.
const Rule& decide(const Ballot& ballot);

}  // namespace pgpulse::aggregator
