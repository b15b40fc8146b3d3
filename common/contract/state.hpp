#pragma once

#include "common/contract/refusal.hpp"
#include "common/contract/vocabulary.hpp"
#include "common/contract/wall_time.hpp"

#include <tl/expected.hpp>

#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgpulse::contract {

/// One voter's last word, as it stood when a transition was decided.
struct Evidence {
    std::string worker;
    std::string site;  // empty: none
    Opinion opinion = Opinion::undecided;
    Verdict verdict = Verdict::inconclusive;
    Reason reason = Reason::ok;
    std::string sqlstate;  // empty: none
    std::optional<std::int64_t> rtt_us;
    WallTime at{};

    bool operator==(const Evidence&) const = default;
};

/// A target's state: the value of its key in the bucket `health`, and the message on `health.state.<target>`.
/// Each value is one transition.
struct State {
    std::string target;
    Health state = Health::unknown;
    WallTime since{};                // when `state` took this value
    std::uint64_t transition = 0;    // counts the target's transitions from 1
    std::optional<Health> previous;  // `state` before this transition; empty in the first
    Reason reason = Reason::ok;
    std::optional<Role> role;
    std::optional<bool> writable;
    std::optional<WallTime> started_at;
    std::optional<WallTime> crashed_at;
    std::uint64_t restarts = 0;
    bool maintenance = false;
    std::optional<WallTime> maintenance_until;  // the definition's; with `maintenance` false it is over
    std::vector<std::string> conflicts_with;    // sorted
    bool role_unexpected = false;               // `role` is not the definition's `expect_role`
    std::bitset<kChanges> changed;              // what this transition changed, by `Change`
    std::vector<Evidence> evidence;             // the voters, by worker
    std::string decided_by;                     // the aggregator's id
    WallTime decided_at{};

    bool operator==(const State&) const = default;
};

/// The state as JSON. Empty optional fields are left out.
std::string encode(const State& state);

/// Reads the value of the key `target` of `health`. Unknown fields are ignored.
tl::expected<State, Refusal> decode_state(std::string_view target, std::string_view value);

}  // namespace pgpulse::contract
