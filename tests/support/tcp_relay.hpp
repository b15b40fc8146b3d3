#pragma once

#include "tests/support/file_descriptor.hpp"

#include <atomic>
#include <cstdint>
#include <thread>

namespace pgpulse::support {

/// A way between clients and a server of the loopback network that a test can cut: a port of its own from which it
/// carries bytes in both directions.
class TcpRelay {
  public:
    /// Carries to `to`, where nobody needs to listen yet. Throws std::system_error when it cannot listen.
    explicit TcpRelay(std::uint16_t to);
    ~TcpRelay();
    TcpRelay(const TcpRelay&) = delete;
    TcpRelay& operator=(const TcpRelay&) = delete;

    [[nodiscard]] std::uint16_t port() const { return port_; }

    /// Resets what is connected, which is done when it returns; until `mend`, whoever connects is reset as well.
    void cut();
    void mend() { cut_ = false; }

  private:
    void serve();
    void wake() const;

    const std::uint16_t to_;
    const std::uint16_t port_;
    FileDescriptor listener_;
    FileDescriptor wake_;
    std::atomic<bool> cut_{false};
    std::atomic<unsigned> cuts_asked_{0};
    std::atomic<unsigned> cuts_done_{0};
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

}  // namespace pgpulse::support
