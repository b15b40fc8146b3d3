#pragma once

#include "probe/ping_result.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

// Pure: log lines about single targets, when thousands may have one at once. Every line is said, a few at once and then
// so many a second; only what is over the queue's bound is counted instead.
namespace pgpulse::probe {

class PacedLines {
  public:
    enum class Level { info, warning, error };
    struct Line {
        Level level = Level::info;
        std::string text;
    };

    static constexpr std::chrono::milliseconds kPace{100};
    static constexpr int kAtOnce = 10;
    static constexpr std::size_t kMostWaiting = 1000;

    void add(Level level, std::string text);

    /// The next line to say now; to be called until there is none.
    std::optional<Line> next(Mono now);

  private:
    std::deque<Line> waiting_;
    std::uint64_t left_out_ = 0;
    Mono next_at_ = Mono::min();  // when one more is due, were none said at once
};

}  // namespace pgpulse::probe
