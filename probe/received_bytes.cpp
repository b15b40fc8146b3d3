#include "probe/received_bytes.hpp"

// The C library's tcp_info ends before the field that is needed here, and the kernel's header cannot be
// included beside <netinet/tcp.h>, which Asio brings.
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>

namespace pgpulse::probe {

std::uint64_t received_bytes(int socket) {
    tcp_info info{};
    socklen_t size = sizeof info;
    if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
    if (size < offsetof(tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received) return 0;
    return info.tcpi_bytes_received;
}

}  // namespace pgpulse::probe
