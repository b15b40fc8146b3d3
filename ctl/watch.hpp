#pragma once

#include "ctl/options.hpp"

namespace pgpulse::ctl {

/// Prints every message of `health.state.>` as it arrives, until SIGINT, SIGTERM or SIGHUP, or until nobody
/// reads standard output. Says on standard error when it listens. Exit code: 0, 2 for unusable options,
/// 3 where the server refuses.
int run_watch(const Options& options);

}  // namespace pgpulse::ctl
