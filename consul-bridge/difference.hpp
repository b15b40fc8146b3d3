#pragma once

#include "consul-bridge/documents.hpp"
#include "consul-bridge/operation.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgpulse::consul_bridge {

/// Why nothing is written although Consul says something else.
enum class Obstacle {
    none,
    foreign_node,   // a node of this name that pgpulse did not make
    foreign_value,  // a KV value at this key that pgpulse did not write
    newer_value,    // Consul holds a later revision of the same bucket
    other_epoch,    // Consul holds a value of another epoch, which may be the later one
    foreign_root,   // the key of the target's name at the root is another's: all but that key is written
};

/// What has to be written, and nothing that is so already. With an obstacle there are no operations, but for
/// `foreign_root`.
struct Difference {
    std::vector<Operation> operations;  // in the order in which Consul must see them
    Obstacle obstacle = Obstacle::none;
};

/// Makes Consul say `wanted`. Every such list begins with an operation on the KV key, which refuses the whole
/// if another writer came first. `key`: the target's KV key. `outlived`: the
/// stamp of a value that the bucket is known not to hold any more.
Difference to_register(const std::string& target, const std::string& key, const Documents& wanted,
                       const Held& held, const std::optional<Stamp>& outlived = {});

/// Takes the target out of Consul: its node with all that hangs on it, and its KV keys; only what is ours.
Difference to_deregister(const std::string& target, const std::string& key, const Held& held);

}  // namespace pgpulse::consul_bridge
