#include "aggregator/hearing.hpp"

#include <algorithm>

namespace pgpulse::aggregator {

void HearingClock::tick(Mono now) {
    const bool first = ticked_ == Mono{};
    const auto gap = now - ticked_;
    ticked_ = now;
    if (first || gap > kLongestGap) return;
    for (const Mono echo : {echoed_, stored_}) {
        if (echo == Mono{} || now - echo > kEchoFreshness) return;
    }
    heard_ += gap;
}

WorkerRun::Standing WorkerRun::meet(std::string_view run) {
    if (run == run_) return Standing::current;
    if (std::ranges::find(ended_runs_, run) != ended_runs_.end()) return Standing::ended;
    if (!run_.empty()) ended_runs_.push_back(std::move(run_));
    if (ended_runs_.size() > kEndedRuns) ended_runs_.erase(ended_runs_.begin());
    run_ = run;
    smallest_ = smallest_before_ = ahead_ = kNone;
    return Standing::current;
}

std::optional<WorkerRun::Time> WorkerRun::lateness(Time receipt, Time mono) {
    const Time difference = receipt - mono;
    const Time quickest = std::min(smallest_, smallest_before_);
    if (quickest != kNone && difference < quickest - kFarthestAhead) {
        const bool again =
            ahead_ != kNone && difference <= ahead_ + kFarthestAhead && difference >= ahead_ - kFarthestAhead;
        if (!again) {
            ahead_ = difference;
            return std::nullopt;
        }
    }
    ahead_ = kNone;
    if (smallest_ == kNone) {
        window_began_ = receipt;
    } else if (receipt - window_began_ > kWindow) {
        window_began_ = receipt;
        smallest_before_ = smallest_;
        smallest_ = kNone;
    }
    smallest_ = std::min(smallest_, difference);
    return difference - std::min(smallest_, smallest_before_);
}

}  // namespace pgpulse::aggregator
