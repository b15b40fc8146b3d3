#pragma once

#include "common/contract/ping.hpp"
#include "common/nats/subscription.hpp"

#include <tl/expected.hpp>

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace pgpulse::ctl {

/// What a ping found, and when it came here.
struct HeardPing {
    contract::Ping ping;
    std::chrono::steady_clock::time_point at;
};
/// The newest of each worker, by its id.
using HeardPings = std::map<std::string, HeardPing>;

/// Calls the observers of one target and hears what each finds.
class PingListener {
  public:
    /// Listens and calls; returns once the server has both. Error: one line.
    static tl::expected<std::unique_ptr<PingListener>, std::string> open(nats::Connection& connection,
                                                                         const std::string& target,
                                                                         std::chrono::milliseconds timeout);

    /// Waits until each of `workers` was heard with a connection of its own (a check of a held session tells
    /// nothing of the listener), at most until `deadline`; what was heard by then.
    HeardPings wait_for(const std::vector<std::string>& workers,
                        std::chrono::steady_clock::time_point deadline);

  private:
    PingListener() = default;
    void take(const nats::Message& message);

    std::mutex mutex_;
    std::condition_variable changed_;
    HeardPings heard_;
    std::unique_ptr<nats::Subscription> subscription_;  // ends before what it calls
};

}  // namespace pgpulse::ctl
