#include "ctl/status.hpp"

#include "common/contract/names.hpp"
#include "common/contract/state.hpp"
#include "common/contract/target.hpp"
#include "ctl/bucket_snapshot.hpp"
#include "ctl/connect.hpp"
#include "ctl/exit_codes.hpp"
#include "ctl/member_list.hpp"
#include "ctl/state_filter.hpp"
#include "ctl/state_table.hpp"

#include <nlohmann/json.hpp>

#include <iostream>
#include <map>

namespace pgpulse::ctl {
namespace {

constexpr int kAllUp = 0;
constexpr int kSomeNotUp = 1;

void print_json(const nats::BucketEvent& entry) {
    // The document as it is stored, fields this program does not know included.
    const nlohmann::ordered_json line{
        {"target", entry.key},
        {"revision", entry.revision},
        {"stored_at",
         contract::to_rfc3339(contract::WallTime{std::chrono::microseconds{entry.stored_at_us}})},
        {"state", nlohmann::ordered_json::parse(entry.value)},
    };
    std::cout << line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
}

/// What the operator asked for has no state, or one that cannot be read: said, and counted as not up.
bool all_asked_for_are_there(const Values& values, const Options& options) {
    bool all = true;
    for (const std::string& target : options.targets) {
        if (values.contains(target)) continue;
        std::cerr << "pgpulse: '" << target << "' has no state\n";
        all = false;
    }
    return all;
}

/// The definitions, by name, of a bucket's values.
std::map<std::string, contract::TargetDefinition> definitions_in(const Values& values) {
    std::map<std::string, contract::TargetDefinition> definitions;
    for (const auto& [name, entry] : values) {
        auto stored = contract::decode_definition(name, entry.value);
        if (stored) definitions.emplace(name, std::move(stored->definition));
    }
    return definitions;
}

int print(const Values& values, const std::map<std::string, contract::TargetDefinition>& definitions,
          const StateFilter& filter, const Options& options) {
    bool all_up = all_asked_for_are_there(values, options);
    std::vector<contract::State> shown;
    for (const auto& [target, entry] : values) {
        if (!filter.takes_target(target)) continue;
        auto state = contract::decode_state(target, entry.value);
        if (!state) {
            std::cerr << "pgpulse: state of '" << target << "' cannot be read: " << state.error().detail
                      << '\n';
            all_up = false;
            continue;
        }
        const auto definition = definitions.find(target);
        if (!filter.takes(*state, definition == definitions.end() ? nullptr : &definition->second)) continue;
        all_up = all_up && state->state == contract::Health::up;
        if (options.json)
            print_json(entry);
        else
            shown.push_back(std::move(*state));
    }
    if (!options.json) std::cout << state_table(shown, colours_wanted());
    std::cout.flush();
    return all_up ? kAllUp : kSomeNotUp;
}

/// States are as true as whoever keeps them so. A site's copy has no members beside it, and is told by its copier's
/// `/readyz`.
bool an_aggregator_serves(nats::Connection& connection, const Options& options) {
    const auto bucket = nats::find_bucket(connection, std::string{contract::kMembersBucket});
    if (bucket && !*bucket) return true;
    std::string fault = bucket ? std::string{} : bucket.error().text;
    if (bucket) {
        const auto values = read_bucket(connection, contract::kMembersBucket, options.timeout);
        if (values) return !serving(members_in(*values), contract::MemberKind::aggregator).empty();
        fault = values.error();
    }
    std::cerr << "pgpulse: it cannot be told whether an aggregator serves: " << fault << '\n';
    return true;
}

}  // namespace

int run_status(const Options& options) {
    const auto connection = connect(options);
    if (!connection) return connection.error();
    const auto values = read_bucket(**connection, contract::kStateBucket, options.timeout);
    if (!values) {
        std::cerr << "pgpulse: " << values.error() << '\n';
        return kUnreachable;
    }
    const StateFilter filter{options.targets, options.states, options.services, options.tags};
    std::map<std::string, contract::TargetDefinition> definitions;
    if (filter.by_definition()) {
        const auto defined = read_bucket(**connection, contract::kTargetsBucket, options.timeout);
        if (!defined) {
            std::cerr << "pgpulse: " << defined.error() << '\n';
            return kUnreachable;
        }
        definitions = definitions_in(*defined);
    }
    const int code = print(*values, definitions, filter, options);
    if (an_aggregator_serves(**connection, options)) return code;
    std::cerr << "pgpulse: no aggregator serves: these are the last known states\n";
    return kSomeNotUp;
}

}  // namespace pgpulse::ctl
