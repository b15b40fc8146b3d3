#pragma once

#include "common/nats/bucket.hpp"
#include "tests/support/wait_until.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace pgpulse::support {

/// Everything a BucketWatch told, in order.
class BucketEvents {
  public:
    using Kind = nats::BucketEvent::Kind;

    void take(nats::BucketEvent event) {
        const std::lock_guard lock{mutex_};
        events_.push_back(std::move(event));
    }

    [[nodiscard]] std::vector<nats::BucketEvent> all() const {
        const std::lock_guard lock{mutex_};
        return events_;
    }

    [[nodiscard]] std::size_t count(Kind kind) const {
        const std::lock_guard lock{mutex_};
        return static_cast<std::size_t>(std::ranges::count(events_, kind, &nats::BucketEvent::kind));
    }

    /// What a reader holds of the bucket now: the values by key since it was opened last.
    [[nodiscard]] std::map<std::string, std::string> held() const {
        const std::lock_guard lock{mutex_};
        std::map<std::string, std::string> values;
        for (const nats::BucketEvent& event : events_) {
            if (event.kind == Kind::opened) values.clear();
            if (event.kind == Kind::value) values[event.key] = event.value;
            if (event.kind == Kind::removed) values.erase(event.key);
        }
        return values;
    }

    [[nodiscard]] bool wait_for(Kind kind, std::size_t times) const {
        return wait_until([&] { return count(kind) >= times; });
    }

    /// Waits until the reader holds exactly this.
    [[nodiscard]] bool wait_until_held(const std::map<std::string, std::string>& values) const {
        return wait_until([&] { return held() == values; });
    }

  private:
    mutable std::mutex mutex_;
    std::vector<nats::BucketEvent> events_;
};

}  // namespace pgpulse::support
