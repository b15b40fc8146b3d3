#pragma once

#include "probe/ping_result.hpp"

#include <cstdint>

// Pure: what an observer holds of one target after rise and fall.
//
// The rules, each tested under its name:
//   success               `accepting` lengthens a row of successes, or begins one.
//   failure               `rejecting` and `no_response` lengthen a row of failures, or begin one: a server
//                         that answers 57P03 serves nobody.
//   no_evidence           `inconclusive` and `not_attempted` say nothing about the target and change nothing.
//   superseded            A failure of a ping that started before the newest success started tells of an older
//                         past than what is known, and changes nothing. Fast pings overlap, so one that hangs
//                         can end long after later ones have succeeded.
//   up_after_rise         `rise` successes in a row make the opinion `up`.
//   down_after_fall       `fall` failures in a row make the opinion `down`.
//   held_back             A failure that may not decide, because the observer doubts itself, lengthens the row
//                         and leaves the opinion; the next one that may decides.
//   voided                When the observer begins to doubt itself the row of failures begins anew.
//   questioned            Something happened that the opinion does not know of (a held session ended): it is
//                         unsettled until the next result that counts.
//   settled_down          The server is known to be gone: the opinion is `down` whatever `fall` says.
//   undecided_at_first    Until one of the two has happened the opinion is `undecided`.
//   unsettled             The opinion is undecided, or the newest counted result contradicts it. An unsettled
//                         target is pinged at its fast interval.
namespace pgpulse::probe {

class OpinionTracker {
  public:
    /// `rise` and `fall` are at least 1. They may differ from one call to the next.
    struct Limits {
        std::uint32_t rise = 2;
        std::uint32_t fall = 3;
    };

    /// Takes one result into account; `started` is when its ping started. Results may come in any order of
    /// their starts. `decides`: a failure may make the opinion `down`.
    void feed(contract::Verdict verdict, Mono started, Limits limits, bool decides = true);

    /// A row of failures that has not led to `down` begins anew.
    void void_failures();

    /// The opinion is to be confirmed.
    void question() { questioned_ = true; }

    /// To be called after the failure that shows that the server is gone was fed.
    void settle_down() { opinion_ = contract::Opinion::down; }

    /// Whether a failure of a ping that started then tells of a past that a later success has overtaken.
    [[nodiscard]] bool superseded(Mono started) const { return started < newest_success_started_; }

    [[nodiscard]] contract::Opinion opinion() const { return opinion_; }
    /// Results alike in a row, the newest counted one included; 0 before the first.
    [[nodiscard]] std::uint32_t streak() const { return streak_; }
    [[nodiscard]] bool settled() const;
    /// The newest counted result is a failure.
    [[nodiscard]] bool failing() const { return streak_ > 0 && !succeeding_; }

  private:
    void lengthen(bool success);

    contract::Opinion opinion_ = contract::Opinion::undecided;
    bool succeeding_ = false;  // the kind of results in the row
    bool questioned_ = false;
    std::uint32_t streak_ = 0;
    Mono newest_success_started_ = Mono::min();
};

}  // namespace pgpulse::probe
