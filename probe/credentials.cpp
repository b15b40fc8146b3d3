#include "probe/credentials.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>

namespace pgpulse::probe {
namespace {

constexpr std::string_view kPassfile = "passfile:";
constexpr std::string_view kService = "service:";
/// libpq's longest password in a passfile; a longer file is not a password.
constexpr std::streamsize kLongestSecret = 8192;

/// A file that systemd made for this process alone.
bool is_loaded_credential(const std::string& file) {
    const char* const folder = std::getenv("CREDENTIALS_DIRECTORY");
    return folder != nullptr && *folder != '\0' && file.starts_with(std::string{folder} + "/");
}

/// Why the file cannot be trusted with a secret; empty: it can.
std::optional<std::string> fault_of(const std::string& file, bool passfile) {
    struct stat status{};
    if (stat(file.c_str(), &status) != 0) return "credentials file '" + file + "': " + std::strerror(errno);
    if (!S_ISREG(status.st_mode)) return "credentials file '" + file + "': expected a regular file";
    const bool loaded = is_loaded_credential(file) && (status.st_mode & S_IRWXO) == 0;
    const bool shared = (status.st_mode & (S_IRWXG | S_IRWXO)) != 0;
    if (shared && loaded && passfile)
        return "credentials file '" + file +
               "': libpq takes no passfile with an access control list; expected a file that holds the "
               "password alone";
    if (shared && !loaded)
        return "credentials file '" + file + "': others may read it; expected mode 0600 or less";
    return std::nullopt;
}

}  // namespace

tl::expected<Credentials, std::string> read_credentials(const std::string& reference) {
    Credentials credentials;
    if (reference.empty()) return credentials;
    if (reference.starts_with(kService)) {
        credentials.service = reference.substr(kService.size());
        if (credentials.service.empty())
            return tl::unexpected<std::string>("credentials: expected service:NAME");
        return credentials;
    }
    const bool passfile = reference.starts_with(kPassfile);
    const std::string file = passfile ? reference.substr(kPassfile.size()) : reference;
    if (auto fault = fault_of(file, passfile)) return tl::unexpected(std::move(*fault));
    if (passfile) {
        credentials.passfile = file;
        return credentials;
    }
    std::ifstream stream{file, std::ios::binary};
    std::string text(static_cast<std::size_t>(kLongestSecret + 1), '\0');
    stream.read(text.data(), kLongestSecret + 1);
    text.resize(static_cast<std::size_t>(stream.gcount()));
    if (stream.bad() || (text.empty() && !stream.eof()))
        return tl::unexpected("credentials file '" + file + "': cannot be read");
    if (text.size() > static_cast<std::size_t>(kLongestSecret))
        return tl::unexpected("credentials file '" + file + "': expected " + std::to_string(kLongestSecret) +
                              " bytes at most");
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
    if (text.empty() || text.find('\0') != std::string::npos || text.find('\n') != std::string::npos)
        return tl::unexpected("credentials file '" + file + "': expected one line, the password");
    credentials.password = Secret{std::move(text)};
    return credentials;
}

}  // namespace pgpulse::probe
