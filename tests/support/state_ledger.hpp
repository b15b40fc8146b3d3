#pragma once

#include "common/contract/names.hpp"
#include "common/contract/state.hpp"
#include "common/nats/subscription.hpp"

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace pgpulse::support {

/// Every message on `health.state.<target>` of one target, as a subscriber gets them: also those which the bucket's
/// history has no room for.
class StateLedger {
  public:
    StateLedger(nats::Connection& connection, std::string target)
        : target_(std::move(target)),
          subscription_(nats::Subscription::open(connection, contract::state_subject(target_),
                                                 [this](const nats::Message& message) { take(message); })
                            .value()) {}

    /// Oldest first.
    [[nodiscard]] std::vector<contract::State> all() const {
        const std::lock_guard lock{mutex_};
        return states_;
    }

    [[nodiscard]] std::optional<contract::State> newest() const {
        const std::lock_guard lock{mutex_};
        return states_.empty() ? std::nullopt : std::optional{states_.back()};
    }

  private:
    const std::string target_;
    mutable std::mutex mutex_;
    std::vector<contract::State> states_;
    std::unique_ptr<nats::Subscription> subscription_;

    void take(const nats::Message& message) {
        auto state = contract::decode_state(target_, nats::payload_of(message));
        if (!state) return;  // a removal has no body
        const std::lock_guard lock{mutex_};
        states_.push_back(std::move(*state));
    }
};

}  // namespace pgpulse::support
