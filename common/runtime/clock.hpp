#pragma once

#include "common/contract/wall_time.hpp"

#include <chrono>

// The only clocks of the programs. Cores take their readings as arguments.
namespace pgpulse::runtime {

using Mono = std::chrono::steady_clock::time_point;

/// For intervals: never steps, stands still while the machine sleeps (CLOCK_MONOTONIC).
inline Mono mono_now() { return std::chrono::steady_clock::now(); }

/// For people.
inline contract::WallTime wall_now() {
    return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
}

}  // namespace pgpulse::runtime
