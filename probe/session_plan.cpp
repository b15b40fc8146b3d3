#include "probe/session_plan.hpp"

#include <algorithm>

namespace pgpulse::probe {

using contract::Reason;
using contract::Verdict;

namespace {

/// The beginning of a period that is nearest to a period after this.
Mono next_listening(Mono after, SessionPlan::Listener listener) {
    const std::int64_t period = listener.period.count();
    const std::int64_t past =
        std::chrono::nanoseconds{after.time_since_epoch()}.count() - listener.phase.count();
    const std::int64_t periods = (past + period / 2) / period + 1;
    return Mono{listener.phase + periods * listener.period};
}

}  // namespace

SessionPlan::Turn SessionPlan::turn(Mono now, Listener listener) {
    if (phase_ != Phase::open || listener_in_doubt_ || !fresh_ || now >= next_listening(*fresh_, listener))
        return Turn::fresh;
    return ++checks_ % kLagEvery == 0 ? Turn::check_with_lag : Turn::check;
}

bool SessionPlan::opens(Mono now, std::uint32_t generation) {
    if (phase_ != Phase::none || confirming_ || now < retry_at_) return false;
    phase_ = Phase::opening;
    generation_ = generation;
    return true;
}

void SessionPlan::opened(const SessionFacts& facts) {
    phase_ = Phase::open;
    const bool same_life = started_at_ && facts.started_at == started_at_ && facts.crashed_at == crashed_at_;
    for_nothing_ = same_life && !checked_;
    checked_ = false;
    started_at_ = facts.started_at;
    crashed_at_ = facts.crashed_at;
    facts_ = facts;
    // The first check but one measures the lag, so that a new session soon knows it.
    checks_ = kLagEvery - 2;
    retry_at_ = Mono::min();
    if (!for_nothing_) retry_ = kFirstRetry;
}

void SessionPlan::refused(Mono now) {
    phase_ = Phase::none;
    retry_at_ = now + retry_;
    retry_ = std::min(2 * retry_, kLastRetry);
}

bool SessionPlan::ended() {
    const bool was_open = phase_ == Phase::open;
    phase_ = Phase::none;
    facts_ = {};
    return was_open;
}

bool SessionPlan::lost(Mono now) {
    const bool backs_off = for_nothing_ && !checked_;
    if (!ended()) return false;
    if (backs_off) refused(now);
    return true;
}

SessionPlan::Confirmed SessionPlan::result(const PingResult& result, Mono started) {
    if (result.verdict == Verdict::accepting) listener_in_doubt_ = false;
    if (result.verdict == Verdict::rejecting || result.verdict == Verdict::no_response)
        listener_in_doubt_ = true;
    const bool refused = result.verdict == Verdict::no_response && result.reason == Reason::refused;
    if (!confirming_) return refused && open() ? Confirmed::ping_again_until_settled : Confirmed::nothing;
    switch (result.verdict) {
        case Verdict::accepting:
            if (started < *confirming_) return Confirmed::goes_on;
            confirming_.reset();
            pinged_again_ = false;
            return Confirmed::goes_on;
        case Verdict::no_response:
            if (refused) {
                confirming_.reset();
                pinged_again_ = false;
                return Confirmed::gone;
            }
            if (result.reason == Reason::reset && !pinged_again_) {
                pinged_again_ = true;
                return Confirmed::ping_again;
            }
            return Confirmed::goes_on;
        default:
            return Confirmed::goes_on;
    }
}

void SessionPlan::checked(const SessionFacts& facts) {
    checked_ = true;
    retry_ = kFirstRetry;
    facts_.role = facts.role;
    facts_.writable = facts.writable;
    if (facts.lag_ms || facts.lag_bytes) {
        facts_.lag_ms = facts.lag_ms;
        facts_.lag_bytes = facts.lag_bytes;
    }
}

}  // namespace pgpulse::probe
