#pragma once

#include "common/nats/connection.hpp"
#include "tests/support/certificate_authority.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgpulse::support {

/// What a configuration of deploy/nats takes from the environment, by name.
using NatsVariables = std::map<std::string, std::string>;

/// A real nats-server with a configuration of deploy/nats, word for word. Its environment is the example file beside it,
/// with ports, folders and certificates of a test, and another password for each user. Listens on 127.0.0.1, with a
/// certificate for `localhost`. Its ports and its store stay the same over restarts.
class DeployedNats {
  public:
    /// `config`: "single.conf", "cluster.conf" (hub.env.example) or "leaf.conf" (site.env.example); `variables` come on top.
    /// Starts it and waits until it is ready; throws std::runtime_error with its log when it does not get there.
    DeployedNats(const CertificateAuthority& authority, std::string config, NatsVariables variables = {});

    void start();
    /// SIGKILL, and waits for the end.
    void kill9();
    /// Removes all streams from the disk. Only while it is down.
    void wipe_store();

    [[nodiscard]] Process& process() { return *process_; }
    /// tls://localhost:PORT
    [[nodiscard]] std::string url() const;
    [[nodiscard]] std::uint16_t leaf_port() const { return leaf_port_; }
    /// Its log over all its lives.
    [[nodiscard]] std::string log() const;
    /// Of the user in users.conf or leaf.conf.
    [[nodiscard]] static std::string password_of(std::string_view user);

  private:
    TempDir folder_;
    std::string config_;
    std::uint16_t port_;
    std::uint16_t leaf_port_;
    NatsVariables variables_;
    std::unique_ptr<Process> process_;
};

/// What a program of this user has in its environment: NATS_URL, NATS_USER, NATS_PASSWORD, NATS_CA and NATS_INBOX_PREFIX.
ProcessOptions as_nats_user(const std::string& user, const std::string& url,
                            const CertificateAuthority& authority);

/// A connection of this user. Throws std::runtime_error where the server does not let it in.
std::unique_ptr<nats::Connection> connect_as(const std::string& user, const std::string& url,
                                             const CertificateAuthority& authority);

}  // namespace pgpulse::support
