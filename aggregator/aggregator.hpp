#pragma once

#include "common/runtime/options.hpp"

#include <string>

namespace pgpulse::aggregator {

struct Options {
    runtime::CommonOptions common;
    int replicas = 1;  // of the buckets this program creates, 1 to 5
};

/// Runs until SIGTERM or SIGINT; returns the exit code. Subscribes to the pings, follows the buckets `health`
/// and `health_targets` (creating what is absent), feeds the tally and carries out its actions.
int run(const Options& options);

}  // namespace pgpulse::aggregator
