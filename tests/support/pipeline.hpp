#pragma once

#include "common/nats/connection.hpp"
#include "tests/support/bucket_ledger.hpp"
#include "tests/support/consul_agent.hpp"
#include "tests/support/consul_watch.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/temp_dir.hpp"

#include <memory>
#include <string>

namespace pgpulse::support {

/// The whole pipeline on real servers: nats-server, Consul, PostgreSQL `db1` and `db2`, the three daemons,
/// and the readers that users have: a bucket reader, `consul watch` of the check and of the key of `db1`.
class Pipeline {
  public:
    /// Starts everything and waits until both targets are up everywhere; throws std::runtime_error with the
    /// logs where they do not get there.
    Pipeline();

    NatsServer nats;
    ConsulAgent consul;
    PostgresServer db1;
    PostgresServer db2;
    std::unique_ptr<nats::Connection> reader;
    std::unique_ptr<BucketLedger> ledger;
    std::unique_ptr<Daemon> probe;
    std::unique_ptr<Daemon> aggregator;
    std::unique_ptr<Daemon> bridge;
    std::unique_ptr<ConsulWatch> check_watch;
    std::unique_ptr<ConsulWatch> key_watch;

    /// What Consul's KV value of the target says of its `state`; empty where there is no such key, or Consul
    /// does not answer.
    [[nodiscard]] std::string kv_state(const std::string& target) const;
    /// The transition the KV value tells of; 0 where there is none.
    [[nodiscard]] std::uint64_t kv_transition(const std::string& target) const;
    /// The status of the target's check; empty where there is none, or Consul does not answer.
    [[nodiscard]] std::string check(const std::string& target) const;
    /// Bucket, KV key and check all say so: state "up" or "down".
    [[nodiscard]] bool agree(const std::string& target, const std::string& state) const;
    /// As `agree`, waited for.
    [[nodiscard]] bool agree_soon(const std::string& target, const std::string& state) const;
    /// Each transition of the target is one more than the one before it: none written twice, none left out.
    [[nodiscard]] bool counted_without_gap(const std::string& target) const;
    /// All daemons' logs, for messages.
    [[nodiscard]] std::string logs() const;

  private:
    TempDir folder_;
};

}  // namespace pgpulse::support
