#pragma once

#include "ctl/options.hpp"

#include <tl/expected.hpp>

#include <memory>

namespace pgpulse::ctl {

/// A connection to NATS as the operator asked for it. Error: the exit code, after one line on standard error.
tl::expected<std::unique_ptr<nats::Connection>, int> connect(const Options& options);

}  // namespace pgpulse::ctl
