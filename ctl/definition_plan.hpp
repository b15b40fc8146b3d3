#pragma once

#include "common/contract/target.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

// Pure: what an operator's word changes in the bucket `health_targets`.
namespace pgpulse::ctl {

/// The key of a definition's `meta`, and so of the service's in Consul, that says why it is under maintenance.
inline constexpr std::string_view kMaintenanceReason = "maintenance-reason";

/// What the bucket holds under a key.
struct HeldDefinition {
    std::string value;           // empty: a delete marker
    std::uint64_t revision = 0;  // of the value or the marker
};
using HeldDefinitions = std::map<std::string, HeldDefinition>;

struct DefinitionChange {
    enum class Kind { create, change, remove };

    Kind kind = Kind::change;
    std::string name;
    std::vector<std::string> details;  // of a change: "port: 5432 -> 5433"
    std::string value;                 // what is to be stored; empty: a delete marker
    std::uint64_t expected = 0;        // the key's revision until then; 0: none
};

struct DefinitionPlan {
    std::vector<DefinitionChange> changes;  // by name
    std::size_t unchanged = 0;
};

/// What brings the definitions into the bucket as an operator's. `prune`: what is not among them is removed.
DefinitionPlan plan_apply(const std::vector<contract::TargetDefinition>& wanted, const HeldDefinitions& held,
                          bool prune);

/// Removes a target that is held.
DefinitionChange plan_removal(const std::string& name, const HeldDefinition& held);

/// Sets members of a stored definition, of which null takes one away (RFC 7396), and makes it an operator's; what this
/// program does not know of it stays. No details: nothing is to be changed. `members` is a JSON object, `held` a value that is a definition.
DefinitionChange plan_edit(const std::string& name, const HeldDefinition& held, std::string_view members);

/// The definitions as a targets file, from which `apply` makes the same ones again.
std::string as_targets_file(const std::vector<contract::StoredDefinition>& definitions);

/// "+ db1", "~ db2: port: 5432 -> 5433", "- db3".
std::string in_words(const DefinitionChange& change);

}  // namespace pgpulse::ctl
