#pragma once

#include "common/contract/ping.hpp"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <variant>
#include <vector>

namespace pgpulse::probe {

/// A call to the target's other observers to ping it now, on `health.check.<target>`.
struct CallObservers {
    std::string target;
};

/// What the worker says on NATS.
using Outgoing = std::variant<contract::Ping, CallObservers>;

/// Hands pings and calls from the loop to NATS on a thread of its own. A publish can block for two seconds
/// when the server is frozen (facts of nats.c), and a ping must not wait for it: so the queue is bounded, and
/// where it is full the oldest is dropped and counted.
class Publisher {
  public:
    /// Publishes one message; false where it could not be taken. Called on the publisher's thread.
    using Send = std::function<bool(const std::string& subject, std::string_view payload)>;

    explicit Publisher(Send send, std::size_t capacity = 65536);
    Publisher(const Publisher&) = delete;
    Publisher& operator=(const Publisher&) = delete;
    /// Drops what still waits.
    ~Publisher();

    /// Takes messages over, in order; never blocks for longer than a lock. `messages` is empty afterwards.
    void push(std::vector<Outgoing>& messages);

    /// Waits until everything pushed so far was sent, at most `timeout`; false where it was not.
    bool drain(std::chrono::milliseconds timeout);

    /// Messages dropped because the queue was full.
    [[nodiscard]] std::uint64_t dropped() const;
    /// Messages that `Send` did not take.
    [[nodiscard]] std::uint64_t unsent() const;

  private:
    void run();

    Send send_;
    std::size_t capacity_;
    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::condition_variable idle_;
    std::deque<Outgoing> queue_;
    bool sending_ = false;
    bool stop_ = false;
    std::uint64_t dropped_ = 0;
    std::uint64_t unsent_ = 0;
    std::thread thread_;
};

}  // namespace pgpulse::probe
