#pragma once

#include "aggregator/hearing.hpp"
#include "common/cluster/rendezvous.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

// Pure: the probe workers that this aggregator has heard, or of which the membership tells, and which of them
// observe a target.
namespace pgpulse::aggregator {

class Workers {
  public:
    /// Stands for a worker wherever its words are kept; reused once nobody keeps any.
    using Index = std::uint32_t;

    struct Worker {
        std::string id;
        std::string site;
        WorkerRun run;
        std::uint32_t words = 0;                         // kept of it
        bool serves = false;                             // among the members
        std::optional<HearingClock::Time> served_until;  // of one that does not any more
    };

    /// So many are known at a time. Whoever is a member is always known.
    static constexpr std::size_t kMost = 4096;

    /// The worker of that id, known from now on. Nullopt where too many are known: somebody makes names up.
    std::optional<Index> meet(std::string_view id);

    /// The probes that serve, as of `now` on the hearing clock.
    void members(const std::vector<std::string>& probes, HearingClock::Time now);

    /// Counts the changes of the members, from 1; 0 before the first.
    [[nodiscard]] std::uint32_t generation() const { return generation_; }

    /// The observers of a target by rank: the first `count` of the members. The view stands until the next call.
    std::span<const Index> observers(std::string_view target, std::uint32_t count);

    [[nodiscard]] Worker& at(Index index) { return workers_[index]; }
    [[nodiscard]] const Worker& at(Index index) const { return workers_[index]; }

  private:
    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view id) const { return std::hash<std::string_view>{}(id); }
    };

    std::vector<Worker> workers_;
    std::vector<Index> free_;
    std::unordered_map<std::string, Index, Hash, std::equal_to<>> index_;
    cluster::Rendezvous ranks_;
    std::vector<Index> member_indexes_;  // of ranks_.members()
    std::vector<Index> observers_;
    std::uint32_t generation_ = 0;
    std::uint32_t refused_ = 0;

    Index add(std::string_view id);
    void forget_the_silent();
};

}  // namespace pgpulse::aggregator
