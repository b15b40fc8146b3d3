#pragma once

#include "common/contract/ping.hpp"
#include "common/contract/state.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <vector>

// Pure: what held sessions say of a server besides up and down: its role, whether it takes writes, and
// whether it is the same server's life as before.
//
// The rules, each tested under its name:
//   one_voice_restarts    A server's life is told by when it started and when it crashed. A life that is
//                         another than the state's counts as a restart, on one observer's word: nobody can
//                         make it up.
//   told_when_up          A restart is recorded when the target is held up: with its return where it was down.
//   known_life_again      A life that was seen before the present one comes from a late ping, and says
//                         nothing.
//   earlier_start_waits   A life that started before the present one comes from a late ping, which an aggregator
//                         that was started meanwhile cannot know. Only where it goes on being told, for longer
//                         than a ping can be late, was the server's clock set back.
//   crash_needs_a_time    Of one start only a later crash is news: that no crash is told any more is
//                         somebody's reset of the statistics.
//   first_life            The first life that is ever told is no restart.
//   majority_of_roles     The role, and whether it writes, change when a majority of those who know say so:
//                         one observer's check of a moment ago does not turn a promotion back.
namespace pgpulse::aggregator {

/// What tells one life of a server from its others.
struct ServerLife {
    contract::WallTime started_at{};
    std::optional<contract::WallTime> crashed_at;

    bool operator==(const ServerLife&) const = default;
};

/// Empty where the ping does not tell.
std::optional<ServerLife> life_of(const contract::Ping& ping);
std::optional<ServerLife> life_of(const contract::State& state);

/// The lives of one server, as far as this aggregator has seen them.
class ServerLives {
  public:
    /// The state's life, by whomever it was written.
    void adopt(const ServerLife& life);

    /// Takes what a ping tells; true when it is a restart.
    bool tells_restart(const ServerLife& told);

    /// Whether what a ping tells of is an earlier start than the present one's, and not told for `longest_lateness`
    /// yet. `now`: of a clock that all calls go by.
    bool waits(const ServerLife& told, std::chrono::milliseconds now,
               std::chrono::milliseconds longest_lateness);

    [[nodiscard]] const std::optional<ServerLife>& present() const { return present_; }

  private:
    std::optional<ServerLife> present_;
    std::vector<ServerLife> past_;  // the newest last
    std::optional<std::chrono::milliseconds>
        earlier_since_;  // an earlier start is told, and the present one is not
};

/// What one voter's newest session says.
struct RoleReport {
    contract::Role role{};
    bool writable = false;
};

/// Counts the reports of one server.
class RoleReports {
  public:
    void add(const RoleReport& report);
    /// One who may know, and is not asked: a majority is one of him as well.
    void add_unknown() { ++reports_; }

    /// The role that more than half of the reports give; `before` where there is none.
    [[nodiscard]] std::optional<contract::Role> role(std::optional<contract::Role> before) const;
    /// Whether it takes writes, likewise.
    [[nodiscard]] std::optional<bool> writable(std::optional<bool> before) const;

  private:
    std::size_t reports_ = 0;
    std::size_t primaries_ = 0;
    std::size_t replicas_ = 0;
    std::size_t writable_ = 0;
    std::size_t read_only_ = 0;
};

}  // namespace pgpulse::aggregator
