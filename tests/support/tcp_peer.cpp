#include "tests/support/tcp_peer.hpp"

#include "tests/support/free_port.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace pgpulse::support {
namespace {

using Clock = std::chrono::steady_clock;

/// For poll(): milliseconds until then, -1 for ever.
int patience(Clock::time_point until, Clock::time_point now) {
    if (until == Clock::time_point::max()) return -1;
    return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(until - now).count());
}

FileDescriptor listen_on(const std::string& host, std::uint16_t port) {
    FileDescriptor listener{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    const int on = 1;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    if (!listener || ::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1 ||
        ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener.get(), SOMAXCONN) != 0) {
        throw std::system_error(errno, std::generic_category(),
                                "listen on " + host + ":" + std::to_string(port));
    }
    return listener;
}

}  // namespace

TcpPeer::TcpPeer(TcpScript script, std::uint16_t port, const std::string& address)
    : script_(std::move(script)),
      port_(port != 0 ? port : free_port()),
      listener_(listen_on(address, port_)),
      wake_(::eventfd(0, EFD_CLOEXEC)),
      thread_([this] { serve(); }) {}

TcpPeer::~TcpPeer() {
    const std::uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);
    thread_.join();
}

void TcpPeer::serve() {
    struct Connection {
        FileDescriptor socket;
        std::string_view unsent;
        bool reply_due;
        std::chrono::steady_clock::time_point next_block{};
    };
    std::map<int, Connection> connections;
    // Sends what the client takes without waiting for it; a client that reads nothing must not hold up the
    // others.
    const auto proceed = [&](Connection& connection) {
        const int fd = connection.socket.get();
        while (!connection.unsent.empty()) {
            const ssize_t sent =
                ::send(fd, connection.unsent.data(), connection.unsent.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent <= 0) {
                return;
            }
            connection.unsent.remove_prefix(static_cast<std::size_t>(sent));
        }
        if (!connection.reply_due && !script_.forever.empty()) {
            connection.unsent = script_.forever;
            connection.next_block = Clock::now() + script_.pause;
        }
        if (connection.reply_due || script_.end == TcpScript::End::hold) {
            return;
        }
        if (script_.end == TcpScript::End::reset) {
            const linger at_once{.l_onoff = 1, .l_linger = 0};
            ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        }
        connections.erase(fd);
    };
    for (;;) {
        std::vector<pollfd> polled{{.fd = wake_.get(), .events = POLLIN, .revents = 0},
                                   {.fd = listener_.get(), .events = POLLIN, .revents = 0}};
        const auto now = Clock::now();
        auto next_block = Clock::time_point::max();
        for (const auto& [fd, connection] : connections) {
            const bool sends = !connection.unsent.empty() && connection.next_block <= now;
            if (!connection.unsent.empty() && !sends)
                next_block = std::min(next_block, connection.next_block);
            polled.push_back(
                {.fd = fd, .events = static_cast<short>(sends ? POLLIN | POLLOUT : POLLIN), .revents = 0});
        }
        ::poll(polled.data(), polled.size(), patience(next_block, now));
        if (polled[0].revents != 0) {
            return;
        }
        for (std::size_t i = 2; i < polled.size(); ++i) {
            if (polled[i].revents == 0) {
                continue;
            }
            Connection& connection = connections.at(polled[i].fd);
            if ((polled[i].revents & ~POLLOUT) != 0) {
                std::array<char, 4096> ignored;
                if (::recv(polled[i].fd, ignored.data(), ignored.size(), MSG_DONTWAIT) <= 0) {
                    connections.erase(polled[i].fd);
                    continue;
                }
                if (std::exchange(connection.reply_due, false)) {
                    connection.unsent = script_.reply;
                }
            }
            if (connection.next_block <= Clock::now()) proceed(connection);
        }
        if (polled[1].revents != 0) {
            FileDescriptor socket{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
            if (!socket) {
                continue;
            }
            ++accepted_;
            const int fd = socket.get();
            proceed(
                connections
                    .emplace(fd, Connection{std::move(socket), script_.greeting, !script_.reply.empty(), {}})
                    .first->second);
        }
    }
}

}  // namespace pgpulse::support
