#include "aggregator/claims.hpp"

#include <algorithm>

namespace pgpulse::aggregator {

void Claims::claim(std::string_view service, Target target, Time now) {
    std::vector<Claim>& claims = by_service_[contract::fnv1a(service)];
    if (std::ranges::find(claims, target, &Claim::target) == claims.end()) claims.push_back({target, now});
}

void Claims::withdraw(std::string_view service, Target target) {
    const auto it = by_service_.find(contract::fnv1a(service));
    if (it == by_service_.end()) return;
    std::erase_if(it->second, [&](const Claim& claim) { return claim.target == target; });
    if (it->second.empty()) by_service_.erase(it);
}

std::span<const Claims::Claim> Claims::of(std::string_view service) const {
    const auto it = by_service_.find(contract::fnv1a(service));
    if (it == by_service_.end()) return {};
    return it->second;
}

}  // namespace pgpulse::aggregator
