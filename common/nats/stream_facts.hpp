#pragma once

#include "common/contract/wall_time.hpp"
#include "common/nats/connection.hpp"

#include <chrono>
#include <cstdint>
#include <string>

namespace pgpulse::nats {

/// What the server says of a stream.
struct StreamFacts {
    contract::WallTime created{};
    std::uint64_t first = 0;  // sequence of the oldest message; one more than `last` in an empty stream
    std::uint64_t last = 0;   // sequence of the newest message there ever was
    std::uint64_t messages = 0;
    std::chrono::nanoseconds max_age{0};  // 0: messages stay
    int replicas = 1;
};

/// Looks at any stream. `domain`: the JetStream domain that it is in; empty: the connection's own. Status NATS_NOT_FOUND:
/// there is none. Blocks for a second at most.
Result<StreamFacts> look_at_stream(Connection& connection, const std::string& stream,
                                   const std::string& domain = {});

}  // namespace pgpulse::nats
