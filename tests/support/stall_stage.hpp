#pragma once

#include "common/contract/state.hpp"
#include "common/nats/connection.hpp"
#include "tests/support/coverage_ledger.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/distance.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/pgbouncer.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/settable_clock.hpp"
#include "tests/support/told_states.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace pgpulse::support {

/// What is asked of a StallStage's workers.
struct StallStageOptions {
    int targets = 200;
    std::chrono::milliseconds interval{2000};
    std::uint32_t rise = 2;
    std::uint32_t fall = 3;
    /// The stage's clock is that of half of the workers and of one aggregator.
    bool settable_clock = false;
};

/// Healthy targets, eight real workers that observe them, three a target, and two real aggregators: for tests which
/// stop any of them, and then ask what was said of the targets. Every ping is under way for 60 or 120 ms of its 500,
/// so that a stop always meets some.
///
/// A machine that gave a target no processor is no fault of whoever said so: the stage keeps a book of that.
class StallStage {
  public:
    static constexpr int kWorkers = 8;
    static constexpr std::uint32_t kObservers = 3;
    static constexpr int kAggregators = 2;

    explicit StallStage(const StallStageOptions& options = {});

    /// Starts the daemons, with `more` flags for the workers, and waits until all is well; false at the deadline.
    [[nodiscard]] bool start(const std::vector<std::string>& more = {});
    /// Waits until every target is held up by all of its observers, every worker is one, the aggregators have told
    /// that every target is up, and the burst of first pings, in which a loaded machine lets some time out, is over.
    [[nodiscard]] bool all_is_well();

    /// What was said against targets since then, less what was so: a target that was late on a machine without a
    /// processor for it was not healthy then. That is known once the wait is over, so it ends a while ago.
    [[nodiscard]] std::vector<contract::Ping> accusations(std::int64_t since);

    /// The entries of the bucket `health` which say that a target is not up, less those that rest on pings which said
    /// what was so. Of those above a revision.
    [[nodiscard]] std::vector<contract::State> false_states(std::uint64_t above);
    /// The revision of the newest entry.
    [[nodiscard]] std::uint64_t revision() const;

    /// Stops so many workers for so long, each time the next ones in turn; then lets the interval pass. Ends early
    /// where a target is accused, and is true then.
    bool stop_workers(std::size_t count, std::chrono::milliseconds stop, std::chrono::milliseconds interval,
                      std::int64_t since);

    /// All daemons' logs, for messages.
    [[nodiscard]] std::string logs() const;

    NatsServer nats;
    PostgresServer postgres{{.auth = PostgresAuth::scram}};
    PgBouncer pooler;
    Distance to_postgres;
    Distance to_pooler;
    SettableClock clock;
    std::unique_ptr<nats::Connection> connection;
    std::unique_ptr<CoverageLedger> ledger;
    std::unique_ptr<ToldStates> told;
    std::vector<std::unique_ptr<Daemon>> workers;
    std::vector<std::unique_ptr<Daemon>> aggregators;

  private:
    const StallStageOptions options_;
    std::size_t next_ = 0;  // to be stopped

    void define(int number) const;
    bool accused_within(std::chrono::milliseconds time, std::int64_t since);
};

/// A line for each state, for messages: the first ones, and how many there are.
std::string shown(const std::vector<contract::State>& states);

}  // namespace pgpulse::support
