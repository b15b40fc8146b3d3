#pragma once

#include "consul-bridge/operation.hpp"

#include <optional>
#include <string>
#include <string_view>

// What a Consul with ACLs says where the bridge's token lacks a right, and the rule that grants it
// (docs/consul-rights.md). Pure.
namespace pgpulse::consul_bridge {

/// The resources of Consul's rules that a bridge writes.
enum class Resource { key, node, service };

struct MissingRight {
    Resource resource = Resource::key;
    std::string deed;  // "writing KV key 'health/db1'"
    std::string rule;  // `key_prefix "health/" { policy = "write" }`

    bool operator==(const MissingRight&) const = default;
};

/// True for Consul's words, of any version, about an operation that the token has no right to.
bool is_denied(std::string_view what);

/// The right that the operation takes. `kv_prefix`: --kv-prefix; a key elsewhere has a rule of its own.
MissingRight right_for(const Operation& operation, std::string_view kv_prefix);

/// What an answer that refuses the whole request says of the token, to be appended to it; empty where the
/// answer is about something else.
std::optional<std::string> fault_of_token(long http_status, std::string_view body);

}  // namespace pgpulse::consul_bridge
