#pragma once

#include "ctl/options.hpp"

namespace pgpulse::ctl {

/// `pgpulse replicate`: keeps a copy of the bucket `health` until SIGINT or SIGTERM. Exit code: 0, 2 for unusable options, 3
/// where the server refuses.
int run_replicate(const Options& options);

}  // namespace pgpulse::ctl
