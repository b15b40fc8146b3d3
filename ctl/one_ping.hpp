#pragma once

#include "ctl/options.hpp"

namespace pgpulse::ctl {

/// `pgpulse ping`: one ping from here by the probe's own engine. Returns pg_isready's exit codes: 0 accepting, 1
/// rejecting, 2 no response, 3 no attempt was made.
int run_ping(const Options& options);

}  // namespace pgpulse::ctl
