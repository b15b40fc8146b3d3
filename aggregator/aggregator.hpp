#pragma once

#include "common/runtime/options.hpp"

#include <string>

namespace pgpulse::aggregator {

struct Options {
    runtime::CommonOptions common;
    int history_days = 90;  // how long the stream it creates keeps a transition, 1 to 3650
};

/// Runs until SIGTERM or SIGINT; returns the exit code. Subscribes to the pings, follows the buckets `health`
/// and `health_targets` (creating what is absent), feeds the tally and carries out its actions, and copies the
/// transitions into the stream `HEALTH_TRANSITIONS` where it is the one that does.
int run(const Options& options);

}  // namespace pgpulse::aggregator
