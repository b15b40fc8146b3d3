#include "probe/tls_files.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace pgpulse::probe {
namespace {

/// Where libpq 16 and later take the system's certificates.
constexpr const char* kSystemRoots = "system";

struct FreeContext {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using Context = std::unique_ptr<SSL_CTX, FreeContext>;

std::string named(const char* key, const std::string& file, const std::string& fault) {
    return std::string{key} + " '" + file + "': " + fault;
}

/// OpenSSL's oldest complaint, which it then forgets.
std::string openssl_fault() {
    const char* const reason = ERR_reason_error_string(ERR_get_error());
    ERR_clear_error();
    return reason == nullptr ? "cannot be read" : reason;
}

/// Nobody is there to type one.
int no_passphrase(char*, int, int, void*) { return 0; }

/// Empty: a file that this process may read.
std::string access_fault(const std::string& file) {
    struct stat status{};
    if (stat(file.c_str(), &status) != 0) return std::strerror(errno);
    if (!S_ISREG(status.st_mode)) return "expected a regular file";
    return access(file.c_str(), R_OK) == 0 ? "" : std::strerror(errno);
}

bool others_may_read(const std::string& file) {
    struct stat status{};
    if (stat(file.c_str(), &status) != 0) return false;
    const mode_t others = status.st_uid == 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;
    return (status.st_mode & others) != 0;
}

bool is_missing(const std::string& file) {
    struct stat status{};
    return stat(file.c_str(), &status) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

std::string fault_of_root(SSL_CTX* context, const contract::TargetDefinition& definition) {
    const std::string& file = definition.sslrootcert;
    const bool verifies = definition.sslmode == contract::SslMode::verify_ca ||
                          definition.sslmode == contract::SslMode::verify_full;
    if (file.empty() || file == kSystemRoots || (!verifies && is_missing(file))) return {};
    if (const auto fault = access_fault(file); !fault.empty()) return named("sslrootcert", file, fault);
    if (SSL_CTX_load_verify_locations(context, file.c_str(), nullptr) == 1) return {};
    return named("sslrootcert", file, openssl_fault() + "; expected certificates in PEM form");
}

std::string fault_of_certificate(SSL_CTX* context, const contract::TargetDefinition& definition) {
    const std::string& certificate = definition.sslcert;
    const std::string& key = definition.sslkey;
    if (certificate.empty() || is_missing(certificate)) return {};
    if (const auto fault = access_fault(certificate); !fault.empty())
        return named("sslcert", certificate, fault);
    if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1)
        return named("sslcert", certificate, openssl_fault() + "; expected a certificate in PEM form");
    if (key.empty()) return {};
    if (const auto fault = access_fault(key); !fault.empty()) return named("sslkey", key, fault);
    if (others_may_read(key))
        return named("sslkey", key,
                     "others may read it; expected mode 0600 or less, or 0640 where root owns it");
    SSL_CTX_set_default_passwd_cb(context, &no_passphrase);
    if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) == 1) return {};
    return named("sslkey", key,
                 openssl_fault() + "; expected the certificate's key in PEM form, without a passphrase");
}

}  // namespace

std::string fault_of_tls_files(const contract::TargetDefinition& definition) {
    if (definition.sslmode == contract::SslMode::disable) return {};
    const Context context{SSL_CTX_new(TLS_client_method())};
    if (!context) return {};
    std::string fault = fault_of_root(context.get(), definition);
    if (fault.empty()) fault = fault_of_certificate(context.get(), definition);
    ERR_clear_error();
    return fault;
}

}  // namespace pgpulse::probe
