#include "common/runtime/targets_file.hpp"

#include "common/contract/targets_file.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

namespace pgpulse::runtime {

tl::expected<std::vector<contract::TargetDefinition>, std::string> read_targets_file(
    const std::string& file) {
    std::ifstream stream{file, std::ios::binary};
    std::ostringstream text;
    if (stream) text << stream.rdbuf();
    if (!stream || !text) return tl::unexpected(file + ": cannot be read: " + std::strerror(errno));
    return contract::parse_targets(file, text.str());
}

}  // namespace pgpulse::runtime
