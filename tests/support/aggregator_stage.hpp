#pragma once

#include "common/contract/vocabulary.hpp"
#include "common/nats/connection.hpp"
#include "tests/support/bucket_ledger.hpp"
#include "tests/support/chorus.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/told_states.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace pgpulse::support {

/// Who of a stage finds NATS where: URLs.
struct AggregatorStagePlaces {
    std::string readers;
    std::array<std::string, 3> workers;
    std::map<std::string, std::string> aggregators;  // by id; whoever is not named has the readers' place
    int replicas = 1;                                // of each bucket
};

/// As many real aggregators as a test starts; three workers, whom the test plays, agree on what each of `targets` is. It
/// keeps the ledger of what they came to agree on, which the bucket `health` and the messages on `health.state.>` have
/// to equal.
class AggregatorStage {
  public:
    AggregatorStage(int targets, AggregatorStagePlaces places);

    /// Starts them as far as they do not run, and waits until each serves with all others. False at the deadline.
    [[nodiscard]] bool start(const std::vector<std::string>& ids);
    [[nodiscard]] Daemon& aggregator(const std::string& id) { return *aggregators_.at(id); }
    /// Those that were started, whether they run or not.
    [[nodiscard]] const std::map<std::string, std::unique_ptr<Daemon>>& aggregators() const {
        return aggregators_;
    }
    /// How many pings of observers the aggregator has counted in this life.
    [[nodiscard]] double counted(const std::string& id) const;
    /// Partitions that the aggregator tallies: as "first", as "second".
    [[nodiscard]] double partitions(const std::string& id, const std::string& rank) const;

    /// The workers hold the target up from now on, or the contrary of what they held: one entry of the ledger.
    void flip(const std::string& target);
    void flip_all();
    /// The workers hold the target so from now on.
    void hold(const std::string& target, contract::Opinion opinion, const Chorus::More& more = {});
    /// Waits until every worker said all so often from now on; false at the default deadline.
    [[nodiscard]] bool sing(std::size_t rounds) const;
    /// The target's newest message on `health.state.>` is the ledger's newest entry; of several replicas the bucket's
    /// newest entry, since a leader that dies may have stored what it did not tell.
    [[nodiscard]] bool shown(const std::string& target) const;
    [[nodiscard]] bool all_shown() const;
    /// Waits for it.
    [[nodiscard]] bool all_shown_soon() const;
    /// How many of these are.
    [[nodiscard]] std::size_t shown(const std::vector<std::string>& targets) const;

    /// What the bucket says otherwise than the ledger, a line for each target; empty where it is the same.
    [[nodiscard]] std::string stored_otherwise() const;
    /// The same of the messages: only where the subscriber heard all of them.
    [[nodiscard]] std::string told_otherwise() const;

    /// All aggregators' logs, for messages.
    [[nodiscard]] std::string logs() const;

    std::unique_ptr<nats::Connection> readers;
    std::vector<std::string> targets;
    std::map<std::string, std::vector<contract::Health>> ledger;
    std::unique_ptr<ToldStates> told;

  private:
    const AggregatorStagePlaces places_;
    std::unique_ptr<BucketLedger> bucket_;  // of several replicas alone
    std::vector<std::unique_ptr<nats::Connection>> workers_;
    // Each by itself: none waits for another's server.
    std::vector<std::unique_ptr<Chorus>> choruses_;
    std::map<std::string, std::unique_ptr<Daemon>> aggregators_;

    [[nodiscard]] std::string otherwise(const std::vector<ToldState>& found) const;
};

/// What a OneServerStage stands on.
struct OneServer {
    OneServer();
    const std::uint16_t monitor;  // the server's own, over HTTP
    NatsServer nats;
};

/// The stage beside one real nats-server.
class OneServerStage : public OneServer, public AggregatorStage {
  public:
    explicit OneServerStage(int targets);

    /// How many subscribers there are to the pings of each partition, as the NATS server tells.
    [[nodiscard]] std::vector<std::size_t> subscribers_by_partition() const;
};

}  // namespace pgpulse::support
