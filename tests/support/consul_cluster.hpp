#pragma once

#include "tests/support/consul_agent.hpp"

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

namespace pgpulse::support {

/// Three real Consul servers that are one cluster, with their own HTTP interfaces.
class ConsulCluster {
  public:
    static constexpr std::size_t kServers = 3;

    /// Starts them and waits until each knows a leader; throws std::runtime_error with a log when one does not
    /// get there.
    ConsulCluster();

    [[nodiscard]] ConsulAgent& server(std::size_t server) { return *servers_.at(server); }

    /// The server that leads, as those say that answer and are not `but`; nullopt: none does.
    [[nodiscard]] std::optional<std::size_t> leader(std::optional<std::size_t> but = {}) const;
    /// Some server that does not lead. Throws std::runtime_error where there is no leader.
    [[nodiscard]] std::size_t follower() const;

    /// The logs of all three.
    [[nodiscard]] std::string log() const;

  private:
    std::array<std::unique_ptr<ConsulAgent>, kServers> servers_;
};

}  // namespace pgpulse::support
