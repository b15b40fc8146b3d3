#pragma once

#include "tests/support/temp_dir.hpp"

#include <filesystem>
#include <string>

namespace pgpulse::support {

/// What `cmake --install` makes of this build, in a folder of its own.
class Installed {
  public:
    /// Throws std::runtime_error with CMake's words where it fails.
    Installed();

    /// Installs it again, over what is there.
    void again() const;

    [[nodiscard]] const std::filesystem::path& prefix() const { return folder_.path(); }
    /// Of a daemon, by the name after "pgpulse-".
    [[nodiscard]] std::filesystem::path program(const std::string& daemon) const;
    [[nodiscard]] std::filesystem::path unit(const std::string& daemon) const;
    [[nodiscard]] std::filesystem::path configuration(const std::string& daemon) const;
    [[nodiscard]] std::filesystem::path environment(const std::string& daemon) const;

  private:
    TempDir folder_;
};

}  // namespace pgpulse::support
