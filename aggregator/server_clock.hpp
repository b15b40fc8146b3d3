#pragma once

#include "common/contract/wall_time.hpp"

#include <chrono>
#include <optional>

namespace pgpulse::aggregator {

/// The NATS server's clock, from the times at which it stored what this aggregator was told of. Pure. Whatever
/// arrives was stored a moment or an age ago, so of the times told the newest, each carried on by the monotonic time
/// since, is the nearest. A window of one to two minutes lets a clock that was set show itself.
class ServerClock {
  public:
    using Mono = std::chrono::steady_clock::time_point;

    /// A message that the server stored at `stored` was received.
    void told(contract::WallTime stored, Mono now);

    /// Nullopt until something was told.
    [[nodiscard]] std::optional<contract::WallTime> at(Mono now) const;

  private:
    static constexpr std::chrono::seconds kWindow{60};

    /// The server's time less the monotonic one.
    using Offset = std::chrono::microseconds;

    std::optional<Mono> window_began_;
    std::optional<Offset> newest_;
    std::optional<Offset> newest_before_;
};

}  // namespace pgpulse::aggregator
