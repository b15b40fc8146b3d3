#pragma once

#include "common/contract/ping.hpp"
#include "common/contract/state.hpp"
#include "common/contract/target.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

// Pure: why a target's state is what it is, by the aggregators' own table of rules (aggregator/rules.hpp).
namespace pgpulse::ctl {

/// One of a target's observers, by rank.
struct Observer {
    std::string worker;
    std::optional<contract::Ping> ping;  // empty: it did not answer
    std::chrono::milliseconds age{0};    // of the ping
};

/// What is known of a target.
struct TargetFacts {
    contract::StoredDefinition stored;
    std::optional<contract::State> state;  // empty: none was decided yet
    std::uint64_t revision = 0;            // of the state in the bucket `health`
    contract::WallTime epoch{};            // when that bucket's stream was created
    std::vector<Observer> observers;
    std::vector<std::string> aggregators;  // who decide: the first of the target's partition, then the second
    std::string bridge;                    // who writes it into Consul; empty: nobody
};

/// The rule that decides on what the observers said last.
struct RuleShown {
    std::string name;
    std::string because;
    std::string ruling;  // "up", "down", "unknown", "the state stays"
};
RuleShown deciding_rule(const TargetFacts& facts);

/// What would have to be heard for another state, a line each: "down: 2 of its 3 observers say so".
std::vector<std::string> what_would_change_it(const TargetFacts& facts);

/// How long an observer's word stands without a new ping.
std::chrono::milliseconds freshness(const contract::TargetDefinition& definition);

/// What Consul is told of it, a line each.
std::vector<std::string> as_consul_shows_it(const TargetFacts& facts);

}  // namespace pgpulse::ctl
