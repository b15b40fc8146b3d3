#include "probe/tls_files.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace pgpulse::probe {
namespace {

/// Where libpq 16 and later take the system's certificates.
constexpr const char* kSystemRoots = "system";

std::string fault_of(const char* key, const std::string& file, bool is_secret) {
    if (file.empty()) return {};
    const std::string named = std::string{key} + " '" + file + "': ";
    struct stat status{};
    if (stat(file.c_str(), &status) != 0) return named + std::strerror(errno);
    if (!S_ISREG(status.st_mode)) return named + "expected a regular file";
    if (access(file.c_str(), R_OK) != 0) return named + std::strerror(errno);
    const mode_t others = status.st_uid == 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;
    if (is_secret && (status.st_mode & others) != 0)
        return named + "others may read it; expected mode 0600 or less, or 0640 where root owns it";
    return {};
}

}  // namespace

std::string fault_of_tls_files(const contract::TargetDefinition& definition) {
    if (definition.sslmode == contract::SslMode::disable) return {};
    if (definition.sslrootcert != kSystemRoots) {
        if (auto fault = fault_of("sslrootcert", definition.sslrootcert, false); !fault.empty()) return fault;
    }
    if (auto fault = fault_of("sslcert", definition.sslcert, false); !fault.empty()) return fault;
    return fault_of("sslkey", definition.sslkey, true);
}

}  // namespace pgpulse::probe
