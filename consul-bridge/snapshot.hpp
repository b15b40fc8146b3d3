#pragma once

#include "consul-bridge/documents.hpp"

#include <tl/expected.hpp>

#include <string>
#include <string_view>
#include <vector>

// What Consul's read interfaces answer, as a snapshot. Pure.
namespace pgpulse::consul_bridge {

/// Empty, or one line that says what was not understood.
using Parsed = tl::expected<void, std::string>;

/// `GET /v1/kv/<prefix>?recurse`. Keys that are no target's are left out.
Parsed add_values(std::string_view body, std::string_view prefix, Snapshot& to);

/// `GET /v1/catalog/nodes`
Parsed add_nodes(std::string_view body, Snapshot& to);

/// `GET /v1/health/state/any`: the checks that a bridge may have written.
Parsed add_checks(std::string_view body, Snapshot& to);

/// The results of a transaction of the operations below. A key that is a target's name is the one at the root.
Parsed add_results(std::string_view body, std::string_view prefix, Snapshot& to);

/// Operations that read the service instance of each of these nodes.
std::vector<std::string> reads_of_services(const std::vector<std::string>& nodes);

/// Operations that read the key of each of these targets at the root.
std::vector<std::string> reads_of_roots(const std::vector<std::string>& targets);

/// Operations that read all of one target: KV value, node, service, checks, and the key at the root where
/// `compat` has one.
std::vector<std::string> reads_of_target(const std::string& target, std::string_view prefix,
                                         Compat compat = Compat::none);

}  // namespace pgpulse::consul_bridge
