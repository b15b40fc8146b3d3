#pragma once

#include "common/contract/wall_time.hpp"

#include <chrono>
#include <optional>

namespace pgpulse::aggregator {

/// Whether one target is under maintenance. Pure. Its end is computed once for each `maintenance_until`, from the
/// NATS server's clock, and then waited for on the monotonic clock, so that no clock that is set brings it back or
/// makes it last: what is over stays over until a definition names another time.
class Maintenance {
  public:
    using Mono = std::chrono::steady_clock::time_point;

    /// The definition's `maintenance_until`; the same one again changes nothing.
    void define(std::optional<contract::WallTime> until);

    /// The bucket says that the maintenance until then is over. Nullopt: it says nothing.
    void over(const std::optional<contract::WallTime>& until);

    /// `server`: the NATS server's clock.
    [[nodiscard]] bool active(Mono now, contract::WallTime server);

    [[nodiscard]] const std::optional<contract::WallTime>& until() const { return until_; }

  private:
    std::optional<contract::WallTime> until_;
    std::optional<Mono> ends_;
    bool over_ = false;
};

}  // namespace pgpulse::aggregator
