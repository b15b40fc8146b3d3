#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace pgpulse::contract {

/// An instant for people: UTC, microseconds. Intervals are never computed from it (see docs/architecture.md).
using WallTime = std::chrono::sys_time<std::chrono::microseconds>;

/// RFC 3339 with microseconds and `Z`: "2026-01-02T03:04:05.000006Z", always 27 characters for years 0 to
/// 9999.
std::string to_rfc3339(WallTime time);

/// Reads RFC 3339 in UTC (`Z`), with none to nine digits of a second's fraction; further than microseconds is
/// cut off. Nullopt for anything else, also for a day or an hour that does not exist.
std::optional<WallTime> parse_rfc3339(std::string_view text);

}  // namespace pgpulse::contract
