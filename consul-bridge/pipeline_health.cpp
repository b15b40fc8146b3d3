#include "consul-bridge/pipeline_health.hpp"

#include "consul-bridge/mirror.hpp"

namespace pgpulse::consul_bridge {
namespace {

using contract::WallTime;

std::string seconds_of(WallTime time) {
    std::string text = contract::to_rfc3339(time);
    return text.substr(0, text.find('.')) + "Z";
}

}  // namespace

PipelineHealth::PipelineHealth(std::chrono::seconds stale_after, Mono now, WallTime wall)
    : stale_after_(stale_after),
      observed_(now),
      deaf_until_(now),
      cause_since_(wall),
      nothing_new_since_(wall),
      counted_since_(now) {}

void PipelineHealth::observe(const Seen& seen, Mono now, WallTime wall) {
    std::chrono::nanoseconds passed = now - observed_;
    observed_ = now;
    const bool stood_still = passed > kLongestGap;
    if (stood_still) {
        passed = std::chrono::nanoseconds{0};
        deaf_until_ = now + kDeaf;
        one_passes_.reset();
    }

    Cause cause = Cause::none;
    if (!seen.hears_itself || now < deaf_until_) {
        cause = cause_ == Cause::starting ? Cause::starting : Cause::deaf;
    } else if (seen.aggregators == 0) {
        cause = Cause::no_aggregator;
    }
    const bool began_to_pass = cause == Cause::none && cause_ != Cause::none;
    if (cause_ == Cause::none && cause != Cause::none) {
        passed = std::chrono::nanoseconds{0};
        nothing_new_since_ = wall;
    }
    // Whoever heard that no aggregator lives knows that no bridge passes, until Consul has answered.
    if (cause_ == Cause::no_aggregator && cause == Cause::deaf && !stood_still) others(false, now);
    if (cause != cause_) cause_since_ = wall;
    cause_ = cause;
    count_targets(seen.targets, began_to_pass, now);
    judge_staleness(passed, now, wall);
}

void PipelineHealth::others(bool one_passes, Mono now) {
    one_passes_ = one_passes;
    answered_ = now;
}

void PipelineHealth::count_targets(std::size_t targets, bool began_to_pass, Mono now) {
    if (targets != counted_) {
        counted_ = targets;
        counted_since_ = now;
    }
    if (began_to_pass || now - counted_since_ >= kSettled) targets_ = counted_;
}

void PipelineHealth::judge_staleness(std::chrono::nanoseconds passed, Mono now, WallTime wall) {
    if (cause_ == Cause::none) {
        nothing_new_for_ = std::chrono::nanoseconds{0};
        one_passes_.reset();
        stale_.reset();
        return;
    }
    nothing_new_for_ += passed;
    if (now - answered_ > kAnswerHolds) one_passes_.reset();
    const bool hears = cause_ == Cause::no_aggregator;
    if (!hears && one_passes_ == true) {
        nothing_new_for_ = std::chrono::nanoseconds{0};
        nothing_new_since_ = wall;
    }
    const bool over = stale_after_.count() == 0 || nothing_new_for_ < stale_after_;
    if (over || (!hears && one_passes_ != false)) {
        stale_.reset();
    } else if (!stale_) {
        // Its words stay as long as it lasts: other words would change what Consul says of every target.
        stale_ = Stale{nothing_new_since_, hears ? "no aggregator is alive" : "no bridge hears NATS"};
    }
}

OwnCheck PipelineHealth::check() const {
    switch (cause_) {
        case Cause::none:
            return {true, "carries " + count_of_targets(targets_)};
        case Cause::starting:
            return {false, "starting: has not heard itself on NATS yet"};
        case Cause::deaf:
            return {false, "has not heard itself on NATS since " + seconds_of(cause_since_)};
        case Cause::no_aggregator:
            return {false, "no aggregator is alive since " + seconds_of(cause_since_)};
    }
    return {};
}

bool PipelineHealth::asks_for_others() const {
    return stale_after_.count() > 0 && (cause_ == Cause::starting || cause_ == Cause::deaf);
}

OwnCheck check_of_loop(OwnCheck check, Mono turned, Mono now, WallTime wall) {
    if (now - turned < PipelineHealth::kStuck) return check;
    const auto since = wall - std::chrono::duration_cast<std::chrono::microseconds>(now - turned);
    return {false, "its loop has not turned since " + seconds_of(since)};
}

}  // namespace pgpulse::consul_bridge
