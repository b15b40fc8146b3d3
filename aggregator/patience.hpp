#pragma once

#include <algorithm>
#include <chrono>

namespace pgpulse::aggregator {

/// How long words stand, by a target's definition (docs/verdicts.md).
struct Patience {
    using Time = std::chrono::milliseconds;

    Time freshness{5000};  // without a new ping
    Time suspect{3000};    // how long a worker that doubts itself counts among the voters

    /// A word of a worker that doubts itself keeps a target from `unknown` for so long at most.
    static constexpr Time kLongestSuspect{60'000};

    /// Of a target that is pinged every `interval` with such a `timeout`: three pings may be missed, however short they are.
    static Patience of(Time interval, Time timeout) {
        constexpr int kIntervals = 3;
        constexpr Time kLeastFreshness{5000};
        return {std::max(kIntervals * interval + timeout, kLeastFreshness), kIntervals * interval};
    }
};

}  // namespace pgpulse::aggregator
