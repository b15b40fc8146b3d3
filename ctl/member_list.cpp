#include "ctl/member_list.hpp"

#include <iostream>

namespace pgpulse::ctl {

std::vector<contract::Member> members_in(const Values& values) {
    std::vector<contract::Member> members;
    for (const auto& [key, entry] : values) {
        auto member = contract::decode_member(key, entry.value);
        if (member) {
            members.push_back(std::move(*member));
        } else {
            std::cerr << "pgpulse: member '" << key << "' cannot be read: " << member.error().detail << '\n';
        }
    }
    return members;
}

std::vector<std::string> serving(const std::vector<contract::Member>& members, contract::MemberKind kind) {
    std::vector<std::string> ids;
    for (const contract::Member& member : members) {
        if (member.kind == kind && member.phase == contract::MemberPhase::serving) ids.push_back(member.id);
    }
    return ids;
}

}  // namespace pgpulse::ctl
