#pragma once

#include "consul-bridge/documents.hpp"

#include <string>
#include <string_view>
#include <vector>

// The key of a target's name at the root of Consul's KV store, as the watch handler of
// kiwicopple/consul-postgres wrote it: {"updated_at": "02/01/2026 14:03:11", "payload": [CHECK, ...]}. Pure.
namespace pgpulse::consul_bridge {

/// `decided_at` in UTC, and the checks as `consul watch -type=checks` gives them to a handler, but for
/// CreateIndex and ModifyIndex, which Consul gives only once they are written. Valid JSON whatever the checks
/// carry.
std::string root_value(std::string_view target, contract::WallTime decided_at,
                       const std::vector<Check>& checks);

/// Whose value it is, by its form alone. The old pipeline's need not be valid JSON: its handler lost the
/// backslashes of what it was given.
RootAuthor author_of_root_value(std::string_view target, std::string_view value);

}  // namespace pgpulse::consul_bridge
