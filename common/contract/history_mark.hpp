#pragma once

#include "common/contract/wall_time.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

namespace pgpulse::contract {

// The headers of a message of the stream HEALTH_TRANSITIONS.
inline constexpr const char* kHistoryEpoch = "Pgpulse-Epoch";
inline constexpr const char* kHistoryRevision = "Pgpulse-Revision";
inline constexpr const char* kHistoryStoredAt = "Pgpulse-Stored-At";
inline constexpr const char* kHistoryTransition = "Pgpulse-Transition";
inline constexpr const char* kHistoryDecidedAt = "Pgpulse-Decided-At";
inline constexpr const char* kHistoryOperation = "KV-Operation";

/// What a message of the history says of the revision that it is a copy of.
struct HistoryMark {
    WallTime epoch{};            // when the bucket's stream was created
    std::uint64_t revision = 0;  // of the bucket, 1 or more
    WallTime stored_at{};        // when the server stored that revision
    /// The target's number; of a removal that of the last state before it, 0: not known.
    std::uint64_t transition = 0;
    WallTime decided_at{};  // of that transition
    bool removal = false;

    bool operator==(const HistoryMark&) const = default;
};

/// The value of a header by its name; empty where there is none.
using HeaderValue = std::function<std::string_view(const char* name)>;

/// Reads the mark from the headers of a message of the history. Nullopt where one is missing or malformed:
/// somebody else wrote the message.
std::optional<HistoryMark> mark_of(const HeaderValue& header);

}  // namespace pgpulse::contract
