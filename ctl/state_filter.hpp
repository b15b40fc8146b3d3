#pragma once

#include "common/contract/state.hpp"
#include "common/contract/target.hpp"

#include <string>
#include <vector>

// Pure: which targets an operator asked for.
namespace pgpulse::ctl {

struct StateFilter {
    std::vector<std::string> targets;      // only these; empty: all
    std::vector<contract::Health> states;  // only in one of these; empty: all
    std::vector<std::string> services;     // only of one of these; empty: all
    std::vector<std::string> tags;         // only with all of these

    /// Definitions are needed to answer.
    [[nodiscard]] bool by_definition() const { return !services.empty() || !tags.empty(); }

    [[nodiscard]] bool takes_target(const std::string& target) const;
    /// `definition` may be null where not `by_definition()`; a target without one has neither service nor tags.
    [[nodiscard]] bool takes(const contract::State& state,
                             const contract::TargetDefinition* definition) const;
};

}  // namespace pgpulse::ctl
