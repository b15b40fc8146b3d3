#pragma once

#include "aggregator/tally.hpp"
#include "common/contract/ping.hpp"
#include "common/contract/state.hpp"
#include "common/contract/target.hpp"
#include "tests/support/state_bucket_model.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace pgpulse::support {

/// Tallies over one bucket in memory, on one clock, with a network between them that takes its time: pings, writes,
/// answers and what a watch tells arrive after up to `longest_delay`, each kind in its order. Whatever is stored is
/// kept in `stored`.
class AggregatorFleet {
  public:
    using Time = std::chrono::milliseconds;
    using Mono = std::chrono::steady_clock::time_point;

    static constexpr Time kTick{50};

    struct Aggregator {
        Aggregator(const std::string& id, StateBucketModel::Watch& watch) : tally(id), watch(watch) {}
        aggregator::Tally tally;
        aggregator::Tally::Actions actions;
        StateBucketModel::Watch& watch;
        std::multimap<Mono, std::function<void()>> inbox;  // what is on its way to it
        std::map<std::string, Mono> last;                  // of each kind, when the last one arrives
        std::set<std::string> unheard;                     // workers whose pings do not reach it
        bool hears_itself = true;
        Mono stopped_until{};
        std::map<aggregator::Heard, int> heard;
    };

    struct Stored {
        contract::State state;
        std::optional<contract::State> before;  // what the key held
        bool put_back = false;
        std::string by;
        Mono at;
    };

    explicit AggregatorFleet(std::uint32_t seed, Time longest_delay = Time{0})
        : longest_delay(longest_delay), random_(seed) {}

    Time longest_delay;
    aggregator::Now now{Mono{std::chrono::hours{1}}, contract::WallTime{std::chrono::seconds{1'700'000'000}}};
    StateBucketModel bucket;
    std::vector<Stored> stored;
    std::map<std::string, std::unique_ptr<Aggregator>> aggregators;  // those alive
    unsigned writes_fail_of_100 = 0;  // are lost on their way, or their answers are

    /// It reads both buckets. The ranks of all change at once.
    Aggregator& start(const std::string& id);
    void kill(const std::string& id);

    void define(const contract::TargetDefinition& definition);
    void undefine(const std::string& target);
    void members(const std::vector<std::string>& probes);
    void publish(const contract::Ping& ping);
    /// The bucket is read anew by everybody who has not noticed that it is another one.
    void reopen(Aggregator& aggregator);

    /// Time passes, in ticks.
    void pass(Time time);

    [[nodiscard]] std::optional<contract::State> state(const std::string& target) const {
        return bucket.state_of(target);
    }
    [[nodiscard]] std::size_t under_way() const;

  private:
    std::mt19937 random_;
    std::map<std::string, contract::TargetDefinition> definitions_;
    std::set<std::string> undefined_;
    std::vector<std::string> probes_;

    Time delay();
    void rank_all();
    void later(Aggregator& to, const std::string& kind, std::function<void()> what, Time least = Time{0});
    void carry_out(Aggregator& aggregator);
    void write(Aggregator& by, const std::string& key, const std::optional<contract::State>& state,
               std::uint64_t expected, bool put_back);
    void read(Aggregator& aggregator);
    void told(Aggregator& aggregator, const StateBucketModel::Message& message);
};

/// A definition with the defaults.
contract::TargetDefinition a_target(const std::string& name, const std::string& service = "");

/// The pings of one start of one worker.
class PingSource {
  public:
    explicit PingSource(std::string worker, std::uint64_t run = 1) : worker_(std::move(worker)), run_(run) {}

    /// With hard evidence where it is down.
    contract::Ping says(const std::string& target, contract::Opinion opinion, aggregator::Now now);
    /// What a session of that life tells of a server that is up.
    contract::Ping tells(const std::string& target, contract::Role role, aggregator::Now now,
                         std::optional<contract::WallTime> started_at = std::nullopt,
                         std::optional<contract::WallTime> crashed_at = std::nullopt);

  private:
    std::string worker_;
    std::uint64_t run_;
    std::uint64_t seq_ = 0;
};

}  // namespace pgpulse::support
