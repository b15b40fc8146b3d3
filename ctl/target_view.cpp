#include "ctl/target_view.hpp"

#include "aggregator/partitions.hpp"
#include "common/cluster/rendezvous.hpp"
#include "common/contract/names.hpp"
#include "common/runtime/clock.hpp"
#include "ctl/bucket_snapshot.hpp"
#include "ctl/exit_codes.hpp"
#include "ctl/member_list.hpp"
#include "ctl/ping_listener.hpp"

namespace pgpulse::ctl {
namespace {

using contract::MemberKind;

/// Those who tally the target's partition, the first one first.
std::vector<std::string> aggregators_of(const std::string& target, const std::vector<std::string>& serving) {
    std::vector<std::string> first_and_second(2);
    for (const std::string& id : serving) {
        const auto rank = aggregator::ranks_of(id, serving).at(contract::partition_of(target));
        if (rank == aggregator::Rank::first) first_and_second[0] = id;
        if (rank == aggregator::Rank::second) first_and_second[1] = id;
    }
    std::erase(first_and_second, std::string{});
    return first_and_second;
}

}  // namespace

tl::expected<TargetFacts, ViewFault> view_target(nats::Connection& connection, const std::string& target,
                                                 std::chrono::milliseconds timeout) {
    const auto unreachable = [](std::string line) {
        return tl::unexpected(ViewFault{std::move(line), kUnreachable});
    };
    const auto definitions = read_bucket(connection, contract::kTargetsBucket, timeout);
    if (!definitions) return unreachable(definitions.error());
    const auto found = definitions->find(target);
    if (found == definitions->end())
        return tl::unexpected(ViewFault{"'" + target + "' has no definition", kNotFound});
    auto stored = contract::decode_definition(target, found->second.value);
    if (!stored)
        return tl::unexpected(
            ViewFault{"definition of '" + target + "' cannot be read: " + stored.error(), kNotFound});
    const auto states = read_bucket(connection, contract::kStateBucket, timeout);
    if (!states) return unreachable(states.error());
    const auto values = read_bucket(connection, contract::kMembersBucket, timeout);
    if (!values) return unreachable(values.error());
    const auto members = members_in(*values);

    TargetFacts facts;
    facts.stored = std::move(*stored);
    if (const auto entry = states->find(target); entry != states->end()) {
        auto state = contract::decode_state(target, entry->second.value);
        if (state) facts.state = std::move(*state);
        facts.revision = entry->second.revision;
        facts.epoch = contract::WallTime{std::chrono::microseconds{entry->second.epoch_us}};
    }
    facts.aggregators = aggregators_of(target, serving(members, MemberKind::aggregator));
    const auto bridges = cluster::Rendezvous{serving(members, MemberKind::bridge)}.owners(target, 1);
    if (!bridges.empty()) facts.bridge = bridges.front();

    const auto observers = cluster::Rendezvous{serving(members, MemberKind::probe)}.owners(
        target, facts.stored.definition.observers);
    const auto listener = PingListener::open(connection, target, timeout);
    if (!listener) return unreachable(listener.error());
    const auto heard = (*listener)->wait_for(observers, runtime::mono_now() + timeout);
    const auto now = runtime::mono_now();
    for (const std::string& worker : observers) {
        Observer observer{worker, std::nullopt, {}};
        if (const auto ping = heard.find(worker); ping != heard.end()) {
            observer.ping = ping->second.ping;
            observer.age = std::chrono::duration_cast<std::chrono::milliseconds>(now - ping->second.at);
        }
        facts.observers.push_back(std::move(observer));
    }
    return facts;
}

}  // namespace pgpulse::ctl
