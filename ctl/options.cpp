#include "ctl/options.hpp"

#include "common/contract/names.hpp"
#include "common/nats/server_url.hpp"
#include "common/runtime/options.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <iostream>

namespace pgpulse::ctl {
namespace {

constexpr double kLeastTimeoutS = 0.1;
constexpr double kLargestTimeoutS = 3600;

constexpr const char* kStatusHelp =
    "Columns: OBSERVERS is how many of the voters hold this opinion, SINCE and all times are UTC.\n"
    "Exit code: 0 all up, 1 some not up, 2 wrong usage, 3 NATS or the bucket cannot be reached.\n"
    "Examples:\n"
    "  pgpulse status\n"
    "  pgpulse status --json db1 | jq .state.reason\n"
    "  pgpulse status orders-db > /dev/null || echo 'orders-db is not up'";

constexpr const char* kWatchHelp =
    "Runs until SIGINT or SIGTERM. What happens while NATS cannot be reached is not shown.\n"
    "Examples:\n"
    "  pgpulse watch\n"
    "  pgpulse watch --json | jq -c '[.subject, .state.state, .state.reason]'";

constexpr const char* kMembersHelp =
    "TARGETS is how many targets a probe worker observes. A program that was killed is shown for two seconds "
    "more.\n"
    "Exit code: 0 printed, 2 wrong usage, 3 NATS or a bucket cannot be reached.\n"
    "Examples:\n"
    "  pgpulse members\n"
    "  pgpulse members --json | jq -r 'select(.kind == \"probe\").id'";

constexpr const char* kHelp =
    "Examples:\n"
    "  pgpulse status                               the state of every target\n"
    "  pgpulse watch                                every transition as it happens\n"
    "  pgpulse members                              which programs run, and who observes how much\n"
    "  NATS_URL=nats://10.0.0.5:4222 pgpulse status --json\n"
    "Environment: NATS_URL, NATS_USER, NATS_PASSWORD, NATS_TOKEN, NATS_CREDS, NATS_NKEY, NATS_CERT, "
    "NATS_KEY, NATS_CA, NO_COLOR.";

int fault(std::string line) {
    std::ranges::replace(line, '\n', ' ');
    std::cerr << "pgpulse: " << line << " (--help shows the usage)\n";
    return 2;
}

}  // namespace

int exit_code_of(const nats::Error& error) {
    constexpr std::array kServers{NATS_CONNECTION_AUTH_FAILED, NATS_TIMEOUT, NATS_CONNECTION_CLOSED,
                                  NATS_IO_ERROR};
    return std::ranges::find(kServers, error.status) == kServers.end() ? 2 : 3;
}

tl::expected<Options, int> read_options(int argc, char** argv) {
    Options options;
    double timeout_s = static_cast<double>(options.timeout.count()) / 1000;

    CLI::App app{"Shows which Postgres servers are up, as pgpulse publishes it on NATS.", "pgpulse"};
    app.set_version_flag("--version", "pgpulse " PGPULSE_VERSION);
    app.add_option("--nats", options.nats.url,
                   "NATS server, or several separated by commas [" + options.nats.url + "] (env NATS_URL)")
        ->type_name("URL")
        ->envname("NATS_URL");
    app.footer(kHelp);
    app.require_subcommand(1);

    CLI::App* status = app.add_subcommand("status", "Print the state of the targets and exit");
    status->fallthrough();
    status->add_option("TARGET", options.targets, "Only these targets")->type_name("");
    status->add_flag("--json", options.json, "One JSON object a line for each target");
    const auto add_timeout = [&timeout_s](CLI::App* command) {
        command->add_option("--timeout", timeout_s, "How long to wait for NATS and the bucket [5]")
            ->type_name("SECONDS");
    };
    add_timeout(status);
    status->footer(kStatusHelp);

    CLI::App* watch = app.add_subcommand("watch", "Print every transition as it happens");
    watch->fallthrough();
    watch->add_flag("--json", options.json, "One JSON object a line for each transition");
    watch->footer(kWatchHelp);

    CLI::App* members = app.add_subcommand("members", "Print which programs run, and who observes how much");
    members->fallthrough();
    members->add_flag("--json", options.json, "One JSON object a line for each program");
    add_timeout(members);
    members->footer(kMembersHelp);

    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& success) {
        return tl::unexpected(app.exit(success));
    } catch (const CLI::ParseError& error) {
        return tl::unexpected(fault(error.what()));
    }

    options.command = watch->parsed()     ? Command::watch
                      : members->parsed() ? Command::members
                                          : Command::status;
    if (const auto urls = nats::parse_server_urls(options.nats.url); !urls) {
        return tl::unexpected(fault("--nats: " + urls.error()));
    }
    for (const std::string& target : options.targets) {
        if (!contract::is_target_name(target)) {
            return tl::unexpected(
                fault("TARGET: expected a target's name (a-z, 0-9, inner '-'), found '" + target + "'"));
        }
    }
    if (!(timeout_s >= kLeastTimeoutS && timeout_s <= kLargestTimeoutS)) {
        return tl::unexpected(fault("--timeout: expected seconds from 0.1 to 3600"));
    }
    options.timeout = std::chrono::milliseconds{static_cast<std::int64_t>(timeout_s * 1000)};
    runtime::read_nats_environment(options.nats);
    options.nats.client_name = "pgpulse";
    if (options.command != Command::watch) options.nats.first_handshake_patience = options.timeout;
    return options;
}

}  // namespace pgpulse::ctl
