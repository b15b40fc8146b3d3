#include "tests/support/notify_socket.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <sstream>
#include <system_error>

namespace pgpulse::support {

NotifySocket::NotifySocket(Kind kind) : address_(folder_ / "notify") {
    const bool abstract = kind == Kind::abstract;
    if (abstract) address_.front() = '@';
    socket_ = FileDescriptor{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(static_cast<char*>(address.sun_path), address_.data(), address_.size());
    if (abstract) address.sun_path[0] = '\0';
    const auto length = offsetof(sockaddr_un, sun_path) + address_.size() + (abstract ? 0 : 1);
    if (!socket_ || ::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address),
                           static_cast<socklen_t>(length)) != 0) {
        throw std::system_error{errno, std::generic_category(), "binding " + address_};
    }
}

std::vector<std::string> NotifySocket::lines() {
    std::array<char, 4096> datagram{};
    for (;;) {
        const auto size = ::recv(socket_.get(), datagram.data(), datagram.size(), 0);
        if (size < 0) return lines_;
        std::istringstream text{std::string{datagram.data(), static_cast<std::size_t>(size)}};
        for (std::string line; std::getline(text, line);) lines_.push_back(line);
    }
}

bool NotifySocket::told(const std::string& line) { return count(line) > 0; }

std::size_t NotifySocket::count(const std::string& line) {
    return static_cast<std::size_t>(std::ranges::count(lines(), line));
}

std::string NotifySocket::text() {
    std::string text;
    for (const std::string& line : lines()) text += "\n  " + line;
    return text;
}

}  // namespace pgpulse::support
