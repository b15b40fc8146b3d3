#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace pgpulse::aggregator {

/// Which log lines about single targets are said, so that an event of a hundred thousand targets is a few lines and a
/// sum: the first kAtOnce of a window as they are, of the others only how many there were of each kind. Pure.
class MassLines {
  public:
    using Mono = std::chrono::steady_clock::time_point;

    static constexpr std::uint64_t kAtOnce = 50;
    static constexpr std::chrono::milliseconds kWindow{10'000};

    /// Whether one more line is said. `kind` follows a number, in the plural: "changes to down".
    bool allow(std::string_view kind, Mono now);

    /// The line about those that were not said, once their window is over:
    /// "9950 further lines in 10 s are left out: 9900 changes to down, 50 changes to up".
    std::optional<std::string> take_sum(Mono now);

  private:
    Mono since_{};
    std::uint64_t lines_ = 0;  // since then
    std::map<std::string, std::uint64_t, std::less<>> left_out_;
};

}  // namespace pgpulse::aggregator
