#include "probe/session_plan.hpp"

#include <algorithm>

namespace pgpulse::probe {

using contract::Reason;
using contract::Verdict;

SessionPlan::Turn SessionPlan::turn(Mono now, std::chrono::nanoseconds listener) {
    if (phase_ != Phase::open || listener_in_doubt_ || !fresh_ || now - *fresh_ >= listener)
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
    facts_ = facts;
    // The first check but one measures the lag, so that a new session soon knows it.
    checks_ = kLagEvery - 2;
    retry_ = kFirstRetry;
    retry_at_ = Mono::min();
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

SessionPlan::Confirmed SessionPlan::result(const PingResult& result, Mono started) {
    if (result.verdict == Verdict::accepting) listener_in_doubt_ = false;
    if (result.verdict == Verdict::rejecting || result.verdict == Verdict::no_response)
        listener_in_doubt_ = true;
    if (!confirming_) return Confirmed::nothing;
    switch (result.verdict) {
        case Verdict::accepting:
            if (started < *confirming_) return Confirmed::goes_on;
            confirming_.reset();
            pinged_again_ = false;
            return Confirmed::goes_on;
        case Verdict::no_response:
            if (result.reason == Reason::refused) {
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
    facts_.role = facts.role;
    facts_.writable = facts.writable;
    if (facts.lag_ms || facts.lag_bytes) {
        facts_.lag_ms = facts.lag_ms;
        facts_.lag_bytes = facts.lag_bytes;
    }
}

}  // namespace pgpulse::probe
