#pragma once

#include "consul-bridge/contact.hpp"

#include <chrono>
#include <optional>

namespace pgpulse::consul_bridge {

/// Whether a bridge leaves its share of the targets to others, because its Consul, or its agent of it, is away. Pure.
///
/// The rules, each tested under its name:
///  after_patience   Once Consul was away for kPatience and another bridge serves.
///  back_at_once     It takes its share again as soon as Consul answers.
///  not_the_last     Where no other bridge serves it takes its share again, for Consul is likely away from all of them,
///                   and keeps it until Consul has answered: two that stood aside for each other would never end it.
class StandingAside {
  public:
    static constexpr std::chrono::milliseconds kPatience{2000};

    /// `away`: Consul does not answer (Contact::away). Returns whether it stands aside from now on.
    bool observe(bool away, bool another_serves, Mono now) {
        if (!away) {
            away_since_.reset();
            aside_ = stays_ = false;
            return false;
        }
        if (!away_since_) away_since_ = now;
        if (aside_ && !another_serves) {
            aside_ = false;
            stays_ = true;
        }
        if (!aside_ && !stays_ && another_serves && now - *away_since_ >= kPatience) aside_ = true;
        return aside_;
    }

  private:
    std::optional<Mono> away_since_;
    bool aside_ = false;
    bool stays_ = false;
};

}  // namespace pgpulse::consul_bridge
