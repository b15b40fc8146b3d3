#pragma once

#include "ctl/options.hpp"

namespace pgpulse::ctl {

/// Reads the bucket `health` once and prints it. Exit code: 0 all up, 1 some not up, 2 unusable options, 3
/// NATS or the bucket cannot be reached within the timeout.
int run_status(const Options& options);

}  // namespace pgpulse::ctl
