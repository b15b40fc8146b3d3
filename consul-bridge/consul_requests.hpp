#pragma once

#include "consul-bridge/consul_client.hpp"
#include "consul-bridge/documents.hpp"
#include "consul-bridge/transaction.hpp"

#include <tl/expected.hpp>

#include <string>
#include <string_view>
#include <vector>

// What a bridge asks of Consul. Each call blocks until it is answered.
namespace pgpulse::consul_bridge {

TransactionOutcome send_transaction(ConsulClient& client, const std::string& body);

/// Every node that pgpulse manages with its service and checks, every KV value below `prefix`, and what else
/// `compat` has of these targets. Not one point in time. Consul that asks for fewer requests (429) is asked ten times
/// before that is the error.
tl::expected<Snapshot, Unreachable> read_everything(ConsulClient& client, std::string_view prefix,
                                                    Compat compat = Compat::none);

/// These targets, whoever made their nodes. What Consul denies to read looks as if it were not there.
tl::expected<Snapshot, Unreachable> read_targets(ConsulClient& client, std::string_view prefix,
                                                 const std::vector<std::string>& targets,
                                                 Compat compat = Compat::none);

}  // namespace pgpulse::consul_bridge
