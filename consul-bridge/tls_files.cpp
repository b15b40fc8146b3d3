#include "consul-bridge/tls_files.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <system_error>
#include <vector>

namespace pgpulse::consul_bridge {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCaFile = "--consul-ca-file (CONSUL_CACERT)";
constexpr const char* kCaPath = "--consul-ca-path (CONSUL_CAPATH)";
constexpr const char* kCertificate = "--consul-client-cert (CONSUL_CLIENT_CERT)";
constexpr const char* kKey = "--consul-client-key (CONSUL_CLIENT_KEY)";

struct ContextDeleter {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct BioDeleter {
    void operator()(BIO* bio) const { BIO_free(bio); }
};
struct CertificateDeleter {
    void operator()(X509* certificate) const { X509_free(certificate); }
};

std::string cannot_read(const char* option, const std::string& file) {
    return std::string{option} + ": cannot read '" + file + "'";
}

std::string not_a(const char* what, const char* option, const std::string& file) {
    return std::string{option} + ": '" + file + "' holds no " + what + ": expected a PEM file";
}

bool can_read(const std::string& file) {
    std::error_code error;
    return std::ifstream{file}.good() && !fs::is_directory(file, error);
}

bool holds_certificate(const std::string& text) {
    const std::unique_ptr<BIO, BioDeleter> bio{BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
    const std::unique_ptr<X509, CertificateDeleter> certificate{
        bio ? PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr) : nullptr};
    ERR_clear_error();
    return certificate != nullptr;
}

/// Instead of OpenSSL's own, which would ask on the terminal.
int refuse_passphrase(char*, int, int, void* asked) {
    *static_cast<bool*>(asked) = true;
    return 0;
}

std::optional<std::string> fault_of_pair(const std::string& certificate, const std::string& key) {
    const std::unique_ptr<SSL_CTX, ContextDeleter> context{SSL_CTX_new(TLS_client_method())};
    if (!context) return "OpenSSL cannot be used";
    bool asked = false;
    SSL_CTX_set_default_passwd_cb(context.get(), refuse_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(context.get(), &asked);
    std::optional<std::string> fault;
    if (SSL_CTX_use_certificate_chain_file(context.get(), certificate.c_str()) != 1) {
        fault = not_a("certificate", kCertificate, certificate);
    } else if (SSL_CTX_use_PrivateKey_file(context.get(), key.c_str(), SSL_FILETYPE_PEM) != 1) {
        const bool mismatch = ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH;
        if (asked) {
            fault = std::string{kKey} + ": '" + key + "': expected a key without a passphrase";
        } else if (mismatch) {
            fault = std::string{kKey} + ": the key in '" + key + "' does not belong to the certificate in '" +
                    certificate + "'";
        } else {
            fault = not_a("private key", kKey, key);
        }
    } else if (SSL_CTX_check_private_key(context.get()) != 1) {
        fault = std::string{kKey} + ": the key in '" + key + "' does not belong to the certificate in '" +
                certificate + "'";
    }
    ERR_clear_error();
    return fault;
}

}  // namespace

std::string text_of_files(const std::string& folder) {
    std::vector<fs::path> files;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator{folder, error}) {
        if (entry.is_regular_file(error)) files.push_back(entry.path());
    }
    std::ranges::sort(files);
    std::string text;
    for (const fs::path& path : files) {
        std::ifstream file{path, std::ios::binary};
        text.append(std::istreambuf_iterator<char>{file}, {});
        text += '\n';
    }
    return text;
}

std::optional<std::string> fault_of_tls_files(const ConsulOptions& options) {
    const std::pair<const char*, const std::string&> files[] = {
        {kCaFile, options.ca_file}, {kCertificate, options.certificate_file}, {kKey, options.key_file}};
    for (const auto& [option, file] : files) {
        if (!file.empty() && !can_read(file)) return cannot_read(option, file);
    }
    if (!options.ca_file.empty()) {
        std::ifstream file{options.ca_file, std::ios::binary};
        if (!holds_certificate({std::istreambuf_iterator<char>{file}, {}})) {
            return not_a("certificate", kCaFile, options.ca_file);
        }
    }
    if (!options.ca_path.empty()) {
        std::error_code error;
        if (fs::directory_iterator{options.ca_path, error}; error)
            return cannot_read(kCaPath, options.ca_path);
        if (!holds_certificate(text_of_files(options.ca_path))) {
            return std::string{kCaPath} + ": expected PEM files with certificates in '" + options.ca_path +
                   "'";
        }
    }
    if (options.certificate_file.empty() != options.key_file.empty()) {
        const bool key = options.key_file.empty();
        return std::string{key ? kCertificate : kKey} + ": expected also " + (key ? kKey : kCertificate);
    }
    if (options.certificate_file.empty()) return std::nullopt;
    return fault_of_pair(options.certificate_file, options.key_file);
}

}  // namespace pgpulse::consul_bridge
