#include "aggregator/maintenance.hpp"

#include <algorithm>

namespace pgpulse::aggregator {

void Maintenance::define(std::optional<contract::WallTime> until) {
    if (until == until_) return;
    until_ = until;
    ends_.reset();
    over_ = false;
}

void Maintenance::over(const std::optional<contract::WallTime>& until) {
    if (until && until_ == until) over_ = true;
}

bool Maintenance::active(Mono now, contract::WallTime server) {
    if (!until_ || over_) return false;
    // A time that is farther off than a clock can count is as good as never; 100 years are.
    if (!ends_)
        ends_ = now + std::min<std::chrono::microseconds>(*until_ - server, std::chrono::hours{24 * 36525});
    over_ = now >= *ends_;
    return !over_;
}

}  // namespace pgpulse::aggregator
