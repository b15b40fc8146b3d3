#pragma once

#include "ctl/options.hpp"

namespace pgpulse::ctl {

/// `pgpulse doctor`: looks at every part of the pipeline and says what to do. Returns the exit code: 1 where something
/// is broken.
int run_doctor(const Options& options);

}  // namespace pgpulse::ctl
