#include "bench/arguments.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string_view>

// A target that costs next to nothing: a real server forks a backend for every ping, and measuring that would
// hide what the pinging side costs. One thread answers a startup packet on any of its loopback ports with a
// request for SCRAM authentication, as a server does that wants a password, and closes when the client does.
namespace pgpulse::bench {
namespace {

constexpr int kBacklog = 4096;
// So often it looks before it sleeps. Waking a sleeper on another core costs the pinging side a quarter of a
// ping on a virtual machine, and more the less it keeps the target busy; a target across a network has no
// such cost.
constexpr int kIdleLooks = 2000;
constexpr std::uint32_t kProtocol3 = 196608;
constexpr std::uint32_t kSslRequest = 80877103;
constexpr std::uint32_t kGssRequest = 80877104;

using namespace std::string_view_literals;
// AuthenticationSASL (10) with one mechanism.
constexpr auto kAuthenticationRequest = "R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"sv;

int listen_on(std::uint16_t port) {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener < 0 || bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        listen(listener, kBacklog) != 0) {
        give_up("port " + std::to_string(port) + ": " + std::strerror(errno));
    }
    return listener;
}

/// False when the connection is of no more use. A startup packet comes in one piece on loopback; one that
/// does not is cut, and shows as a failed ping.
bool answer(int client) {
    std::array<char, 1024> bytes;
    const ssize_t got = recv(client, bytes.data(), bytes.size(), 0);
    if (got < 0) return errno == EAGAIN;
    if (got < 8) return false;
    std::uint32_t length = 0;
    std::uint32_t code = 0;
    std::memcpy(&length, bytes.data(), sizeof length);
    std::memcpy(&code, bytes.data() + sizeof length, sizeof code);
    if (ntohl(length) != static_cast<std::uint32_t>(got)) return false;
    std::string_view reply;
    switch (ntohl(code)) {
        case kProtocol3:
            reply = kAuthenticationRequest;
            break;
        case kSslRequest:
        case kGssRequest:
            reply = "N";
            break;
        default:
            return false;
    }
    return send(client, reply.data(), reply.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(reply.size());
}

void serve(std::uint16_t first_port, int ports) {
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    const auto watch = [epoll](int fd, bool listener) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.u64 = static_cast<std::uint64_t>(fd) << 1U | (listener ? 1U : 0U);
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    };
    for (int i = 0; i < ports; ++i) watch(listen_on(static_cast<std::uint16_t>(first_port + i)), true);
    std::puts("listening");
    std::fflush(stdout);

    std::array<epoll_event, 256> events;
    int idle_looks = 0;
    for (;;) {
        const int timeout = idle_looks < kIdleLooks ? 0 : -1;
        const int ready = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), timeout);
        idle_looks = ready > 0 ? 0 : idle_looks + 1;
        for (int i = 0; i < ready; ++i) {
            const auto data = events[static_cast<std::size_t>(i)].data.u64;
            const int fd = static_cast<int>(data >> 1U);
            if ((data & 1U) == 0) {
                if (!answer(fd)) close(fd);
                continue;
            }
            for (;;) {
                const int client = accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (client < 0) break;
                watch(client, false);
            }
        }
    }
}

}  // namespace
}  // namespace pgpulse::bench

int main(int argc, char** argv) {
    using namespace pgpulse::bench;
    if (argc != 3) usage("fake_postgres", "FIRST_PORT PORTS");
    const long ports = whole_number("PORTS", argv[2], 1, 1000);
    const long first = whole_number("FIRST_PORT", argv[1], 1, 65536 - ports);
    serve(static_cast<std::uint16_t>(first), static_cast<int>(ports));
}
