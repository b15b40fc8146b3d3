#pragma once

#include <cstdint>

namespace pgpulse::probe {

/// Bytes of the peer that the kernel has taken on a TCP connection so far (tcpi_bytes_received, Linux 4.1);
/// 0 where it does not say.
std::uint64_t received_bytes(int socket);

}  // namespace pgpulse::probe
