#pragma once

#include "common/contract/vocabulary.hpp"
#include "common/contract/wall_time.hpp"
#include "common/nats/connection.hpp"

#include <tl/expected.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgpulse::ctl {

enum class Command {
    status,
    watch,
    members,
    apply,
    get,
    remove,
    validate,
    maintenance,
    history,
    explain,
    check,
    ping,
    doctor,
    replicate,
    complete
};

/// What the operator typed. NATS is found as the daemons find it: --nats, then NATS_URL; secrets and files
/// come from the other NATS variables alone.
struct Options {
    Command command = Command::status;
    nats::ConnectOptions nats;
    bool json = false;
    bool lines = false;  // watch: no full screen
    std::vector<std::string>
        targets;  // status, get: only these; empty: all. delete, maintenance: these. history, explain, check: one
    std::vector<contract::Health> states;     // status: only targets in one of these; empty: all
    std::vector<std::string> services;        // status: only targets of one of these; empty: all
    std::vector<std::string> tags;            // status: only targets that have all of these
    std::string connection_string;            // ping: libpq's
    std::optional<contract::WallTime> since;  // history
    std::vector<std::string> files;           // apply, validate: `-` is standard input
    bool prune = false;                       // apply
    bool dry_run = false;                     // apply
    std::string completed;                    // complete: what was typed of a target's name
    bool maintenance_on = false;
    std::chrono::seconds maintenance_for{3600};  // where there is no maintenance_until
    std::optional<contract::WallTime> maintenance_until;
    std::string maintenance_reason;
    std::string from_domain = "hub";  // replicate
    std::string http;                 // replicate: ADDR:PORT, empty: no endpoint
    std::chrono::milliseconds timeout{
        5000};  // how long NATS and the buckets may take to answer; not of watch and replicate
};

/// "90s", "30m", "1h30m", "2d": whole numbers with a unit each, up to a year together. Nullopt: it is none.
std::optional<std::chrono::seconds> parse_time_span(std::string_view text);

/// The exit code where NATS could not be opened: 2 for what the operator gave, 3 where the server does not
/// answer or refuses.
int exit_code_of(const nats::Error& error);

/// Error: the exit code to end with: 0 after --help and --version, 2 after one line on standard error about
/// what is wrong.
tl::expected<Options, int> read_options(int argc, char** argv);

}  // namespace pgpulse::ctl
