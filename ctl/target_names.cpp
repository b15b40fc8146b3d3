#include "ctl/target_names.hpp"

#include "common/contract/names.hpp"
#include "ctl/bucket_snapshot.hpp"
#include "ctl/connect.hpp"

#include <iostream>

namespace pgpulse::ctl {

int run_complete(const Options& options) {
    const auto connection = connect(options);
    if (!connection) return 0;
    // A reader may see states and no definitions.
    const auto values = read_bucket(**connection, contract::kStateBucket, options.timeout);
    if (!values) return 0;
    for (const auto& [target, entry] : *values) {
        if (target.starts_with(options.completed)) std::cout << target << '\n';
    }
    std::cout.flush();
    return 0;
}

}  // namespace pgpulse::ctl
