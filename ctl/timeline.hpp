#pragma once

#include "common/contract/state.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

// Pure: what a target's transitions tell together.
namespace pgpulse::ctl {

/// One message of the history.
struct TimelineEntry {
    contract::WallTime stored_at{};        // when the server stored the transition
    std::optional<contract::State> state;  // empty: the target was deleted
};

/// How long a target was in which state, from `from` to `to`. Before its first transition, and after its removal, it was
/// not observed.
struct TimeInStates {
    contract::WallTime from{};
    contract::WallTime to{};
    std::chrono::microseconds up{0};
    std::chrono::microseconds down{0};
    std::chrono::microseconds unknown{0};
    std::size_t outages = 0;  // times it went down
    std::chrono::microseconds longest_outage{0};
};

/// `entries` in their order. Those before `from` say only what was so at `from`.
TimeInStates time_in_states(const std::vector<TimelineEntry>& entries, contract::WallTime from,
                            contract::WallTime to);

/// "up 99.95 % of the 12d 3h that it was observed; 3 outages, the longest 4m 10s".
std::string in_words(const TimeInStates& times);

/// The two largest units: "12d 3h", "4m 10s", "850ms".
std::string length_in_words(std::chrono::microseconds length);

/// The entries from `from` on, a line each with the time until the next one.
std::string timeline_table(const std::vector<TimelineEntry>& entries, contract::WallTime from,
                           contract::WallTime to, bool colours);

}  // namespace pgpulse::ctl
