#pragma once

#include "ctl/options.hpp"

namespace pgpulse::ctl {

/// Prints the names of the targets that begin with what was typed, for a shell. Silent where NATS does not tell them
/// soon. Returns 0.
int run_complete(const Options& options);

}  // namespace pgpulse::ctl
