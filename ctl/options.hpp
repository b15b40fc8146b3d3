#pragma once

#include "common/nats/connection.hpp"

#include <tl/expected.hpp>

#include <chrono>
#include <string>
#include <vector>

namespace pgpulse::ctl {

enum class Command { status, watch, members };

/// What the operator typed. NATS is found as the daemons find it: --nats, then NATS_URL; secrets and files
/// come from the other NATS variables alone.
struct Options {
    Command command = Command::status;
    nats::ConnectOptions nats;
    bool json = false;
    std::vector<std::string> targets;  // status: only these; empty: all
    std::chrono::milliseconds timeout{
        5000};  // status, members: how long NATS and the bucket may take to answer
};

/// The exit code where NATS could not be opened: 2 for what the operator gave, 3 where the server does not
/// answer or refuses.
int exit_code_of(const nats::Error& error);

/// Error: the exit code to end with: 0 after --help and --version, 2 after one line on standard error about
/// what is wrong.
tl::expected<Options, int> read_options(int argc, char** argv);

}  // namespace pgpulse::ctl
