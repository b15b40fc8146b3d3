#pragma once

#include "consul-bridge/contact.hpp"
#include "consul-bridge/missing_right.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace pgpulse::consul_bridge {

/// The targets of which Consul denies the bridge something, when they are tried again, and what is said of it.
/// A right is given by a person, so a hundred thousand targets that lack it cost a transaction every few
/// seconds and a line a minute; once one of them is allowed, all are tried. Pure.
class Denials {
  public:
    static constexpr std::chrono::milliseconds kRetry{5000};
    /// Tried together: what fits one transaction.
    static constexpr std::size_t kAtOnce = 16;
    /// What was denied at first is counted for so long before it is said.
    static constexpr std::chrono::milliseconds kGather{1000};
    static constexpr std::chrono::milliseconds kSayAgain{60'000};

    struct Line {
        bool warning = true;
        std::string text;
    };

    /// A transaction was refused because the token lacks this right. The target waits until `due` names it; of
    /// several rights in one transaction `target` is given several times.
    void deny(const std::string& target, const MissingRight& right, Mono now);

    /// The target is as it shall be, or no longer cared for. `written`: by a transaction that was committed.
    void settle(const std::string& target, bool written);

    /// The targets that are to be tried now; they wait no longer.
    std::vector<std::string> due(Mono now);

    /// What is to be logged now.
    std::vector<Line> lines(Mono now);

    /// When there is something due or to be said; empty: never, as it is.
    [[nodiscard]] std::optional<Mono> next() const;

    /// Targets of which something is denied.
    [[nodiscard]] std::size_t size() const { return targets_.size(); }

  private:
    static constexpr std::size_t kResources = 3;

    struct Denied {
        std::array<bool, kResources> lacks{};
        bool waits = false;
    };
    /// What is said of one resource.
    struct Account {
        std::size_t targets = 0;
        MissingRight example;
        std::optional<Mono> say_at;
        bool told = false;
    };

    void forget(Denied& denied);

    std::unordered_map<std::string, Denied> targets_;
    std::deque<std::string> waiting_;  // the one that waits longest first; may name some that wait no more
    std::array<Account, kResources> accounts_;
    Mono retry_at_{};
    bool try_all_ = false;
};

}  // namespace pgpulse::consul_bridge
