#pragma once

#include <cstdint>

namespace pgpulse::support {

/// A port in 10000..31999 on which nothing listens at 127.0.0.1 (TCP and UDP), below the range from which the
/// kernel takes the ports of outgoing connections. It stays reserved until this process ends: no other
/// caller, in this process or in another one of the same network namespace, gets it meanwhile, also while the
/// server that uses it is down. Throws std::runtime_error when none is found.
std::uint16_t free_port();

}  // namespace pgpulse::support
