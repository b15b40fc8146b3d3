#include "tests/support/tcp_relay.hpp"

#include "tests/support/free_port.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <list>
#include <string>
#include <system_error>
#include <vector>

namespace pgpulse::support {
namespace {

constexpr std::size_t kBlock = 65536;

sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

FileDescriptor listen_on(std::uint16_t port) {
    FileDescriptor listener{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    const int on = 1;
    const sockaddr_in address = loopback(port);
    if (!listener || ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener.get(), SOMAXCONN) != 0) {
        throw std::system_error(errno, std::generic_category(), "listen on port " + std::to_string(port));
    }
    return listener;
}

/// Nobody is told late of a cut: what is closed so ends with a reset.
void reset_when_closed(const FileDescriptor& socket) {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

/// One end of a carried connection, and what is still to be sent to it.
struct End {
    FileDescriptor socket;
    std::string unsent;
};

struct Pair {
    End client;
    End server;
};

/// False where one of both has ended.
bool carry(const End& from, End& to, short seen_of_from, short seen_of_to) {
    if ((seen_of_from & (POLLIN | POLLHUP | POLLERR)) != 0 && to.unsent.empty()) {
        std::array<char, kBlock> block;
        const ssize_t got = ::recv(from.socket.get(), block.data(), block.size(), MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN)) return false;
        if (got > 0) to.unsent.assign(block.data(), static_cast<std::size_t>(got));
        seen_of_to |= POLLOUT;
    }
    if ((seen_of_to & POLLOUT) != 0 && !to.unsent.empty()) {
        const ssize_t sent =
            ::send(to.socket.get(), to.unsent.data(), to.unsent.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN) return false;
        if (sent > 0) to.unsent.erase(0, static_cast<std::size_t>(sent));
    }
    return true;
}

short wanted(const End& from, const End& to) {
    return static_cast<short>((to.unsent.empty() ? POLLIN : 0) | (from.unsent.empty() ? 0 : POLLOUT));
}

}  // namespace

TcpRelay::TcpRelay(std::uint16_t to)
    : to_(to),
      port_(free_port()),
      listener_(listen_on(port_)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_([this] { serve(); }) {}

TcpRelay::~TcpRelay() {
    stop_ = true;
    wake();
    thread_.join();
}

void TcpRelay::cut() {
    cut_ = true;
    const unsigned asked = ++cuts_asked_;
    wake();
    for (unsigned done = cuts_done_; done != asked; done = cuts_done_) cuts_done_.wait(done);
}

void TcpRelay::wake() const {
    const std::uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);
}

void TcpRelay::serve() {
    std::list<Pair> pairs;
    std::vector<pollfd> polled;
    while (!stop_) {
        polled = {{.fd = wake_.get(), .events = POLLIN, .revents = 0},
                  {.fd = listener_.get(), .events = POLLIN, .revents = 0}};
        for (const Pair& pair : pairs) {
            polled.push_back(
                {.fd = pair.client.socket.get(), .events = wanted(pair.client, pair.server), .revents = 0});
            polled.push_back(
                {.fd = pair.server.socket.get(), .events = wanted(pair.server, pair.client), .revents = 0});
        }
        ::poll(polled.data(), polled.size(), -1);
        if (polled[0].revents != 0) {
            std::uint64_t ignored = 0;
            (void)!::read(wake_.get(), &ignored, sizeof ignored);
        }
        std::size_t at = 2;
        if (const unsigned asked = cuts_asked_; asked != cuts_done_) {
            pairs.clear();
            cuts_done_ = asked;
            cuts_done_.notify_all();
        }
        for (auto pair = pairs.begin(); pair != pairs.end(); at += 2) {
            const short of_client = polled[at].revents;
            const short of_server = polled[at + 1].revents;
            const bool goes_on = carry(pair->client, pair->server, of_client, of_server) &&
                                 carry(pair->server, pair->client, of_server, of_client);
            pair = goes_on ? std::next(pair) : pairs.erase(pair);
        }
        if (polled[1].revents == 0) continue;
        End client{FileDescriptor{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)}, {}};
        if (!client.socket) continue;
        reset_when_closed(client.socket);
        if (cut_) continue;
        End server{FileDescriptor{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)}, {}};
        const sockaddr_in address = loopback(to_);
        if (!server.socket || ::connect(server.socket.get(), reinterpret_cast<const sockaddr*>(&address),
                                        sizeof address) != 0) {
            continue;
        }
        reset_when_closed(server.socket);
        const int on = 1;
        ::setsockopt(client.socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        ::setsockopt(server.socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        pairs.push_back({std::move(client), std::move(server)});
    }
}

}  // namespace pgpulse::support
