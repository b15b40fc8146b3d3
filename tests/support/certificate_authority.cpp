#include "tests/support/certificate_authority.hpp"

#include "tests/support/process.hpp"

#include <stdexcept>
#include <vector>

namespace pgpulse::support {
namespace {

/// Makes a key and a certificate for it, of two days: nothing of it is used any longer.
void make(const std::string& name, const std::filesystem::path& certificate, const std::filesystem::path& key,
          const std::vector<std::string>& more) {
    std::vector<std::string> command{"openssl",
                                     "req",
                                     "-x509",
                                     "-newkey",
                                     "ec",
                                     "-pkeyopt",
                                     "ec_paramgen_curve:prime256v1",
                                     "-nodes",
                                     "-days",
                                     "2",
                                     "-subj",
                                     "/CN=" + name,
                                     "-keyout",
                                     key.string(),
                                     "-out",
                                     certificate.string()};
    command.insert(command.end(), more.begin(), more.end());
    const auto result = run_to_end(command);
    if (result.exit_code != 0) throw std::runtime_error("openssl failed:\n" + result.out + result.err);
    std::filesystem::permissions(key, std::filesystem::perms{0600});
}

}  // namespace

CertificateAuthority::CertificateAuthority() {
    make("an authority of a test", root(), folder_ / "root.key", {});
}

CertificateAuthority::Certificate CertificateAuthority::issue(const std::string& name,
                                                              const std::string& alternative_names) const {
    Certificate issued{folder_ / (name + ".crt"), folder_ / (name + ".key")};
    std::vector<std::string> more{"-CA",     root().string(),
                                  "-CAkey",  (folder_ / "root.key").string(),
                                  "-addext", "basicConstraints=critical,CA:FALSE"};
    if (!alternative_names.empty()) {
        more.emplace_back("-addext");
        more.push_back("subjectAltName=" + alternative_names);
    }
    make(name, issued.certificate, issued.key, more);
    return issued;
}

}  // namespace pgpulse::support
