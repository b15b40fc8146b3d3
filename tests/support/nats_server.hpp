#pragma once

#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace pgpulse::support {

/// The line with which a NATS server at 127.0.0.1 greets every client, or "" when none came within a second.
std::string nats_greeting(std::uint16_t port);

struct NatsServerOptions {
    /// 0: a free one.
    std::uint16_t port = 0;
    /// Where it listens.
    std::string host = "127.0.0.1";
    /// Lines added to the configuration file: accounts, a cluster, limits, TLS.
    std::string extra_config = {};
};

/// A real nats-server with JetStream on files, reachable at 127.0.0.1. Its port and its store stay the same over
/// restarts.
class NatsServer {
  public:
    /// Starts it and waits until it is ready; throws std::runtime_error with its log when it does not get
    /// there.
    explicit NatsServer(const NatsServerOptions& options = {});

    /// Starts it and waits until it accepts connections and JetStream is enabled. Nothing to do when it runs.
    void start();
    /// SIGTERM, and waits for the end.
    void stop();
    /// SIGKILL, and waits for the end.
    void kill9();
    /// stop() if it runs, then start().
    void restart();
    /// Removes all streams and buckets from the disk. Only while it is stopped.
    void wipe_store();

    [[nodiscard]] std::uint16_t port() const { return port_; }
    /// nats://127.0.0.1:PORT
    [[nodiscard]] std::string url() const;
    [[nodiscard]] std::filesystem::path store_dir() const { return folder_ / "store"; }
    /// The running server, to be stopped (SIGSTOP) and continued; throws std::logic_error when it is down.
    [[nodiscard]] Process& process();
    /// Its log over all its lives.
    [[nodiscard]] std::string log() const;

  private:
    TempDir folder_;
    std::uint16_t port_;
    std::unique_ptr<Process> process_;
};

}  // namespace pgpulse::support
