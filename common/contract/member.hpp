#pragma once

#include "common/contract/refusal.hpp"
#include "common/contract/vocabulary.hpp"

#include <tl/expected.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace pgpulse::contract {

/// One running program: the value of its key in the bucket `health_members`, which it writes anew every 500
/// ms.
struct Member {
    MemberKind kind = MemberKind::probe;
    std::string id;    // is_member_id
    std::string run;   // is_run, random for each start
    std::string site;  // empty: none
    MemberPhase phase = MemberPhase::starting;

    bool operator==(const Member&) const = default;
};

/// `probe.<id>`, `aggregator.<id>`, `bridge.<id>`
std::string member_key(MemberKind kind, std::string_view id);

/// The parts of a member's key. The id points into the key it was read from.
struct MemberKey {
    MemberKind kind = MemberKind::probe;
    std::string_view id;
};

/// Nullopt unless the key has the form of `member_key`.
std::optional<MemberKey> parse_member_key(std::string_view key);

/// The member as JSON. An empty site is left out.
std::string encode(const Member& member);

/// Reads the value of a key of `health_members`. Unknown fields are ignored; a value that disagrees with its
/// key is refused.
tl::expected<Member, Refusal> decode_member(std::string_view key, std::string_view value);

}  // namespace pgpulse::contract
