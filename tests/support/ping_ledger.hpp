#pragma once

#include "common/contract/names.hpp"
#include "common/contract/ping.hpp"
#include "common/nats/subscription.hpp"

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace pgpulse::support {

/// Every ping on NATS, as a subscriber gets them.
class PingLedger {
  public:
    explicit PingLedger(nats::Connection& connection)
        : subscription_(nats::Subscription::open(connection, std::string{contract::kAllPings},
                                                 [this](const nats::Message& message) { take(message); })
                            .value()) {}

    [[nodiscard]] std::vector<contract::Ping> of(const std::string& target) {
        const std::lock_guard lock{mutex_};
        return pings_[target];
    }

    /// The newest ping that this worker's session made.
    [[nodiscard]] std::optional<contract::Ping> newest_by_session(const std::string& target,
                                                                  const std::string& worker) {
        const std::lock_guard lock{mutex_};
        const auto it = by_session_.find({target, worker});
        return it == by_session_.end() ? std::nullopt : std::optional{it->second};
    }

  private:
    std::mutex mutex_;
    std::map<std::string, std::vector<contract::Ping>> pings_;
    std::map<std::pair<std::string, std::string>, contract::Ping> by_session_;
    std::unique_ptr<nats::Subscription> subscription_;

    void take(const nats::Message& message) {
        const auto ping = contract::decode_ping(nats::subject_of(message), nats::payload_of(message));
        if (!ping) return;
        const std::lock_guard lock{mutex_};
        pings_[ping->target].push_back(*ping);
        if (ping->via == contract::Via::session) by_session_[{ping->target, ping->worker}] = *ping;
    }
};

}  // namespace pgpulse::support
