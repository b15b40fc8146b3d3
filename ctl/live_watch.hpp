#pragma once

#include "ctl/options.hpp"

namespace pgpulse::ctl {

/// `pgpulse watch` on a terminal: the table of all targets as it changes, on a screen of its own, until q or a signal.
/// Returns the exit code.
int run_live_watch(const Options& options);

}  // namespace pgpulse::ctl
