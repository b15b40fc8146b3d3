#pragma once

#include <tl/expected.hpp>

#include <string>

namespace pgpulse::runtime {

/// The secret that a file holds alone: one line of at most 4096 bytes, whose end does not count. Error: one line that names
/// the file and what was expected of it, never what it has.
tl::expected<std::string, std::string> read_secret_file(const std::string& path);

}  // namespace pgpulse::runtime
