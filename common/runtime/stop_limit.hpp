#pragma once

#include "common/runtime/mailbox.hpp"

#include <chrono>
#include <thread>

namespace pgpulse::runtime {

/// Ends the process, with exit code 0, where its end in order takes longer than a supervisor may have to wait. A call
/// into NATS can hang for seconds while its server is frozen, and nothing is left to be saved by then. Make it before
/// what may hang.
class StopLimit {
  public:
    /// From `begin` on.
    static constexpr std::chrono::milliseconds kWithin{1800};

    StopLimit() = default;
    StopLimit(const StopLimit&) = delete;
    StopLimit& operator=(const StopLimit&) = delete;
    ~StopLimit();

    /// The time counts from the first call. Of one thread, such as that of the signals.
    void begin();

  private:
    Mailbox<int> done_;
    std::thread thread_;

    void run();
};

}  // namespace pgpulse::runtime
