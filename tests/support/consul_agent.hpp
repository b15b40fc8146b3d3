#pragma once

#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgpulse::support {

/// The program of $PGPULSE_CONSUL, else `consul` on the PATH. Throws std::runtime_error when there is none.
std::string consul_program();

struct ConsulAgentOptions {
    /// A second configuration file as JSON text, for ACLs and the like; empty: none.
    std::string extra_config = {};
    /// Sent as X-Consul-Token with every request of this fixture; empty: none.
    std::string token = {};
    std::string node_name = "agent";
    /// A server of a cluster of so many; 0: a client.
    int servers = 1;
    /// The Serf ports of those of its cluster that it looks for.
    std::vector<std::uint16_t> join = {};
};

struct HttpResponse {
    /// 0: no answer within five seconds, and `body` says why.
    long status;
    std::string body;
};

/// A real Consul agent at 127.0.0.1, unless told otherwise the only server of its datacenter.
/// Its ports and its data stay the same over restarts.
class ConsulAgent {
  public:
    /// Starts it and waits until it is ready; throws std::runtime_error with its log when it does not get
    /// there.
    explicit ConsulAgent(ConsulAgentOptions options = {});

    /// Starts it and waits until it knows a leader and answers a consistent read. Nothing to do when it runs.
    void start();
    /// Starts it without waiting, where others have to run for it to get ready.
    void launch();
    void wait_until_ready();
    /// A server of several, which is ready only together with the others: it is launched, not waited for.
    [[nodiscard]] static std::unique_ptr<ConsulAgent> launched(ConsulAgentOptions options);
    /// SIGTERM, and waits for the end; it does not leave its cluster.
    void stop();
    /// SIGKILL, and waits for the end.
    void kill9();
    /// stop() if it runs, then start().
    void restart();
    /// Removes all that it stored. Only while it is down.
    void wipe();

    [[nodiscard]] std::uint16_t http_port() const { return http_port_; }
    [[nodiscard]] std::uint16_t serf_port() const { return serf_port_; }
    [[nodiscard]] std::uint16_t server_port() const { return server_port_; }
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
    /// With another token than the fixture's.
    [[nodiscard]] HttpResponse get_as(const std::string& token, std::string_view path) const;
    [[nodiscard]] HttpResponse put_as(const std::string& token, std::string_view path,
                                      std::string_view body) const;
    /// The bytes stored at `key`, nullopt when there is no such key.
    /// Throws std::runtime_error when Consul does not answer that question.
    [[nodiscard]] std::optional<std::string> kv_get_raw(std::string_view key) const;
    /// The status ("passing", "warning", "critical") of the check with this id, looked up on `node` or,
    /// without one, on all nodes; nullopt when there is no such check.
    /// Throws std::runtime_error when Consul does not answer that question.
    [[nodiscard]] std::optional<std::string> check_status(std::string_view check_id,
                                                          std::string_view node = {}) const;

  private:
    struct Launch {};
    ConsulAgent(ConsulAgentOptions options, Launch);
    [[nodiscard]] HttpResponse request(const std::string& token, std::string_view path,
                                       std::optional<std::string_view> body) const;

    TempDir folder_;
    std::string token_;
    int servers_;
    std::uint16_t server_port_;
    std::uint16_t serf_port_;
    std::uint16_t http_port_;
    std::uint16_t dns_port_;
    std::unique_ptr<Process> process_;
};

}  // namespace pgpulse::support
