#pragma once

#include "common/nats/connection.hpp"
#include "ctl/explanation.hpp"

#include <tl/expected.hpp>

#include <chrono>
#include <string>

namespace pgpulse::ctl {

/// Why there is nothing to show: one line, and the exit code that goes with it.
struct ViewFault {
    std::string line;
    int exit_code = 0;
};

/// All that NATS tells of one target: its definition, its state, who is in charge of it by the members' ranks,
/// and what its observers find when they are called now. Waits at most `timeout` for each bucket, and for the
/// observers.
tl::expected<TargetFacts, ViewFault> view_target(nats::Connection& connection, const std::string& target,
                                                 std::chrono::milliseconds timeout);

}  // namespace pgpulse::ctl
