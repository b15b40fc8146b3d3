#pragma once

#include "ctl/options.hpp"

namespace pgpulse::ctl {

/// `pgpulse explain`: why a target's state is what it is. Returns the exit code.
int run_explain(const Options& options);

/// `pgpulse check`: has a target's observers ping it now, and prints what each finds. Returns the exit code: 0
/// where all of them found it accepting.
int run_check(const Options& options);

}  // namespace pgpulse::ctl
