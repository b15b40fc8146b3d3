#pragma once

#include "tests/support/temp_dir.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pgpulse::support {

/// A wall clock that a test sets under running programs: those that were started with its environment. Their
/// monotonic clock is the machine's.
class SettableClock {
  public:
    SettableClock();
    SettableClock(const SettableClock&) = delete;
    SettableClock& operator=(const SettableClock&) = delete;
    ~SettableClock();

    /// For ProcessOptions.
    [[nodiscard]] std::vector<std::pair<std::string, std::string>> environment() const;

    /// The clock says so much more than the machine's from now on; less where it is negative.
    void set_ahead(std::chrono::microseconds ahead);

  private:
    TempDir folder_;
    std::atomic<std::int64_t>* ahead_us_ = nullptr;
};

}  // namespace pgpulse::support
