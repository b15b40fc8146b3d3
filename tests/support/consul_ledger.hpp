#pragma once

#include "tests/support/consul_agent.hpp"

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace pgpulse::support {

/// Follows the bridge's KV values by blocking reads of its own and holds them against each other: of one
/// target and epoch neither revision nor transition may ever go back.
class ConsulLedger {
  public:
    /// Reads from `consul`, which may be down at times, below `prefix`. Returns when it has read once.
    explicit ConsulLedger(const ConsulAgent& consul, std::string prefix = "health/");
    ~ConsulLedger();
    ConsulLedger(const ConsulLedger&) = delete;
    ConsulLedger& operator=(const ConsulLedger&) = delete;

    /// What went back so far, one line each.
    [[nodiscard]] std::vector<std::string> faults() const;
    /// Values that were another than the one before.
    [[nodiscard]] std::size_t changes() const;

  private:
    void follow();
    void take(const std::string& body);

    const ConsulAgent& consul_;
    const std::string prefix_;
    mutable std::mutex mutex_;
    std::map<std::pair<std::string, std::string>, std::pair<std::uint64_t, std::uint64_t>> last_;
    std::vector<std::string> faults_;
    std::size_t changes_ = 0;
    std::atomic<bool> stop_{false};
    std::atomic<bool> has_read_{false};
    std::thread thread_;
};

}  // namespace pgpulse::support
