#pragma once

#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

#include <cstdint>
#include <string>

namespace pgpulse::support {

/// A real haproxy in front of an HTTP server of the loopback network, which passes requests on or answers them
/// itself, as a load balancer does whose server is in trouble.
class HttpProxy {
  public:
    /// Starts it and waits until it listens; `to` is the server's port of 127.0.0.1. Throws std::runtime_error with
    /// its log when it does not get there.
    explicit HttpProxy(std::uint16_t to);

    /// From now on each request is answered with this status, one of 429, 500 and 503; 429 asks to come again
    /// after a second.
    void answer(int status) const { set(std::to_string(status)); }
    /// From now on each request is passed on.
    void pass() const { set("pass"); }

    /// http://127.0.0.1:PORT
    [[nodiscard]] std::string url() const;

  private:
    TempDir folder_;
    std::uint16_t port_;
    std::unique_ptr<Process> process_;

    void set(const std::string& mode) const;
    [[nodiscard]] std::string command(const std::string& line) const;
};

}  // namespace pgpulse::support
