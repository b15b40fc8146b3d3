#pragma once

#include "tests/support/temp_dir.hpp"

#include <filesystem>
#include <string>

namespace pgpulse::support {

/// A certificate authority of a test's own, made by the openssl program. Its files are gone with it.
class CertificateAuthority {
  public:
    /// Throws std::runtime_error with what openssl wrote when it cannot be made.
    CertificateAuthority();

    /// The certificate that those who trust this authority need.
    [[nodiscard]] std::filesystem::path root() const { return folder_ / "root.crt"; }

    struct Certificate {
        std::filesystem::path certificate;
        std::filesystem::path key;  // mode 0600
    };
    /// A certificate for this common name: a role's, or a server's with its `alternative_names`
    /// ("IP:127.0.0.1").
    [[nodiscard]] Certificate issue(const std::string& name, const std::string& alternative_names = {}) const;

  private:
    TempDir folder_;
};

}  // namespace pgpulse::support
