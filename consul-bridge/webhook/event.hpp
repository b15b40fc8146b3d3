#pragma once

#include "common/contract/history_mark.hpp"
#include "common/contract/wall_time.hpp"

#include <cstdint>
#include <string>
#include <string_view>

// Pure: a message of the history as a CloudEvent 1.0 in JSON (docs/webhooks.md).
namespace pgpulse::consul_bridge::webhook {

inline constexpr const char* kContentType = "application/cloudevents+json; charset=utf-8";

/// Where a message stands in the history.
struct Position {
    contract::WallTime history{};  // when the stream was created
    std::uint64_t sequence = 0;    // 1 or more
};

/// The event's `id`: the same whoever copied the revision into the history, and whoever posts it.
std::string event_id(std::string_view target, const contract::HistoryMark& mark);

/// `state`: the message's body, a state of the contract; of a removal of no account.
std::string to_cloud_event(std::string_view target, const contract::HistoryMark& mark, Position position,
                           std::string_view state);

}  // namespace pgpulse::consul_bridge::webhook
