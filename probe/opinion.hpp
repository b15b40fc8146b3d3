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
//   superseded            A failure of a ping that started before the newest success started tells of an
//                         older past than what is known, and changes nothing. Fast pings overlap, so one that
//                         hangs can end long after later ones have succeeded.
//   up_after_rise         `rise` successes in a row make the opinion `up`.
//   down_after_fall       `fall` failures in a row make the opinion `down`.
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
    /// their starts.
    void feed(contract::Verdict verdict, Mono started, Limits limits);

    [[nodiscard]] contract::Opinion opinion() const { return opinion_; }
    /// Results alike in a row, the newest counted one included; 0 before the first.
    [[nodiscard]] std::uint32_t streak() const { return streak_; }
    [[nodiscard]] bool settled() const;

  private:
    void lengthen(bool success);

    contract::Opinion opinion_ = contract::Opinion::undecided;
    bool succeeding_ = false;  // the kind of results in the row
    std::uint32_t streak_ = 0;
    Mono newest_success_started_ = Mono::min();
};

}  // namespace pgpulse::probe
