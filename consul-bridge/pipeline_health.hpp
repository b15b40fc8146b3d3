#pragma once

#include "common/contract/wall_time.hpp"
#include "consul-bridge/contact.hpp"
#include "consul-bridge/documents.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

namespace pgpulse::consul_bridge {

/// What a bridge's own check in Consul is to say.
struct OwnCheck {
    bool passing = false;  // else critical
    std::string output;    // one line; the same words as long as nothing changes

    bool operator==(const OwnCheck&) const = default;
};

/// Whether what this bridge carries to Consul is alive. Pure: what was seen and `now` go in.
///
/// The rules, each tested under its name:
///  hears_and_served   The check passes while this bridge hears itself on NATS and an aggregator serves: rendezvous
///                     hashing gives every partition to one as soon as there is one.
///  reason_with_time   Otherwise it is critical and says why and since when, in words that stand still.
///  after_a_gap        A bridge that was not asked for kLongestGap stood still: for kDeaf it counts as one that does
///                     not hear itself, because what it saw last is old, and that time made nothing stale.
///  stale_after        Targets are stale once nothing new could be known for `stale_after`: no aggregator was alive,
///                     or this bridge did not hear itself.
///  others_carry_on    A bridge that does not hear itself says nothing of targets unless it is known that no other
///                     bridge's check passes, and counts from when one last did. An answer holds for kAnswerHolds.
///  over_at_once       Both end as soon as this bridge hears itself and an aggregator serves.
///  settled_number     The number of targets that the check names follows once it stood still for kSettled.
class PipelineHealth {
  public:
    static constexpr std::chrono::milliseconds kLongestGap{2000};
    static constexpr std::chrono::milliseconds kDeaf{1000};
    static constexpr std::chrono::milliseconds kAnswerHolds{10'000};
    static constexpr std::chrono::milliseconds kSettled{10'000};
    /// A loop that did not turn for so long hangs.
    static constexpr std::chrono::milliseconds kStuck{5000};

    struct Seen {
        bool hears_itself = false;    // MembershipFeed::steady
        std::size_t aggregators = 0;  // that serve, as the members' view has them
        std::size_t targets = 0;      // that this bridge carries
    };

    /// `stale_after`: zero is never.
    PipelineHealth(std::chrono::seconds stale_after, Mono now, contract::WallTime wall);

    /// To be called once a second at least.
    void observe(const Seen& seen, Mono now, contract::WallTime wall);

    /// Consul was asked whether another bridge's check passes.
    void others(bool one_passes, Mono now);

    [[nodiscard]] OwnCheck check() const;

    [[nodiscard]] const std::optional<Stale>& stale() const { return stale_; }

    /// True while it matters what Consul says of the other bridges.
    [[nodiscard]] bool asks_for_others() const;

  private:
    enum class Cause { none, starting, deaf, no_aggregator };

    void count_targets(std::size_t targets, bool began_to_pass, Mono now);
    void judge_staleness(std::chrono::nanoseconds passed, Mono now, contract::WallTime wall);

    std::chrono::nanoseconds stale_after_;
    Mono observed_;  // last
    Mono deaf_until_;
    Cause cause_ = Cause::starting;
    contract::WallTime cause_since_;

    std::chrono::nanoseconds nothing_new_for_{0};
    contract::WallTime nothing_new_since_;
    std::optional<bool> one_passes_;
    Mono answered_{};
    std::optional<Stale> stale_;

    std::size_t targets_ = 0;
    std::size_t counted_ = 0;
    Mono counted_since_;
};

/// What the check is to say for a bridge whose loop last turned at `turned`: where it hangs, nothing of `check` holds.
OwnCheck check_of_loop(OwnCheck check, Mono turned, Mono now, contract::WallTime wall);

}  // namespace pgpulse::consul_bridge
