#include "tests/support/free_port.hpp"

#include "tests/support/file_descriptor.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace pgpulse::support {
namespace {

constexpr int first_port = 10000;
constexpr int last_port = 31999;

/// A lock that leaves no file behind: an abstract socket name is bound by one process of a network namespace
/// at a time and is free again when that process is gone, however it ended.
FileDescriptor reserve(int port) {
    FileDescriptor lock{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const std::string name = "pgpulse-test-port-" + std::to_string(port);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, name.data(), name.size());
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    if (!lock || ::bind(lock.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) {
        return {};
    }
    return lock;
}

bool can_bind(int type, int port) {
    const FileDescriptor probe{::socket(AF_INET, type | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return probe && ::bind(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

}  // namespace

std::uint16_t free_port() {
    static std::mutex mutex;
    static std::vector<FileDescriptor> reserved;
    static std::mt19937 random{std::random_device{}()};
    const std::scoped_lock lock{mutex};
    std::uniform_int_distribution<int> pick{first_port, last_port};
    constexpr int attempts = 1000;
    for (int attempt = 0; attempt < attempts; ++attempt) {
        const int port = pick(random);
        FileDescriptor reservation = reserve(port);
        if (reservation && can_bind(SOCK_STREAM, port) && can_bind(SOCK_DGRAM, port)) {
            reserved.push_back(std::move(reservation));
            return static_cast<std::uint16_t>(port);
        }
    }
    throw std::runtime_error("no free loopback port in 10000..31999 after 1000 attempts");
}

}  // namespace pgpulse::support
