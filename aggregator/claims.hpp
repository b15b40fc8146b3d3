#pragma once

#include "aggregator/hearing.hpp"
#include "common/contract/hash.hpp"

#include <cstdint>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pgpulse::aggregator {

/// Which targets of a service claim to be its primary, by the bucket: `up`, with the role `primary`. Pure.
class Claims {
  public:
    using Time = HearingClock::Time;
    using Target = std::uint32_t;

    struct Claim {
        Target target = 0;
        Time since{0};  // when this aggregator learned of it, on its hearing clock
    };

    /// The target claims from now on, where it does not already.
    void claim(std::string_view service, Target target, Time now);
    void withdraw(std::string_view service, Target target);

    /// Services are told apart by the hash of their names: whoever looks compares the names as well.
    [[nodiscard]] std::span<const Claim> of(std::string_view service) const;

  private:
    std::unordered_map<std::uint64_t, std::vector<Claim>> by_service_;
};

}  // namespace pgpulse::aggregator
