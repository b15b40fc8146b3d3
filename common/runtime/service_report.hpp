#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace pgpulse::runtime {

/// What a service manager is to be told when, in the lines of sd_notify(3). Pure: whoever sends them knows the time.
class ServiceReport {
  public:
    using Mono = std::chrono::steady_clock::time_point;

    /// A program whose start waits for a NATS server that takes the connection and does not answer counts as started
    /// after this time: the manager would end it for that, and nothing is wrong with it.
    static constexpr std::chrono::seconds kStartPatience{5};

    struct Facts {
        bool turning = false;           // the working loop
        std::string not_ready_because;  // one line; empty: ready
    };

    /// `watchdog`: how long the manager waits for a word before it takes the program for hung; more than zero, or
    /// empty: it does not watch. `began`: when the options were known to be good.
    ServiceReport(std::optional<std::chrono::microseconds> watchdog, Mono began);

    /// What to say after a look at the program; empty: nothing. `facts`: empty while there is no working loop yet.
    /// READY=1 once the loop turns, whether or not NATS is there; STATUS= where it changed; WATCHDOG=1 each half of
    /// `watchdog`, and never while the loop stands still.
    std::string look(const std::optional<Facts>& facts, Mono now);

    /// When to look again after the last look.
    [[nodiscard]] std::chrono::microseconds pause() const;

    /// What was said last did not arrive: it is said again.
    void lost();

    static std::string reloading(Mono now);
    static std::string reloaded();
    static std::string stopping();

  private:
    Mono began_;
    std::chrono::microseconds pause_;
    int looks_a_ping_ = 0;  // 0: no watchdog
    int looks_ = 0;         // since the last ping
    bool ready_told_ = false;
    std::string status_told_;
};

/// WATCHDOG_USEC and WATCHDOG_PID (empty: not given) as the time for a ServiceReport; empty where the manager does not watch
/// this process.
std::optional<std::chrono::microseconds> parse_watchdog(const std::string& microseconds,
                                                        const std::string& pid, long own_pid);

}  // namespace pgpulse::runtime
