#pragma once

#include "bench/members.hpp"
#include "common/contract/vocabulary.hpp"
#include "common/nats/connection.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pgpulse::bench {

/// One worker's pings of one target. They are encoded by the contract, once; for each ping only the digits of
/// `seq` and `mono_ms` are written anew, so that every one is a new ping.
class PreparedPing {
  public:
    /// Ten digits, whatever comes.
    static constexpr std::uint64_t kFirstSeq = 1'000'000'000;

    PreparedPing(std::string worker, std::string run, std::size_t target, contract::Opinion opinion);

    /// Makes it another ping; `seq` has to grow.
    void renew(std::uint64_t seq, std::chrono::steady_clock::time_point now);

    [[nodiscard]] const std::string& subject() const { return subject_; }
    [[nodiscard]] const std::string& payload() const { return payload_; }

  private:
    std::string subject_;
    std::string payload_;
    std::size_t seq_ = 0;
    std::size_t mono_ = 0;

    template <typename Number>
    [[nodiscard]] std::size_t last_digit(std::string_view key, Number value) const;
};

/// Workers that observe the fleet and ping nobody: members of the cluster, each with a ping of every target
/// that is ready to be published. With no more workers than `observers` of the definitions each of them has a
/// voice on each target. All hold all targets up at first. Ends the program with one line where NATS fails.
class Observers {
  public:
    using Clock = std::chrono::steady_clock;
    struct Size {
        std::size_t workers;
        std::size_t targets;
    };

    Observers(const std::string& url, const char* program, Size size);

    /// What the worker's further pings of the target say: up, or down with a refused connection.
    void hold(std::size_t worker, std::size_t target, contract::Opinion opinion);

    void publish(std::size_t worker, std::size_t target);

    /// Publishes what is due where everyone pings everything once in the interval, evenly spread, since the
    /// last call or `rest`. What a late caller missed comes at once, but no ping twice.
    void keep_pace(std::chrono::nanoseconds interval);
    /// Nothing is due for the time until now.
    void rest() { paced_ = Clock::now(); }
    /// Sends what is published and waits until the server has it.
    void flush();

    [[nodiscard]] Size size() const { return size_; }
    /// Pings published so far.
    [[nodiscard]] std::uint64_t published() const { return seq_ - PreparedPing::kFirstSeq; }

  private:
    const Size size_;
    std::unique_ptr<nats::Connection> connection_;
    std::vector<std::string> runs_;
    std::vector<PreparedPing> pings_;  // by worker, then by target
    std::uint64_t seq_ = PreparedPing::kFirstSeq;
    std::size_t next_ = 0;
    Clock::time_point paced_ = Clock::now();
    std::unique_ptr<Members> members_;

    void publish(PreparedPing& ping);
};

}  // namespace pgpulse::bench
