#include "tests/support/nats_server.hpp"

#include "tests/support/file_descriptor.hpp"
#include "tests/support/free_port.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace pgpulse::support {
std::string nats_greeting(std::uint16_t port) {
    const FileDescriptor socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (!socket ||
        ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        return {};
    }
    std::string line;
    std::array<char, 4096> buffer;
    pollfd readable{.fd = socket.get(), .events = POLLIN, .revents = 0};
    while (line.find('\n') == std::string::npos && ::poll(&readable, 1, 1000) == 1) {
        const ssize_t got = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
        if (got <= 0) {
            break;
        }
        line.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return line;
}

NatsServer::NatsServer(const NatsServerOptions& options)
    : port_(options.port != 0 ? options.port : free_port()) {
    std::ofstream config{folder_ / "nats.conf"};
    config << "listen: \"" << options.host << ":" << port_ << "\"\n"
           << "jetstream { store_dir: " << store_dir() << ", max_file_store: 4G, max_memory_store: 256M }\n"
           << options.extra_config << '\n';
    config.close();
    start();
}

void NatsServer::start() {
    if (process_) {
        return;
    }
    process_ = std::make_unique<Process>(
        std::vector<std::string>{"nats-server", "--config", (folder_ / "nats.conf").string()},
        ProcessOptions{.working_directory = folder_.path(), .log_file = folder_ / "nats.log"});
    // JetStream has read its streams back before the server opens its port and says so in its greeting.
    wait_ready(*process_, "nats-server", [this] {
        const auto line = nats_greeting(port_);
        return line.starts_with("INFO ") && line.find("\"jetstream\":true") != std::string::npos;
    });
}

void NatsServer::stop() {
    if (process_ && !process_->terminate()) {
        throw std::runtime_error("nats-server did not end on SIGTERM; it wrote:\n" + log());
    }
    process_.reset();
}

void NatsServer::kill9() {
    process().kill9();
    process_.reset();
}

void NatsServer::restart() {
    stop();
    start();
}

void NatsServer::wipe_store() {
    if (process_) {
        throw std::logic_error("wipe_store() while nats-server runs");
    }
    std::filesystem::remove_all(store_dir());
}

std::string NatsServer::url() const { return "nats://127.0.0.1:" + std::to_string(port_); }

Process& NatsServer::process() {
    if (!process_) {
        throw std::logic_error("nats-server is down");
    }
    return *process_;
}

std::string NatsServer::log() const {
    std::ostringstream text;
    text << std::ifstream{folder_ / "nats.log"}.rdbuf();
    return text.str();
}

}  // namespace pgpulse::support
