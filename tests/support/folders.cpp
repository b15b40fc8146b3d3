#include "tests/support/folders.hpp"

namespace pgpulse::support {

std::filesystem::path source_folder() { return PGPULSE_SOURCE_DIR; }

std::filesystem::path program_folder() { return PGPULSE_BIN_DIR; }

}  // namespace pgpulse::support
