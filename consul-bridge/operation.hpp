#pragma once

#include "consul-bridge/documents.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

// The operations of a Consul transaction that a bridge uses.
namespace pgpulse::consul_bridge {

/// KV `cas`: stores the value where the key's index is still `expected`; 0: where there is no such key.
struct PutValue {
    std::string key;
    std::string value;
    Stamp stamp;
    std::uint64_t expected = 0;
};

/// KV `check-index`: refuses the transaction where the key's index is another.
struct GuardValue {
    std::string key;
    std::uint64_t expected = 0;
};

/// KV `delete-cas`.
struct DeleteValue {
    std::string key;
    std::uint64_t expected = 0;
};

/// KV `cas` of the key of the target's name at the root; `expected` as above.
struct PutRoot {
    std::string target;
    std::string value;
    std::uint64_t expected = 0;
};

/// KV `delete-cas` of that key.
struct DeleteRoot {
    std::string target;
    std::uint64_t expected = 0;
};

/// Node `cas`; 0 creates, and is refused where a node of that name exists.
struct PutNode {
    std::string name;
    Node node;
    std::uint64_t expected = 0;
};

/// Node `delete-cas`; its services and checks go with it.
struct DeleteNode {
    std::string name;
    std::uint64_t expected = 0;
};

/// Service `set`, of the instance whose id is the node's name.
struct PutService {
    std::string node;
    Service service;
};

/// Check `set`.
struct PutCheck {
    std::string node;
    Check check;
};

/// Check `delete`.
struct DeleteCheck {
    std::string node;
    std::string id;
};

using Operation = std::variant<PutValue, GuardValue, DeleteValue, PutRoot, DeleteRoot, PutNode, DeleteNode,
                               PutService, PutCheck, DeleteCheck>;

/// The operation as one element of the body of `PUT /v1/txn`.
std::string encode(const Operation& operation);

/// For a log: "KV key 'health/db1'", "check 'db1-isready'".
std::string name_of(const Operation& operation);

/// What is held once the operation is done. `index` is the new ModifyIndex of the key or node.
void apply(const Operation& operation, std::uint64_t index, Held& held);

}  // namespace pgpulse::consul_bridge
