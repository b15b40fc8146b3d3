#include "aggregator/server_clock.hpp"

#include <algorithm>

namespace pgpulse::aggregator {
namespace {

std::chrono::microseconds since_epoch(ServerClock::Mono mono) {
    return std::chrono::duration_cast<std::chrono::microseconds>(mono.time_since_epoch());
}

}  // namespace

void ServerClock::told(contract::WallTime stored, Mono now) {
    const Offset offset = stored.time_since_epoch() - since_epoch(now);
    if (!window_began_ || now - *window_began_ > kWindow) {
        window_began_ = now;
        newest_before_ = newest_;
        newest_.reset();
    }
    newest_ = newest_ ? std::max(*newest_, offset) : offset;
}

std::optional<contract::WallTime> ServerClock::at(Mono now) const {
    if (!newest_) return std::nullopt;
    const Offset offset = newest_before_ ? std::max(*newest_, *newest_before_) : *newest_;
    return contract::WallTime{since_epoch(now) + offset};
}

}  // namespace pgpulse::aggregator
