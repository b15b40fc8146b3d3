#pragma once

#include "common/contract/target.hpp"

#include <tl/expected.hpp>

#include <string>

namespace pgpulse::ctl {

/// A libpq connection string (key/value pairs or a URI; empty for the defaults) as the target that a probe would be
/// given. What it does not say comes from libpq's variables (PGHOST, PGPORT, ...) and defaults, as for pg_isready; the
/// host is "localhost" where nobody names one. Error: one line that names the keyword. Source: PQconninfoParse,
/// PQconndefaults.
tl::expected<contract::TargetDefinition, std::string> target_of(const std::string& connection_string);

}  // namespace pgpulse::ctl
