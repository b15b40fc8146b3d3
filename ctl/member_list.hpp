#pragma once

#include "common/contract/member.hpp"
#include "ctl/bucket_snapshot.hpp"

#include <string>
#include <vector>

namespace pgpulse::ctl {

/// The members in the bucket's values; says on standard error which of them cannot be read.
std::vector<contract::Member> members_in(const Values& values);

/// The ids of those of a kind that serve.
std::vector<std::string> serving(const std::vector<contract::Member>& members, contract::MemberKind kind);

}  // namespace pgpulse::ctl
