#include "ctl/status.hpp"

#include "common/contract/names.hpp"
#include "common/contract/state.hpp"
#include "common/nats/bucket.hpp"
#include "ctl/state_table.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <condition_variable>
#include <iostream>
#include <map>
#include <mutex>

namespace pgpulse::ctl {
namespace {

constexpr int kAllUp = 0;
constexpr int kSomeNotUp = 1;
constexpr int kUnreachable = 3;

/// What the bucket held when it had been read to its end.
class Snapshot {
  public:
    /// Called by the watch, on its thread.
    void take(nats::BucketEvent event) {
        const std::lock_guard lock{mutex_};
        if (loaded_) return;
        switch (event.kind) {
            case nats::BucketEvent::Kind::opened:
                opened_ = true;
                values_.clear();
                break;
            case nats::BucketEvent::Kind::value:
                values_[event.key] = std::move(event);
                break;
            case nats::BucketEvent::Kind::removed:
                values_.erase(event.key);
                break;
            case nats::BucketEvent::Kind::loaded:
                loaded_ = true;
                changed_.notify_one();
                break;
        }
    }

    bool wait(std::chrono::milliseconds timeout) {
        std::unique_lock lock{mutex_};
        return changed_.wait_for(lock, timeout, [this] { return loaded_; });
    }

    [[nodiscard]] bool opened() {
        const std::lock_guard lock{mutex_};
        return opened_;
    }

    /// By key; call it once `wait` said true.
    [[nodiscard]] const std::map<std::string, nats::BucketEvent>& values() const { return values_; }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool opened_ = false;
    bool loaded_ = false;
    std::map<std::string, nats::BucketEvent> values_;
};

void print_json(const nats::BucketEvent& entry) {
    // The document as it is stored, fields this program does not know included.
    const nlohmann::ordered_json line{
        {"target", entry.key},
        {"revision", entry.revision},
        {"stored_at",
         contract::to_rfc3339(contract::WallTime{std::chrono::microseconds{entry.stored_at_us}})},
        {"state", nlohmann::ordered_json::parse(entry.value)},
    };
    std::cout << line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
}

int print(const Snapshot& snapshot, const Options& options) {
    bool all_up = true;
    for (const std::string& target : options.targets) {
        if (!snapshot.values().contains(target)) {
            std::cerr << "pgpulse: '" << target << "' has no state\n";
            all_up = false;
        }
    }
    std::vector<contract::State> shown;
    for (const auto& [target, entry] : snapshot.values()) {
        if (!options.targets.empty() && std::ranges::find(options.targets, target) == options.targets.end())
            continue;
        auto state = contract::decode_state(target, entry.value);
        if (!state) {
            std::cerr << "pgpulse: state of '" << target << "' cannot be read: " << state.error().detail
                      << '\n';
            all_up = false;
            continue;
        }
        all_up = all_up && state->state == contract::Health::up;
        if (options.json)
            print_json(entry);
        else
            shown.push_back(std::move(*state));
    }
    if (!options.json) std::cout << state_table(shown, colours_wanted());
    std::cout.flush();
    return all_up ? kAllUp : kSomeNotUp;
}

}  // namespace

int run_status(const Options& options) {
    const auto connection = nats::Connection::open(options.nats);
    if (!connection) {
        std::cerr << "pgpulse: " << connection.error().text << '\n';
        return exit_code_of(connection.error());
    }
    Snapshot snapshot;
    bool whole = false;
    {
        const nats::BucketWatch watch{**connection, std::string{contract::kStateBucket},
                                      [&](nats::BucketEvent event) { snapshot.take(std::move(event)); }};
        whole = snapshot.wait(options.timeout);
    }
    if (whole) return print(snapshot, options);
    std::cerr << "pgpulse: "
              << (!(*connection)->connected() ? "NATS cannot be reached"
                  : !snapshot.opened()        ? "bucket 'health' is not there (has an aggregator run yet?)"
                                              : "bucket 'health' cannot be read to its end")
              << "; waited " << static_cast<double>(options.timeout.count()) / 1000 << " s\n";
    return kUnreachable;
}

}  // namespace pgpulse::ctl
