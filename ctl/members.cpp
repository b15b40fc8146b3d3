#include "ctl/members.hpp"

#include "common/cluster/rendezvous.hpp"
#include "common/contract/member.hpp"
#include "common/contract/names.hpp"
#include "common/contract/target.hpp"
#include "ctl/bucket_snapshot.hpp"
#include "ctl/connect.hpp"
#include "ctl/exit_codes.hpp"
#include "ctl/member_list.hpp"
#include "ctl/text_table.hpp"

#include <nlohmann/json.hpp>

#include <iostream>
#include <unordered_map>

namespace pgpulse::ctl {
namespace {

using contract::Member;
using contract::MemberKind;

/// How many of the defined targets each probe that serves observes, as the probes themselves reckon it.
std::unordered_map<std::string, std::size_t> observed_targets(const std::vector<Member>& members,
                                                              const Values& definitions) {
    const cluster::Rendezvous ranks{serving(members, MemberKind::probe)};
    std::unordered_map<std::string, std::size_t> observed;
    for (const auto& [name, entry] : definitions) {
        const auto stored = contract::decode_definition(name, entry.value);
        if (!stored) continue;
        for (const std::string& probe : ranks.owners(name, stored->definition.observers)) ++observed[probe];
    }
    return observed;
}

}  // namespace

int run_members(const Options& options) {
    const auto connection = connect(options);
    if (!connection) return connection.error();
    const auto values = read_bucket(**connection, contract::kMembersBucket, options.timeout);
    if (!values) {
        std::cerr << "pgpulse: " << values.error() << '\n';
        return kUnreachable;
    }
    const auto definitions = read_bucket(**connection, contract::kTargetsBucket, options.timeout);
    if (!definitions) {
        std::cerr << "pgpulse: " << definitions.error() << '\n';
        return kUnreachable;
    }
    const std::vector<Member> members = members_in(*values);
    const auto observed = observed_targets(members, *definitions);
    std::vector<std::vector<std::string>> rows{{"KIND", "ID", "PHASE", "TARGETS", "SITE", "RUN"}};
    for (const Member& member : members) {
        const auto found = observed.find(member.id);
        const std::size_t targets = found == observed.end() ? 0 : found->second;
        const bool probe = member.kind == MemberKind::probe;
        if (options.json) {
            nlohmann::ordered_json line = nlohmann::ordered_json::parse(contract::encode(member));
            if (probe) line["targets"] = targets;
            std::cout << line.dump() << '\n';
            continue;
        }
        rows.push_back({std::string{to_string(member.kind)}, member.id, std::string{to_string(member.phase)},
                        probe ? std::to_string(targets) : "-", member.site.empty() ? "-" : member.site,
                        member.run});
    }
    if (!options.json) std::cout << text_table(rows);
    std::cout.flush();
    return 0;
}

}  // namespace pgpulse::ctl
