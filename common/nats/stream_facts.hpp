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
    int replicas_current = 1;      // of these, that are there and not behind, the leader included
    std::string republish_to;      // subject; empty: not republished
    std::int64_t per_subject = 0;  // messages kept of each subject; -1: all
};

/// What the account may keep.
struct JetStreamFacts {
    std::uint64_t stored_bytes = 0;
    std::int64_t most_stored_bytes = -1;  // -1: no limit
    std::int64_t streams = 0;
};

/// Asks for the account's JetStream. An error where JetStream is off, or not on for this account. Blocks for a second
/// at most.
Result<JetStreamFacts> look_at_jetstream(Connection& connection);

/// Looks at any stream. `domain`: the JetStream domain that it is in; empty: the connection's own. Status NATS_NOT_FOUND:
/// there is none. Blocks for a second at most.
Result<StreamFacts> look_at_stream(Connection& connection, const std::string& stream,
                                   const std::string& domain = {});

}  // namespace pgpulse::nats
