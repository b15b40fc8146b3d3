#include "tests/support/consul_cluster.hpp"

#include <stdexcept>

namespace pgpulse::support {

ConsulCluster::ConsulCluster() {
    ConsulAgentOptions options;
    options.servers = kServers;
    for (std::size_t i = 0; i < kServers; ++i) {
        options.node_name = "server-" + std::to_string(i);
        servers_.at(i) = ConsulAgent::launched(options);
        options.join.push_back(servers_.at(i)->serf_port());
    }
    for (const auto& server : servers_) server->wait_until_ready();
}

std::optional<std::size_t> ConsulCluster::leader(std::optional<std::size_t> but) const {
    for (std::size_t asked = 0; asked < kServers; ++asked) {
        if (asked == but) continue;
        const auto answer = servers_.at(asked)->get("/v1/status/leader");
        if (answer.status != 200) continue;
        for (std::size_t i = 0; i < kServers; ++i) {
            const std::string address = "\"127.0.0.1:" + std::to_string(servers_.at(i)->server_port()) + "\"";
            if (i != but && answer.body.starts_with(address)) return i;
        }
    }
    return std::nullopt;
}

std::size_t ConsulCluster::follower() const {
    const auto leads = leader();
    if (!leads) throw std::runtime_error("no Consul server leads:\n" + log());
    return *leads == 0 ? 1 : 0;
}

std::string ConsulCluster::log() const {
    std::string all;
    for (std::size_t i = 0; i < kServers; ++i) {
        all += "server-" + std::to_string(i) + ":\n" + servers_.at(i)->log();
    }
    return all;
}

}  // namespace pgpulse::support
