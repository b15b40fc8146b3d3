#include "ctl/status.hpp"

#include "common/contract/names.hpp"
#include "common/contract/state.hpp"
#include "ctl/bucket_snapshot.hpp"
#include "ctl/connect.hpp"
#include "ctl/exit_codes.hpp"
#include "ctl/state_table.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <iostream>

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

int print(const Values& values, const Options& options) {
    bool all_up = true;
    for (const std::string& target : options.targets) {
        if (!values.contains(target)) {
            std::cerr << "pgpulse: '" << target << "' has no state\n";
            all_up = false;
        }
    }
    std::vector<contract::State> shown;
    for (const auto& [target, entry] : values) {
        if (!options.targets.empty() && std::ranges::find(options.targets, target) == options.targets.end())
            continue;
        auto state = contract::decode_state(target, entry.value);
        if (!state) {
            std::cerr << "pgpulse: state of '" << target << "' cannot be read: " << state.error().detail
                      << '\n';
            all_up = false;
            continue;
        }
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

}  // namespace

int run_status(const Options& options) {
    const auto connection = connect(options);
    if (!connection) return connection.error();
    const auto values = read_bucket(**connection, contract::kStateBucket, options.timeout);
    if (values) return print(*values, options);
    std::cerr << "pgpulse: " << values.error() << '\n';
    return kUnreachable;
}

}  // namespace pgpulse::ctl
