#pragma once

#include "tests/support/file_descriptor.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

namespace pgpulse::support {

/// What a TcpPeer does with each connection. The default accepts it and says nothing.
struct TcpScript {
    enum class End { hold, close, reset };

    /// Sent as soon as the connection is accepted.
    std::string greeting = {};
    /// Sent once, when the first bytes of the client have arrived.
    std::string reply = {};
    /// Sent after the reply over and over: a block each `pause`, without one as fast as the client takes it.
    std::string forever = {};
    std::chrono::milliseconds pause{0};
    /// What happens after the greeting and, if there is one, the reply: the connection stays open, is closed
    /// in order, or is cut with a TCP reset.
    End end = End::hold;
};

/// Something that listens on the loopback network and is not a Postgres: silent, a talker of garbage, one that hangs up.
class TcpPeer {
  public:
    /// Listens at `port`, 0 being a free one, of an IPv4 address. Throws std::system_error when it cannot.
    explicit TcpPeer(TcpScript script = {}, std::uint16_t port = 0, const std::string& address = "127.0.0.1");
    ~TcpPeer();
    TcpPeer(const TcpPeer&) = delete;
    TcpPeer& operator=(const TcpPeer&) = delete;

    [[nodiscard]] std::uint16_t port() const { return port_; }
    /// How many connections it has accepted so far.
    [[nodiscard]] int accepted() const { return accepted_; }

  private:
    void serve();

    const TcpScript script_;
    const std::uint16_t port_;
    FileDescriptor listener_;
    FileDescriptor wake_;
    std::atomic<int> accepted_{0};
    std::thread thread_;
};

}  // namespace pgpulse::support
