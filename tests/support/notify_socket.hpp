#pragma once

#include "tests/support/file_descriptor.hpp"
#include "tests/support/temp_dir.hpp"

#include <string>
#include <vector>

namespace pgpulse::support {

/// A service manager's end of sd_notify(3): a datagram socket that keeps what it is told.
class NotifySocket {
  public:
    enum class Kind { path, abstract };

    /// Throws std::system_error when there is none to be had.
    explicit NotifySocket(Kind kind = Kind::path);

    /// For NOTIFY_SOCKET.
    [[nodiscard]] const std::string& address() const { return address_; }
    /// The lines told so far, in order.
    [[nodiscard]] std::vector<std::string> lines();
    /// Whether this line was among them.
    [[nodiscard]] bool told(const std::string& line);
    /// How often it was.
    [[nodiscard]] std::size_t count(const std::string& line);
    /// The lines, for messages.
    [[nodiscard]] std::string text();

  private:
    TempDir folder_;
    std::string address_;
    FileDescriptor socket_;
    std::vector<std::string> lines_;
};

}  // namespace pgpulse::support
