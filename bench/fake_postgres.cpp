#include "bench/arguments.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

// A target that costs next to nothing: a real server forks a backend for every ping, and measuring that would
// hide what the pinging side costs. One thread answers a startup packet on any of its loopback ports with a
// request for SCRAM authentication, as a server does that wants a password, and closes when the client does. With
// a certificate it speaks TLS with whoever asks for it.
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

struct FreeTls {
    void operator()(SSL* tls) const { SSL_free(tls); }
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using TlsContext = std::unique_ptr<SSL_CTX, FreeTls>;

TlsContext tls_context(const char* certificate, const char* key) {
    TlsContext context{SSL_CTX_new(TLS_server_method())};
    if (!context || SSL_CTX_use_certificate_file(context.get(), certificate, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(context.get(), key, SSL_FILETYPE_PEM) != 1) {
        give_up(std::string{"certificate "} + certificate + " and key " + key + ": not usable");
    }
    // As PostgreSQL does: each connection is a whole handshake.
    SSL_CTX_set_num_tickets(context.get(), 0);
    SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
    return context;
}

/// The connections that speak TLS by now, by their descriptor.
class TlsClients {
  public:
    explicit TlsClients(TlsContext context) : context_(std::move(context)) {}

    [[nodiscard]] bool offered() const { return context_ != nullptr; }
    void begin(int client) {
        const auto place = static_cast<std::size_t>(client);
        if (place >= of_.size()) of_.resize(place + 1);
        of_[place].reset(SSL_new(context_.get()));
        SSL_set_fd(of_[place].get(), client);
        SSL_set_accept_state(of_[place].get());
    }
    void end(int client) {
        if (of(client) == nullptr) return;
        ERR_clear_error();
        of_[static_cast<std::size_t>(client)].reset();
    }
    [[nodiscard]] SSL* of(int client) const {
        const auto place = static_cast<std::size_t>(client);
        return place < of_.size() ? of_[place].get() : nullptr;
    }

  private:
    TlsContext context_;
    std::vector<std::unique_ptr<SSL, FreeTls>> of_;
};

/// As recv: 0 at the end, -1 where nothing waits (EAGAIN) or the connection is of no more use.
ssize_t read_some(SSL* tls, int client, char* bytes, std::size_t size) {
    if (tls == nullptr) return recv(client, bytes, size, 0);
    const int got = SSL_read(tls, bytes, static_cast<int>(size));
    if (got > 0) return got;
    errno = SSL_get_error(tls, got) == SSL_ERROR_WANT_READ ? EAGAIN : EIO;
    return -1;
}

bool write_all(SSL* tls, int client, std::string_view text) {
    const auto size = static_cast<ssize_t>(text.size());
    if (tls == nullptr) return send(client, text.data(), text.size(), MSG_NOSIGNAL) == size;
    return SSL_write(tls, text.data(), static_cast<int>(size)) == static_cast<int>(size);
}

/// False when the connection is of no more use. A startup packet comes in one piece on loopback; one that
/// does not is cut, and shows as a failed ping.
bool answer(int client, TlsClients& clients) {
    SSL* const tls = clients.of(client);
    std::array<char, 1024> bytes;
    const ssize_t got = read_some(tls, client, bytes.data(), bytes.size());
    if (got < 0) return errno == EAGAIN;
    if (got < 8) return false;
    std::uint32_t length = 0;
    std::uint32_t code = 0;
    std::memcpy(&length, bytes.data(), sizeof length);
    std::memcpy(&code, bytes.data() + sizeof length, sizeof code);
    if (ntohl(length) != static_cast<std::uint32_t>(got)) return false;
    switch (ntohl(code)) {
        case kProtocol3:
            return write_all(tls, client, kAuthenticationRequest);
        case kSslRequest:
            if (!clients.offered()) return write_all(tls, client, "N");
            if (!write_all(tls, client, "S")) return false;
            clients.begin(client);
            return true;
        case kGssRequest:
            return write_all(tls, client, "N");
        default:
            return false;
    }
}

void serve(std::uint16_t first_port, int ports, TlsClients clients) {
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
                if (!answer(fd, clients)) {
                    clients.end(fd);
                    close(fd);
                }
                continue;
            }
            for (;;) {
                const int client = accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (client < 0) break;
                const int on = 1;
                setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                watch(client, false);
            }
        }
    }
}

}  // namespace
}  // namespace pgpulse::bench

int main(int argc, char** argv) {
    using namespace pgpulse::bench;
    if (argc != 3 && argc != 5) usage("fake_postgres", "FIRST_PORT PORTS [CERTIFICATE KEY]");
    const long ports = whole_number("PORTS", argv[2], 1, 1000);
    const long first = whole_number("FIRST_PORT", argv[1], 1, 65536 - ports);
    // A client that closed makes a write fail, and OpenSSL's writes know no MSG_NOSIGNAL.
    std::signal(SIGPIPE, SIG_IGN);
    serve(static_cast<std::uint16_t>(first), static_cast<int>(ports),
          TlsClients{argc == 5 ? tls_context(argv[3], argv[4]) : nullptr});
}
