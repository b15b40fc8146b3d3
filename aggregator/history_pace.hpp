#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace pgpulse::aggregator {

/// Pure: when the history's copier rests. In a mass outage the states themselves come first: of many transitions
/// together it copies some, waits until most such masses are written, and then goes on until it has had nothing to copy
/// for a moment. It also rests while this aggregator itself writes many states, but not for ever.
class HistoryPace {
  public:
    using Mono = std::chrono::steady_clock::time_point;

    static constexpr std::size_t kAtOnce = 256;
    static constexpr std::chrono::milliseconds kRest{2000};
    /// States that are written at once, and how long they come first.
    static constexpr std::size_t kMany = 128;
    static constexpr std::chrono::milliseconds kLongest{5000};

    /// One more is copied.
    void copied(Mono now) {
        if (++row_ == kAtOnce) rests_until_ = now + kRest;
    }

    /// There was nothing to copy for a moment: the next one is the first of its mass.
    void caught_up() { row_ = 0; }

    /// Whether nothing is to be copied now. `writing`: so many states are being written, or wait for it.
    bool rests(Mono now, std::size_t writing) {
        if (writing < kMany)
            writing_since_ = Mono::max();
        else
            writing_since_ = std::min(writing_since_, now);
        return now < rests_until_ || (writing >= kMany && now - writing_since_ < kLongest);
    }

  private:
    std::size_t row_ = 0;
    Mono writing_since_ = Mono::max();
    Mono rests_until_{};
};

}  // namespace pgpulse::aggregator
