#pragma once

#include "ctl/options.hpp"

// The commands on definitions: `apply`, `get`, `delete`, `validate`, `maintenance`. Each returns the exit code.
namespace pgpulse::ctl {

int run_apply(const Options& options);
int run_get(const Options& options);
int run_delete(const Options& options);
int run_validate(const Options& options);
int run_maintenance(const Options& options);

}  // namespace pgpulse::ctl
