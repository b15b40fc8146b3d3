#pragma once

#include "common/contract/state.hpp"
#include "common/contract/vocabulary.hpp"
#include "common/nats/subscription.hpp"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

namespace pgpulse::bench {

/// What NATS carries of one target, and when it came. Ends the program with one line where what is waited for does not
/// come.
class TargetFollower {
  public:
    using Clock = std::chrono::steady_clock;

    /// `via`: the kind of ping by which one of its `observers` that holds the target up is at its ordinary work.
    TargetFollower(nats::Connection& connection, std::string target, contract::Via via,
                   std::size_t observers);
    TargetFollower(const TargetFollower&) = delete;
    TargetFollower& operator=(const TargetFollower&) = delete;

    /// Waits until it is up, and all observers say so.
    void await_up();

    /// When the first ping that holds it down came, and its transition.
    struct Down {
        Clock::time_point ping;
        Clock::time_point state;
    };
    /// Waits for both, the first since `await_up`.
    Down await_down();

  private:
    const std::string target_;
    const contract::Via via_;
    const std::size_t observers_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::optional<contract::State> state_;
    std::set<std::string> holding_;
    std::optional<Clock::time_point> first_down_;
    std::optional<Clock::time_point> down_;
    std::unique_ptr<nats::Subscription> pings_;
    std::unique_ptr<nats::Subscription> states_;

    std::unique_ptr<nats::Subscription> open(nats::Connection& connection, const std::string& subject,
                                             void (TargetFollower::*take)(const nats::Message&));
    void take_ping(const nats::Message& message);
    void take_state(const nats::Message& message);
    void await(const char* otherwise, const std::function<bool()>& condition);
};

/// Milliseconds.
inline double ms_between(TargetFollower::Clock::time_point from, TargetFollower::Clock::time_point to) {
    return std::chrono::duration<double, std::milli>(to - from).count();
}

}  // namespace pgpulse::bench
