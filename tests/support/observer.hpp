#pragma once

#include "common/contract/names.hpp"
#include "probe/loop.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace pgpulse::support {

/// The observers of a test, who call each other as they do through NATS.
class Calls {
  public:
    void add(probe::Loop& loop) {
        const std::lock_guard lock{mutex_};
        loops_.push_back(&loop);
    }
    void remove(probe::Loop& loop) {
        const std::lock_guard lock{mutex_};
        std::erase(loops_, &loop);
    }
    void call(const std::string& target) {
        const std::lock_guard lock{mutex_};
        for (probe::Loop* loop : loops_) loop->call(target);
    }

  private:
    std::mutex mutex_;
    std::vector<probe::Loop*> loops_;
};

/// One observer: the worker's loop with all it publishes.
class Observer {
  public:
    Observer(Calls& calls, const std::string& id)
        : calls_(calls),
          publisher_([this](const std::string& subject, std::string_view payload) {
              take(subject, payload);
              return true;
          }),
          loop_({id, "", "00000000000000aa"}, {1000, 250, 10'000}, {}, publisher_, metrics_) {
        calls_.add(loop_);
    }
    Observer(const Observer&) = delete;
    Observer& operator=(const Observer&) = delete;
    ~Observer() { calls_.remove(loop_); }

    void observe(const contract::TargetDefinition& target) {
        loop_.change_targets({probe::TargetPut{target}});
    }
    void remove(const std::string& target) { loop_.change_targets({probe::TargetRemoved{target}}); }
    void set_probes(std::vector<std::string> probes) { loop_.set_probes(std::move(probes)); }

    [[nodiscard]] std::vector<contract::Ping> pings(std::size_t from = 0) const {
        const std::lock_guard lock{mutex_};
        return {pings_.begin() + static_cast<std::ptrdiff_t>(std::min(from, pings_.size())), pings_.end()};
    }
    [[nodiscard]] std::size_t count() const { return pings().size(); }

    /// The first ping from the `from`th on that is so.
    template <typename Condition>
    std::optional<contract::Ping> first(std::size_t from, Condition condition) const {
        for (const contract::Ping& ping : pings(from)) {
            if (condition(ping)) return ping;
        }
        return std::nullopt;
    }

    /// Waits for it; a failure of the test where it does not come.
    template <typename Condition>
    contract::Ping wait_for(std::size_t from, Condition condition) const {
        const auto ping = eventually([&] { return first(from, condition); });
        if (!ping) {
            ADD_FAILURE() << "no such ping among\n" << told(from);
        }
        return ping.value_or(contract::Ping{});
    }

    /// What it said last, for messages.
    [[nodiscard]] std::string told(std::size_t from) const {
        std::ostringstream text;
        for (const contract::Ping& ping : pings(from)) {
            text << ping.worker << ' ' << to_string(ping.via) << ' ' << to_string(ping.verdict) << ' '
                 << to_string(ping.reason) << ' ' << ping.sqlstate << ' ' << to_string(ping.opinion) << ' '
                 << ping.streak << '\n';
        }
        return text.str();
    }

  private:
    Calls& calls_;
    mutable std::mutex mutex_;
    std::vector<contract::Ping> pings_;
    prometheus::Registry registry_;
    probe::Metrics metrics_{registry_};
    probe::Publisher publisher_;
    probe::Loop loop_;

    void take(const std::string& subject, std::string_view payload) {
        if (const auto called = contract::parse_check_subject(subject)) {
            calls_.call(std::string{*called});
            return;
        }
        const std::lock_guard lock{mutex_};
        pings_.push_back(contract::decode_ping(payload).value());
    }
};

inline bool by_session(const contract::Ping& ping) { return ping.via == contract::Via::session; }
inline bool is_down(const contract::Ping& ping) { return ping.opinion == contract::Opinion::down; }
inline bool held_up_by_session(const contract::Ping& ping) {
    return by_session(ping) && ping.opinion == contract::Opinion::up;
}

/// What a session tells of who the server is.
inline auto life_of(const contract::Ping& ping) { return std::pair{ping.started_at, ping.crashed_at}; }

}  // namespace pgpulse::support
