#pragma once

#include "tests/support/nats_server.hpp"
#include "tests/support/tcp_relay.hpp"

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

namespace pgpulse::support {

/// Three real nats-servers that are one JetStream cluster. They know each other by relays alone, so that a test can cut
/// one off from the others while clients still reach it. No server tells its clients of the others: a client knows
/// those that its URL names.
class NatsCluster {
  public:
    static constexpr std::size_t kServers = 3;

    /// Starts them and waits until a stream of three replicas can be made through each; throws std::runtime_error with
    /// their logs when it does not get there.
    NatsCluster();

    /// All three, separated by commas.
    [[nodiscard]] std::string url() const;
    [[nodiscard]] std::string url(std::size_t server) const { return servers_.at(server)->url(); }

    /// SIGSTOP and SIGCONT: its connections stay and nothing answers.
    void stop(std::size_t server);
    void cont(std::size_t server);
    void kill(std::size_t server);
    /// Starts it again with its store. What it missed it catches up with by itself: `whole` says when.
    void restart(std::size_t server);
    /// Cuts it off from the others, not from its clients.
    void cut_off(std::size_t server);
    void rejoin(std::size_t server);

    /// The server that leads the stream ("KV_health"), as those of them say that answer; nullopt: none does.
    [[nodiscard]] std::optional<std::size_t> leader_of(const std::string& stream) const;
    /// The stream has a leader, and all its replicas are up to date.
    [[nodiscard]] bool whole(const std::string& stream) const;
    /// True where the server leads the stream; else asks the one that does to step down.
    [[nodiscard]] bool lead(const std::string& stream, std::size_t server) const;

    [[nodiscard]] NatsServer& server(std::size_t server) { return *servers_.at(server); }
    /// The logs of all three.
    [[nodiscard]] std::string log() const;

  private:
    struct Answer {
        std::optional<std::size_t> leader;
        bool whole = false;
    };

    // By the server that connects, then by the one that it reaches. Of two servers the later one connects alone: where
    // both do, one of the two routes is closed as a duplicate, and nats-server 2.10 was seen never to tell the other of its
    // JetStream then.
    std::array<std::array<std::unique_ptr<TcpRelay>, kServers>, kServers> routes_;
    std::array<std::unique_ptr<NatsServer>, kServers> servers_;
    std::array<bool, kServers> answers_{};  // neither killed, stopped nor cut off

    void wait_until_ready();
    void start_anew();
    TcpRelay& route_between(std::size_t one, std::size_t other);
    [[nodiscard]] Answer ask(const std::string& stream) const;
};

}  // namespace pgpulse::support
