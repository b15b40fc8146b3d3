#include "tests/support/http_proxy.hpp"

#include "tests/support/file_descriptor.hpp"
#include "tests/support/free_port.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace pgpulse::support {

HttpProxy::HttpProxy(std::uint16_t to) : port_(free_port()) {
    const std::string modes = (folder_ / "modes").string();
    const std::string config = (folder_ / "haproxy.cfg").string();
    std::ofstream{modes} << "mode pass\n";
    std::ofstream file{config};
    file << "global\n"
            "    stats socket "
         << (folder_ / "admin").string()
         << " level admin\n"
            "defaults\n"
            "    mode http\n"
            "    timeout connect 2s\n"
            "    timeout client 60s\n"
            "    timeout server 60s\n"
            "frontend way\n"
            "    bind 127.0.0.1:"
         << port_ << '\n';
    for (const int status : {429, 500, 503}) {
        file << "    http-request return status " << status
             << " content-type text/plain string \"the proxy says no\""
             << (status == 429 ? " hdr Retry-After 1" : "") << " if { str(mode),map(" << modes
             << ",pass) -m str " << status << " }\n";
    }
    file << "    default_backend server\n"
            "backend server\n"
            "    server the-one 127.0.0.1:"
         << to << '\n';
    file.close();
    process_ = std::make_unique<Process>(std::vector<std::string>{"haproxy", "-db", "-f", config});
    wait_ready(*process_, "haproxy",
               [this] { return command("show map").find("modes") != std::string::npos; });
}

std::string HttpProxy::url() const { return "http://127.0.0.1:" + std::to_string(port_); }

void HttpProxy::set(const std::string& mode) const {
    const std::string answer = command("set map " + (folder_ / "modes").string() + " mode " + mode);
    // It answers an empty line where it did as it was told.
    if (answer.find_first_not_of(" \n") != std::string::npos) throw std::runtime_error("haproxy: " + answer);
}

std::string HttpProxy::command(const std::string& line) const {
    const FileDescriptor admin{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = (folder_ / "admin").string();
    if (path.size() >= sizeof address.sun_path) throw std::runtime_error("too long for a socket: " + path);
    std::memcpy(address.sun_path, path.c_str(), path.size());
    const std::string request = line + "\n";
    if (::connect(admin.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::write(admin.get(), request.data(), request.size()) != static_cast<ssize_t>(request.size())) {
        return {};
    }
    std::string answer;
    std::array<char, 4096> buffer;
    for (ssize_t got = 0; (got = ::read(admin.get(), buffer.data(), buffer.size())) > 0;) {
        answer.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return answer;
}

}  // namespace pgpulse::support
