#pragma once

#include "consul-bridge/documents.hpp"
#include "consul-bridge/transaction.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace pgpulse::support {

/// The contents of a Consul as plain data, for tests of the bridge's pure core: does to them what `PUT
/// /v1/txn` does, so far as a bridge uses it. What it claims of Consul is checked against a real one in
/// tests/integration.
class ConsulModel {
  public:
    /// All operations or none, as Consul does it; answers as Consul does.
    consul_bridge::TransactionOutcome execute(const std::string& body);

    /// What a bridge reads: nodes that pgpulse manages, and every value below "health/", and the keys of
    /// these targets at the root.
    [[nodiscard]] consul_bridge::Snapshot everything() const;
    /// These targets, whoever made their nodes.
    [[nodiscard]] consul_bridge::Snapshot read(const std::vector<std::string>& targets) const;

    /// Somebody else's hand.
    consul_bridge::Held& at(const std::string& target) { return contents_[target]; }
    std::uint64_t next_index() { return ++index_; }

    /// Operations done in all; guards are none.
    [[nodiscard]] std::size_t writes() const { return writes_; }
    /// Writes that changed nothing.
    [[nodiscard]] std::size_t idle_writes() const { return idle_writes_; }

  private:
    consul_bridge::Snapshot contents_;
    std::uint64_t index_ = 0;
    std::size_t writes_ = 0;
    std::size_t idle_writes_ = 0;
};

}  // namespace pgpulse::support
