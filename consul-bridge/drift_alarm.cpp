#include "consul-bridge/drift_alarm.hpp"

#include <algorithm>
#include <utility>

namespace pgpulse::consul_bridge {
namespace {

/// More than are committed while a move waits to be judged.
constexpr std::size_t kOwnKept = 4096;

}  // namespace

void DriftAlarm::committed(std::uint64_t index) {
    if (index == 0) return;
    own_.push_back(index);
    if (own_.size() > kOwnKept) own_.pop_front();
}

void DriftAlarm::moved(Table table, std::uint64_t index, Mono now) {
    std::uint64_t& seen = seen_.at(static_cast<std::size_t>(table));
    const std::uint64_t before = std::exchange(seen, index);
    if (before != 0 && index != before) moves_.push_back({before, index, now + kJudgedAfter});
}

bool DriftAlarm::is_own(const Move& move) const {
    if (move.to < move.from) return false;
    const auto between =
        std::ranges::count_if(own_, [&](std::uint64_t own) { return own > move.from && own <= move.to; });
    return between == 1 && std::ranges::find(own_, move.to) != own_.end();
}

bool DriftAlarm::due(std::size_t targets, Mono now) {
    while (!moves_.empty() && moves_.front().judged_at <= now) {
        alarmed_ = alarmed_ || !is_own(moves_.front());
        moves_.pop_front();
    }
    if (targets > kMaxTargets) alarmed_ = false;
    if (!alarmed_ || now < not_before_) return false;
    alarmed_ = false;
    not_before_ = now + kInterval;
    return true;
}

std::optional<DriftAlarm::Mono> DriftAlarm::next() const {
    if (alarmed_) return not_before_;
    if (!moves_.empty()) return moves_.front().judged_at;
    return std::nullopt;
}

}  // namespace pgpulse::consul_bridge
