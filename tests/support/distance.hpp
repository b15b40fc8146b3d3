#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

namespace pgpulse::support {

/// A way to a server that takes time: listens at a free port of 127.0.0.1 and carries every byte to the server
/// and back, each way `delay` later. What asks through it waits for answers most of the time, as across an
/// ocean, and not for a processor.
///
/// It keeps a book of when it was late itself, on a machine that gave it or the server no processor: what was
/// not answered in time then was not the asker's fault.
class Distance {
  public:
    Distance(std::uint16_t server, std::chrono::milliseconds delay);
    ~Distance();
    Distance(const Distance&) = delete;
    Distance& operator=(const Distance&) = delete;

    [[nodiscard]] std::uint16_t port() const { return port_; }
    /// Whether it or the server kept something waiting for over 50 ms between the two, by the monotonic clock.
    [[nodiscard]] bool was_late(std::chrono::steady_clock::time_point from,
                                std::chrono::steady_clock::time_point to) const;

  private:
    struct Impl;
    const std::uint16_t port_;
    std::unique_ptr<Impl> impl_;
};

}  // namespace pgpulse::support
