#pragma once

#include "ctl/options.hpp"

namespace pgpulse::ctl {

/// Prints who is alive and, of each probe worker, how many targets it observes; returns the exit code.
int run_members(const Options& options);

}  // namespace pgpulse::ctl
