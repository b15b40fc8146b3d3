#pragma once

#include "common/runtime/health.hpp"

#include <tl/expected.hpp>

#include <memory>
#include <string>

namespace prometheus {
class Registry;
}

namespace pgpulse::runtime {

/// What monitoring asks a program: `/metrics` in Prometheus' text format, `/healthz` (200 while the working
/// loop turns) and `/readyz` (200 once it does its job, else 503 with one line that says what it waits for).
class HttpEndpoint {
  public:
    /// Adds two gauges to the registry: `ready_metric`, which says what `/readyz` does, and when this process started.
    /// `address`: ADDR:PORT, "[::1]:9187" for IPv6, ":9187" for every address. The functions are called on
    /// the endpoint's threads. Error: one line.
    static tl::expected<std::unique_ptr<HttpEndpoint>, std::string> open(
        const std::string& address, std::shared_ptr<prometheus::Registry> registry, Health health,
        const std::string& ready_metric);

    HttpEndpoint(const HttpEndpoint&) = delete;
    HttpEndpoint& operator=(const HttpEndpoint&) = delete;
    ~HttpEndpoint();

    /// The port it listens on.
    [[nodiscard]] int port() const;

  private:
    struct Impl;
    explicit HttpEndpoint(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

/// Splits "ADDR:PORT"; an empty address stands for every address. Nullopt where the port is not 0 to 65535.
struct HostPort {
    std::string host;
    int port = 0;
};
tl::expected<HostPort, std::string> parse_host_port(const std::string& text);

}  // namespace pgpulse::runtime
