#pragma once

#include "common/contract/vocabulary.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

// The words in which the probe's core and its adapters speak of a ping.
namespace pgpulse::probe {

/// An instant of the monotonic clock. Cores take it as an argument.
using Mono = std::chrono::steady_clock::time_point;

/// A target's place in the worker's tables; used again after the target was removed.
using TargetIndex = std::uint32_t;

/// One ping under way: its place in the tables, and which of the pings that had this place it is.
struct PingId {
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;

    bool operator==(const PingId&) const = default;
};

/// What a ping found.
struct PingResult {
    contract::Verdict verdict = contract::Verdict::inconclusive;
    contract::Reason reason = contract::Reason::observer_stalled;
    std::array<char, 6> sqlstate{};                // ends with 0; empty: the server gave none
    std::optional<std::chrono::microseconds> rtt;  // from the start to the server's answer, where it answered

    [[nodiscard]] std::string_view sqlstate_text() const { return sqlstate.data(); }
    bool operator==(const PingResult&) const = default;
};

}  // namespace pgpulse::probe
