#pragma once

#include "probe/ping_result.hpp"

#include <chrono>
#include <optional>

// What a ping may find, and when: for tests of what a worker makes of it.
namespace pgpulse::probe {

using namespace std::chrono_literals;

inline constexpr contract::WallTime kWall{1'700'000'000s};

inline const PingResult kAccepting{contract::Verdict::accepting, contract::Reason::ok, {}, 300us};
inline const PingResult kRefused{contract::Verdict::no_response, contract::Reason::refused, {}, std::nullopt};
inline const PingResult kReset{contract::Verdict::no_response, contract::Reason::reset, {}, std::nullopt};
inline const PingResult kTimeout{contract::Verdict::no_response, contract::Reason::timeout, {}, std::nullopt};
inline const PingResult kShuttingDown{
    contract::Verdict::rejecting, contract::Reason::shutting_down, {'5', '7', 'P', '0', '3'}, 300us};
inline const PingResult kWrongPassword{
    contract::Verdict::accepting, contract::Reason::auth, {'2', '8', 'P', '0', '1'}, std::nullopt};
inline const PingResult kNoFile{contract::Verdict::not_attempted, contract::Reason::config, {}, std::nullopt};
inline const PingResult kStartingUp{
    contract::Verdict::rejecting, contract::Reason::starting_up, {'5', '7', 'P', '0', '3'}, 300us};
inline const PingResult kInRecovery{
    contract::Verdict::rejecting, contract::Reason::in_recovery, {'5', '7', 'P', '0', '3'}, 300us};
inline const PingResult kUnreachable{
    contract::Verdict::no_response, contract::Reason::unreachable, {}, std::nullopt};
inline const PingResult kStalled{
    contract::Verdict::inconclusive, contract::Reason::observer_stalled, {}, std::nullopt};

}  // namespace pgpulse::probe
