#pragma once

#include "common/contract/target.hpp"
#include "common/nats/connection.hpp"

#include <memory>
#include <string>

namespace pgpulse::support {

/// A connection to the NATS server, where the bucket of targets is made if it is not there, of so many
/// replicas. Throws std::runtime_error with what NATS says.
std::unique_ptr<nats::Connection> connect_with_targets_bucket(const std::string& url, int replicas = 1);

/// Puts a definition into the bucket, as an operator does. Throws std::runtime_error when it cannot be sent.
void put_target(nats::Connection& connection, const contract::TargetDefinition& target);

}  // namespace pgpulse::support
