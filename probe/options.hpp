#pragma once

#include "common/contract/target.hpp"
#include "common/runtime/options.hpp"
#include "probe/open_files.hpp"
#include "probe/references.hpp"
#include "probe/schedule.hpp"
#include "probe/worker.hpp"

#include <tl/expected.hpp>

#include <string>
#include <variant>
#include <vector>

namespace pgpulse::probe {

struct Options {
    runtime::CommonOptions common;
    std::string targets_file;  // empty: the bucket alone says what there is
    Schedule::Limits limits;
    OpenFiles files;
    std::vector<Reference> references;
    SelfDoubt self_doubt = SelfDoubt::on;
};

/// Reads the command line, the environment and the configuration file, and raises the limit of open files to
/// what the system allows, which bounds the pings in flight and the sessions. The alternative is the code to exit with.
std::variant<Options, int> read_options(int argc, char** argv);

}  // namespace pgpulse::probe
