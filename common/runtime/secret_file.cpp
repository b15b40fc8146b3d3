#include "common/runtime/secret_file.hpp"

#include <cstddef>
#include <fstream>

namespace pgpulse::runtime {
namespace {

constexpr std::size_t kMostSecretBytes = 4096;

}  // namespace

tl::expected<std::string, std::string> read_secret_file(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    // A line end of two bytes, and one byte that would be too many.
    std::string text(kMostSecretBytes + 3, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(file.gcount()));
    if (!file.eof() && text.empty()) return tl::unexpected("cannot read '" + path + "'");
    if (text.ends_with('\n')) text.pop_back();
    if (text.ends_with('\r')) text.pop_back();
    if (text.empty() || text.size() > kMostSecretBytes ||
        text.find_first_of(std::string{"\n\r\0", 3}) != std::string::npos) {
        return tl::unexpected("'" + path + "': expected one line of at most " +
                              std::to_string(kMostSecretBytes) + " bytes");
    }
    return text;
}

}  // namespace pgpulse::runtime
