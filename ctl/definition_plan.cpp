#include "ctl/definition_plan.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>
#include <utility>

namespace pgpulse::ctl {
namespace {

using nlohmann::ordered_json;
using Kind = DefinitionChange::Kind;

std::string shown(const ordered_json& object, const std::string& key) {
    const auto found = object.find(key);
    if (found == object.end()) return "none";
    return found->is_string() ? found->get<std::string>() : found->dump();
}

/// What differs between two definitions, key by key.
std::vector<std::string> differences(const ordered_json& before, const ordered_json& after) {
    std::vector<std::string> found;
    const auto compare = [&](const std::string& key) {
        const std::string old_value = shown(before, key);
        const std::string new_value = shown(after, key);
        if (old_value != new_value) found.push_back(key + ": " + old_value + " -> " + new_value);
    };
    for (const auto& member : after.items()) compare(member.key());
    for (const auto& member : before.items()) {
        if (!after.contains(member.key())) compare(member.key());
    }
    return found;
}

/// As the contract writes it, so that only what matters differs.
ordered_json normal_form(const contract::StoredDefinition& stored) {
    return ordered_json::parse(contract::encode(stored));
}

/// A maintenance that was begun by `pgpulse maintenance` is no file's to end by saying nothing of it.
void keep_maintenance(const HeldDefinition& held, contract::TargetDefinition& definition) {
    if (definition.maintenance_until) return;
    const auto stored = contract::decode_definition(definition.name, held.value);
    if (!stored || !stored->definition.maintenance_until) return;
    definition.maintenance_until = stored->definition.maintenance_until;
    const std::string key{kMaintenanceReason};
    const auto reason = stored->definition.meta.find(key);
    if (reason != stored->definition.meta.end()) definition.meta.try_emplace(key, reason->second);
}

}  // namespace

DefinitionPlan plan_apply(const std::vector<contract::TargetDefinition>& wanted, const HeldDefinitions& held,
                          bool prune) {
    DefinitionPlan plan;
    std::set<std::string> named;
    for (const contract::TargetDefinition& in_file : wanted) {
        contract::TargetDefinition definition = in_file;
        named.insert(definition.name);
        DefinitionChange change;
        change.name = definition.name;
        const auto known = held.find(definition.name);
        change.kind = known == held.end() || known->second.value.empty() ? Kind::create : Kind::change;
        if (change.kind == Kind::change) keep_maintenance(known->second, definition);
        change.value = contract::encode({definition, contract::WrittenBy::operator_});
        if (known != held.end()) change.expected = known->second.revision;
        if (change.kind == Kind::change) {
            const auto stored = contract::decode_definition(definition.name, known->second.value);
            if (stored)
                change.details = differences(normal_form(*stored), ordered_json::parse(change.value));
            else
                change.details.emplace_back("what is stored is no definition: " + stored.error());
            if (change.details.empty()) {
                ++plan.unchanged;
                continue;
            }
        }
        plan.changes.push_back(std::move(change));
    }
    for (const auto& [name, known] : held) {
        if (!prune || known.value.empty() || named.contains(name)) continue;
        plan.changes.push_back(plan_removal(name, known));
    }
    std::ranges::stable_sort(plan.changes, {}, &DefinitionChange::name);
    return plan;
}

DefinitionChange plan_removal(const std::string& name, const HeldDefinition& held) {
    return {Kind::remove, name, {}, {}, held.revision};
}

DefinitionChange plan_edit(const std::string& name, const HeldDefinition& held, std::string_view members) {
    const auto before = ordered_json::parse(held.value);
    ordered_json after = before;
    after.merge_patch(ordered_json::parse(members));
    if (const auto meta = after.find("meta"); meta != after.end() && meta->empty()) after.erase("meta");
    std::vector<std::string> details = differences(before, after);
    after["written_by"] = "operator";
    return {Kind::change, name, std::move(details), after.dump(), held.revision};
}

std::string as_targets_file(const std::vector<contract::StoredDefinition>& definitions) {
    ordered_json targets = ordered_json::array();
    for (const contract::StoredDefinition& stored : definitions) {
        ordered_json target = normal_form(stored);
        target.erase("v");
        target.erase("written_by");
        targets.push_back(std::move(target));
    }
    return ordered_json{{"targets", std::move(targets)}}.dump(2);
}

std::string in_words(const DefinitionChange& change) {
    switch (change.kind) {
        case Kind::create:
            return "+ " + change.name;
        case Kind::remove:
            return "- " + change.name;
        case Kind::change:
            break;
    }
    std::string words = "~ " + change.name;
    for (std::size_t i = 0; i < change.details.size(); ++i)
        words += (i == 0 ? ": " : ", ") + change.details[i];
    return words;
}

}  // namespace pgpulse::ctl
