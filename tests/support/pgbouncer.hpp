#pragma once

#include "tests/support/postgres_server.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace pgpulse::support {

struct PgBouncerOptions {
    /// The port of 127.0.0.1 of the server behind it; nobody need listen there.
    std::uint16_t backend = 1;
    /// What it asks its clients for. With scram it answers a ping itself, as a server does but without the fork
    /// that a ping costs a server: for tests of hundreds of healthy targets.
    PostgresAuth auth = PostgresAuth::scram;
    /// Of the role `postgres`, the only one that it knows, by which it also logs in behind it.
    std::string password = "a password of a test";
    std::string listen_address = "127.0.0.1";
};

/// A real PgBouncer. Where the test runs as root, it runs as the user `postgres`.
class PgBouncer {
  public:
    /// Starts it and waits until it listens. Throws std::runtime_error with its log when it does not get there.
    explicit PgBouncer(const PgBouncerOptions& options = {});

    /// Nothing to do when it runs.
    void start();
    void kill9();

    [[nodiscard]] std::uint16_t port() const { return port_; }
    [[nodiscard]] std::string log() const { return process_->output(); }

  private:
    TempDir folder_;
    const std::uint16_t port_;
    std::unique_ptr<Process> process_;
};

}  // namespace pgpulse::support
