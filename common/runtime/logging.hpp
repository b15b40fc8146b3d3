#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pgpulse::runtime {

/// Sets up spdlog's default logger: lines on standard error, each stamped in UTC with microseconds. `level`:
/// trace, debug, info, warn, error. `format`: text or json (one object a line: time, level, program,
/// message).
void set_up_logging(std::string_view program, std::string_view level, std::string_view format);

/// " (3 further such lines kept back)"; empty for none.
std::string kept_back_words(std::uint64_t lines);

/// Lets one line through every `interval` and counts the others, so that a flood of faults cannot flood the
/// log. Not for several threads at once.
class LineLimit {
  public:
    explicit LineLimit(std::chrono::milliseconds interval) : interval_(interval) {}

    /// Empty: say nothing now. Otherwise the number of lines kept back since the last one that was let
    /// through.
    std::optional<std::uint64_t> allow(std::chrono::steady_clock::time_point now);

  private:
    std::chrono::milliseconds interval_;
    std::optional<std::chrono::steady_clock::time_point> last_;
    std::uint64_t kept_back_ = 0;
};

}  // namespace pgpulse::runtime
