#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

namespace pgpulse::support {

/// A way to a server that takes time: listens at a free port of 127.0.0.1 and carries every byte to the server
/// and back, each way `delay` later. What asks through it waits for answers most of the time, as across an
/// ocean, and not for a processor.
class Distance {
  public:
    Distance(std::uint16_t server, std::chrono::milliseconds delay);
    ~Distance();
    Distance(const Distance&) = delete;
    Distance& operator=(const Distance&) = delete;

    [[nodiscard]] std::uint16_t port() const { return port_; }

  private:
    struct Impl;
    const std::uint16_t port_;
    std::unique_ptr<Impl> impl_;
};

}  // namespace pgpulse::support
