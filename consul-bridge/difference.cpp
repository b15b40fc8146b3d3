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

    Difference difference;
    std::vector<Operation> rest;
    if (wanted.root_value && held.root && held.root->author == RootAuthor::other) {
        difference.obstacle = Obstacle::foreign_root;
    } else if (wanted.root_value && (!held.root || held.root->value != *wanted.root_value)) {
        rest.emplace_back(PutRoot{target, *wanted.root_value, held.root ? held.root->index : 0});
    }
    if (!held.node || held.node->node != wanted.node) {
        rest.emplace_back(PutNode{target, wanted.node, held.node ? held.node->index : 0});
    }
    if (held.service != wanted.service) rest.emplace_back(PutService{target, wanted.service});
    for (const Check& check : wanted.checks) {
        const Check* there = find(held.checks, check.id);
        if (there == nullptr || *there != check) rest.emplace_back(PutCheck{target, check});
    }
    for (const Check& check : held.checks) {
        if (find(wanted.checks, check.id) == nullptr) rest.emplace_back(DeleteCheck{target, check.id});
    }

    if (!held.value || held.value->value != wanted.value) {
        difference.operations.emplace_back(
            PutValue{key, wanted.value, wanted.stamp, held.value ? held.value->index : 0});
    } else if (!rest.empty()) {
        difference.operations.emplace_back(GuardValue{key, held.value->index});
    }
    std::ranges::move(rest, std::back_inserter(difference.operations));
    return difference;
}

Difference to_deregister(const std::string& target, const std::string& key, const Held& held) {
    Difference difference;
    if (held.node && !is_ours(*held.node)) return difference;
    if (held.value && !is_foreign_value(held)) {
        difference.operations.emplace_back(DeleteValue{key, held.value->index});
    }
    if (held.root && held.root->author == RootAuthor::bridge) {
        difference.operations.emplace_back(DeleteRoot{target, held.root->index});
    }
    if (held.node) difference.operations.emplace_back(DeleteNode{target, held.node->index});
    return difference;
}

}  // namespace pgpulse::consul_bridge
