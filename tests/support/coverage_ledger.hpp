#pragma once

#include "common/contract/ping.hpp"
#include "common/nats/subscription.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace pgpulse::support {

/// Milliseconds of the monotonic clock, which all processes of one machine share: `mono_ms` of a ping.
std::int64_t mono_ms();

/// Whether a ping says that its target fails and means it: what an opinion counts as a failure.
bool is_counted_failure(const contract::Ping& ping);

/// Which worker pinged which target when and with what result, from the pings on NATS.
class CoverageLedger {
  public:
    using Owners = std::map<std::string, std::set<std::string>>;

    /// A worker that has not pinged a target for `fresh` does not observe it.
    CoverageLedger(nats::Connection& connection, std::chrono::milliseconds fresh);

    /// Of each target the workers that pinged it lately.
    Owners owners();
    /// Of each target the workers whose opinion in a late ping is `up`.
    Owners holding_up();

    /// The longest time in which nobody pinged the target: from its last ping before then on.
    std::int64_t longest_gap(const std::string& target, std::int64_t since);

    std::size_t pings(const std::string& target, const std::string& worker);
    std::optional<contract::Ping> newest(const std::string& target, const std::string& worker);

    /// How long before the worker's newest ping of the target the one before it ended; 0 where there is none.
    std::int64_t newest_distance(const std::string& target, const std::string& worker);

    /// The number of the worker's newest ping, of whichever target.
    std::uint64_t newest_seq(const std::string& worker);

    /// When the worker's first ping of the target ended that nobody answered.
    std::optional<std::int64_t> first_failure(const std::string& target, const std::string& worker);

    /// How many pings were heard, of all targets and workers.
    std::size_t pings();
    /// Those that ended in this verdict.
    std::size_t pings(contract::Verdict verdict);

    /// The pings that ended since then and count as a failure of their target, or hold it `down`.
    std::vector<contract::Ping> accusations(std::int64_t since);

  private:
    using Pair = std::pair<std::string, std::string>;

    const std::chrono::milliseconds fresh_;
    std::mutex mutex_;
    std::map<std::string, std::uint64_t> newest_seq_;
    std::map<Pair, std::int64_t> first_failures_;
    std::map<std::string, std::vector<std::int64_t>> times_;
    std::map<Pair, std::size_t> counts_;
    std::map<Pair, contract::Ping> last_;
    std::map<Pair, std::int64_t> distances_;
    std::map<contract::Verdict, std::size_t> verdicts_;
    std::vector<contract::Ping> accusations_;
    std::unique_ptr<nats::Subscription> subscription_;

    template <typename Predicate>
    Owners late_pingers(Predicate&& counts);
    void take(const nats::Message& message);
};

/// A line for each ping, for messages: the first ones, and how many there are.
std::string shown(const std::vector<contract::Ping>& pings);

}  // namespace pgpulse::support
