#include "consul-bridge/difference.hpp"

#include <algorithm>

namespace pgpulse::consul_bridge {
namespace {

bool is_ours(const Held::HeldNode& held) {
    const auto it = held.node.meta.find(std::string{kManagedByKey});
    return it != held.node.meta.end() && it->second == kManagedByValue;
}

bool is_foreign_value(const Held& held) {
    // With our node there, the key is ours too and somebody spoilt its value.
    return held.value && !held.value->stamp && !held.node;
}

const Check* find(const std::vector<Check>& checks, const std::string& id) {
    const auto it = std::ranges::find(checks, id, &Check::id);
    return it == checks.end() ? nullptr : &*it;
}

}  // namespace

Difference to_register(const std::string& target, const std::string& key, const Documents& wanted,
                       const Held& held, const std::optional<Stamp>& outlived) {
    if (held.node && !is_ours(*held.node)) return {{}, Obstacle::foreign_node};
    if (is_foreign_value(held)) return {{}, Obstacle::foreign_value};
    if (held.value && held.value->stamp && held.value->stamp != outlived) {
        const Stamp& there = *held.value->stamp;
        if (there.epoch != wanted.stamp.epoch) return {{}, Obstacle::other_epoch};
        if (there.revision > wanted.stamp.revision) return {{}, Obstacle::newer_value};
    }

    std::vector<Operation> catalog;
    if (!held.node || held.node->node != wanted.node) {
        catalog.emplace_back(PutNode{target, wanted.node, held.node ? held.node->index : 0});
    }
    if (held.service != wanted.service) catalog.emplace_back(PutService{target, wanted.service});
    for (const Check& check : wanted.checks) {
        const Check* there = find(held.checks, check.id);
        if (there == nullptr || *there != check) catalog.emplace_back(PutCheck{target, check});
    }
    for (const Check& check : held.checks) {
        if (find(wanted.checks, check.id) == nullptr) catalog.emplace_back(DeleteCheck{target, check.id});
    }

    Difference difference;
    if (!held.value || held.value->value != wanted.value) {
        difference.operations.emplace_back(
            PutValue{key, wanted.value, wanted.stamp, held.value ? held.value->index : 0});
    } else if (!catalog.empty()) {
        difference.operations.emplace_back(GuardValue{key, held.value->index});
    }
    std::ranges::move(catalog, std::back_inserter(difference.operations));
    return difference;
}

Difference to_deregister(const std::string& target, const std::string& key, const Held& held) {
    Difference difference;
    if (held.node && !is_ours(*held.node)) return difference;
    if (held.value && !is_foreign_value(held)) {
        difference.operations.emplace_back(DeleteValue{key, held.value->index});
    }
    if (held.node) difference.operations.emplace_back(DeleteNode{target, held.node->index});
    return difference;
}

}  // namespace pgpulse::consul_bridge
