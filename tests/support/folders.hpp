#pragma once

#include <filesystem>

namespace pgpulse::support {

/// Where this checkout is.
std::filesystem::path source_folder();

/// Where this build's programs are.
std::filesystem::path program_folder();

}  // namespace pgpulse::support
