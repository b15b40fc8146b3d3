#pragma once

#include "common/contract/target.hpp"

#include <tl/expected.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace pgpulse::contract {

/// Pure: reads the text of a targets file, JSON with // and /* */ comments:
///
///     {"defaults": {"interval_ms": 500},
///      "targets": [{"name": "db1", "address": "10.0.0.7"}, ...]}
///
/// `defaults` stand for what a target leaves out; they may hold any key but `name`. An error is one line:
/// `FILE:LINE: ...` for the syntax, `FILE: targets[2].port: expected ..., found ...` for the content. `file`
/// is the name for messages.
tl::expected<std::vector<TargetDefinition>, std::string> parse_targets(std::string_view file,
                                                                       std::string_view text);

}  // namespace pgpulse::contract
