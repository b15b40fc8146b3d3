#pragma once

#include "common/cluster/rendezvous.hpp"

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

// Pure: which of the targets this worker observes: those for which it is among the first `observers` of the
// serving probes by rendezvous rank. As long as it does not serve it observes none.
namespace pgpulse::probe {

class Assignment {
  public:
    explicit Assignment(std::string own_id) : own_id_(std::move(own_id)) {}

    /// What begins and what ends for this worker.
    struct Moves {
        std::vector<std::string> gained;
        std::vector<std::string> lost;
    };

    /// The probes that serve, this one among them once it does.
    Moves members(std::vector<std::string> probes);

    enum class Effect {
        none,    // not this worker's, before and now
        gained,  // its own from now on
        kept,    // its own, before and now
        lost,    // no longer its own
    };

    /// A target is defined, for the first time or anew.
    Effect define(const std::string& target, std::uint32_t observers);

    /// A target was removed: `lost` where it was this worker's.
    Effect remove(const std::string& target);

  private:
    struct Target {
        std::uint32_t observers = 0;
        bool own = false;
    };

    [[nodiscard]] bool is_own(const std::string& target, std::uint32_t observers) const {
        return probes_.owns(own_id_, target, observers);
    }

    std::string own_id_;
    cluster::Rendezvous probes_;
    std::unordered_map<std::string, Target> targets_;
};

}  // namespace pgpulse::probe
