#pragma once

#include "common/contract/state.hpp"
#include "common/nats/bucket.hpp"

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace pgpulse::support {

/// Everything the bucket `health` held, as a reader of its own saw it.
class BucketLedger {
  public:
    struct Entry {
        contract::State state;
        std::uint64_t revision = 0;
    };

    explicit BucketLedger(nats::Connection& connection);

    /// The key's newest state; nullopt where there is none.
    [[nodiscard]] std::optional<Entry> newest(const std::string& target) const;
    /// Every state of the key, oldest first, each revision once.
    [[nodiscard]] std::vector<Entry> history(const std::string& target) const;
    [[nodiscard]] bool loaded() const;

  private:
    mutable std::mutex mutex_;
    std::map<std::string, std::map<std::uint64_t, contract::State>> states_;
    std::map<std::string, bool> present_;
    bool loaded_ = false;
    nats::BucketWatch watch_;

    void take(const nats::BucketEvent& event);
};

}  // namespace pgpulse::support
