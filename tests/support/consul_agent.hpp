#pragma once

#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pgpulse::support {

/// The program of $PGPULSE_CONSUL, else `consul` on the PATH. Throws std::runtime_error when there is none.
std::string consul_program();

struct ConsulAgentOptions {
    /// A second configuration file as JSON text, for ACLs and the like; empty: none.
    std::string extra_config = {};
    /// Sent as X-Consul-Token with every request of this fixture; empty: none.
    std::string token = {};
};

struct HttpResponse {
    /// 0: no answer within five seconds, and `body` says why.
    long status;
    std::string body;
};

/// A real Consul agent, the only server of its datacenter, at 127.0.0.1.
/// Its ports and its data stay the same over restarts.
class ConsulAgent {
  public:
    /// Starts it and waits until it is ready; throws std::runtime_error with its log when it does not get
    /// there.
    explicit ConsulAgent(ConsulAgentOptions options = {});

    /// Starts it and waits until it leads and answers a consistent read. Nothing to do when it runs.
    void start();
    /// SIGTERM, and waits for the end; it does not leave its cluster.
    void stop();
    /// SIGKILL, and waits for the end.
    void kill9();
    /// stop() if it runs, then start().
    void restart();
    /// Removes all that it stored. Only while it is down.
    void wipe();

    [[nodiscard]] std::uint16_t http_port() const { return http_port_; }
    [[nodiscard]] std::uint16_t dns_port() const { return dns_port_; }
    /// http://127.0.0.1:PORT
    [[nodiscard]] std::string http_url() const;
    /// The running agent, to be stopped (SIGSTOP) and continued; throws std::logic_error when it is down.
    [[nodiscard]] Process& process();
    /// Its log over all its lives.
    [[nodiscard]] std::string log() const;

    /// `path` begins with a slash: "/v1/catalog/nodes".
    [[nodiscard]] HttpResponse get(std::string_view path) const;
    [[nodiscard]] HttpResponse put(std::string_view path, std::string_view body) const;
    /// The bytes stored at `key`, nullopt when there is no such key.
    /// Throws std::runtime_error when Consul does not answer that question.
    [[nodiscard]] std::optional<std::string> kv_get_raw(std::string_view key) const;
    /// The status ("passing", "warning", "critical") of the check with this id, looked up on `node` or,
    /// without one, on all nodes; nullopt when there is no such check.
    /// Throws std::runtime_error when Consul does not answer that question.
    [[nodiscard]] std::optional<std::string> check_status(std::string_view check_id,
                                                          std::string_view node = {}) const;

  private:
    [[nodiscard]] HttpResponse request(std::string_view path, std::optional<std::string_view> body) const;

    TempDir folder_;
    std::string token_;
    std::uint16_t http_port_;
    std::uint16_t dns_port_;
    std::unique_ptr<Process> process_;
};

}  // namespace pgpulse::support
