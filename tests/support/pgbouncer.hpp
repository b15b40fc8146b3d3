#pragma once

#include "tests/support/postgres_server.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace pgpulse::support {

/// A real PgBouncer at 127.0.0.1 in front of whatever listens at a port of 127.0.0.1, or does not. Where the test runs
/// as root, it runs as the user `postgres`.
class PgBouncer {
  public:
    /// Starts it and waits until it listens. It knows the role `postgres` with this password, by which it also logs in
    /// behind it. Throws std::runtime_error with its log when it does not get there.
    PgBouncer(std::uint16_t backend, PostgresAuth auth, const std::string& password);

    /// Nothing to do when it runs.
    void start();
    void kill9();

    [[nodiscard]] std::uint16_t port() const { return port_; }

  private:
    TempDir folder_;
    const std::uint16_t port_;
    std::unique_ptr<Process> process_;
};

}  // namespace pgpulse::support
