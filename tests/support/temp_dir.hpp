#pragma once

#include <filesystem>

namespace pgpulse::support {

/// A folder of its own below $TMPDIR (default /tmp), removed with all it holds at the end.
/// Its mode is 755, so that servers which run as another user may pass through it.
class TempDir {
  public:
    /// Throws std::system_error when the folder cannot be made.
    TempDir();
    ~TempDir();
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    [[nodiscard]] std::filesystem::path operator/(const std::filesystem::path& name) const {
        return path_ / name;
    }

  private:
    std::filesystem::path path_;
};

}  // namespace pgpulse::support
