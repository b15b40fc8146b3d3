#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace pgpulse::bench {

/// What watches a server without pgpulse: a script that runs pg_isready every second, and three failures in a row are
/// the server's end.
class ScriptCheck {
  public:
    using Clock = std::chrono::steady_clock;

    ScriptCheck(std::string pg_isready, std::string port);
    ScriptCheck(const ScriptCheck&) = delete;
    ScriptCheck& operator=(const ScriptCheck&) = delete;
    ~ScriptCheck();

    /// Waits until it has found the server accepting.
    void await_up();
    /// Waits until it holds the server down; when it came to that.
    Clock::time_point await_down();

  private:
    static constexpr std::chrono::seconds kInterval{1};
    static constexpr int kFall = 3;

    const std::string pg_isready_;
    const std::string port_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool stop_ = false;
    bool up_ = false;
    std::optional<Clock::time_point> down_;
    std::thread thread_;

    void run();
};

}  // namespace pgpulse::bench
