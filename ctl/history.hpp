#pragma once

#include "ctl/options.hpp"

namespace pgpulse::ctl {

/// `pgpulse history`: a target's transitions as the stream `HEALTH_TRANSITIONS` keeps them. Returns the exit code.
int run_history(const Options& options);

}  // namespace pgpulse::ctl
