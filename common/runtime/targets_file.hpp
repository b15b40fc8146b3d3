#pragma once

#include "common/contract/target.hpp"

#include <tl/expected.hpp>

#include <string>
#include <vector>

namespace pgpulse::runtime {

/// Reads a targets file (common/contract/targets_file.hpp). An error is one line that names the file.
tl::expected<std::vector<contract::TargetDefinition>, std::string> read_targets_file(const std::string& file);

}  // namespace pgpulse::runtime
