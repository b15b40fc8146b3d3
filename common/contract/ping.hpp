#pragma once

#include "common/contract/names.hpp"
#include "common/contract/refusal.hpp"
#include "common/contract/vocabulary.hpp"
#include "common/contract/wall_time.hpp"

#include <tl/expected.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pgpulse::contract {

/// One ping's result, as published on `health.ping.<partition>.<worker>.<target>`. Optional fields are left
/// out of the JSON when they are empty.
struct Ping {
    std::string target;
    std::string worker;
    std::string site;          // empty: none
    std::string run;           // random for each start of the worker, 16 hexadecimal digits
    std::uint64_t seq = 0;     // counts the worker's pings of this run, from 1
    std::int64_t mono_ms = 0;  // the worker's monotonic clock when the ping ended
    WallTime at{};             // when the ping ended, for people
    Verdict verdict = Verdict::inconclusive;
    Reason reason = Reason::ok;
    std::string sqlstate;  // five characters, empty: none
    std::optional<std::int64_t> rtt_us;
    Via via = Via::fresh;
    Opinion opinion = Opinion::undecided;
    std::uint32_t streak = 0;  // results alike in a row, this one included
    std::optional<Role> role;
    std::optional<bool> writable;
    std::optional<std::int64_t> lag_ms;
    std::optional<std::int64_t> lag_bytes;
    std::optional<WallTime> started_at;
    std::optional<WallTime> crashed_at;
    bool suspect = false;  // the worker doubts itself

    bool operator==(const Ping&) const = default;
};

/// The ping as JSON, without a line end.
std::string encode(const Ping& ping);

/// Reads a ping's JSON. Unknown fields are ignored.
tl::expected<Ping, Refusal> decode_ping(std::string_view payload);

/// Reads a ping as it came from NATS: also refuses a malformed subject and a payload that disagrees with it,
/// which is what keeps one worker from speaking for another where NATS permissions bind the subject.
tl::expected<Ping, Refusal> decode_ping(std::string_view subject, std::string_view payload);

}  // namespace pgpulse::contract
