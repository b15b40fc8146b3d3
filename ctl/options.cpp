#include "ctl/options.hpp"

#include "common/contract/names.hpp"
#include "common/nats/server_url.hpp"
#include "common/runtime/clock.hpp"
#include "common/runtime/http_endpoint.hpp"
#include "common/runtime/options.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <iostream>

namespace pgpulse::ctl {
namespace {

constexpr double kLeastTimeoutS = 0.1;
constexpr double kLargestTimeoutS = 3600;
constexpr std::size_t kLongestReason = 512;  // of a value of Consul's meta

constexpr const char* kStatusHelp =
    "Columns: OBSERVERS is how many of the voters held this opinion when it was decided, SINCE and all times "
    "are UTC.\n"
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

constexpr const char* kApplyHelp =
    "Each change is a line: '+' created, '~' changed, '-' removed. What an operator applied no --targets "
    "file of a\n"
    "probe overrules. Every file is read before anything is written.\n"
    "Exit code: 0 done, 2 wrong usage or file, 3 NATS or the bucket cannot be reached, or something was not "
    "written.\n"
    "Examples:\n"
    "  pgpulse apply -f targets.json --dry-run\n"
    "  pgpulse apply -f eu.json -f us.json --prune\n"
    "  make-targets | pgpulse apply -f -";

constexpr const char* kGetHelp =
    "Without --json it is a targets file, which `pgpulse apply` takes.\n"
    "Exit code: 0 printed, 1 a target has no definition, 2 wrong usage, 3 NATS or the bucket cannot be "
    "reached.\n"
    "Examples:\n"
    "  pgpulse get > targets.json\n"
    "  pgpulse get orders-db --json | jq .address";

constexpr const char* kDeleteHelp =
    "The targets' states and what Consul has of them go with them. All of them or none.\n"
    "Exit code: 0 done, 1 a target has no definition, 2 wrong usage, 3 NATS or the bucket cannot be "
    "reached.\n"
    "Examples:\n"
    "  pgpulse delete orders-db";

constexpr const char* kValidateHelp =
    "Needs no NATS. Exit code: 0 all are good, 2 otherwise.\n"
    "Examples:\n"
    "  pgpulse validate targets.json";

constexpr const char* kMaintenanceHelp =
    "A target under maintenance is pinged and told of as before; its state says so, and Consul keeps it out "
    "of DNS.\n"
    "It ends by itself. Exit code: 0 done, 1 a target has no definition, 2 wrong usage, 3 NATS or the bucket "
    "cannot be\n"
    "reached.\n"
    "Examples:\n"
    "  pgpulse maintenance on orders-db --for 2h --reason 'kernel update'\n"
    "  pgpulse maintenance on orders-db --until 2026-01-02T06:00:00Z\n"
    "  pgpulse maintenance off orders-db";

constexpr const char* kHistoryHelp =
    "From the stream HEALTH_TRANSITIONS, which keeps every transition for 90 days (the aggregators' "
    "--history-days).\n"
    "The last line counts the time in which the target was observed.\n"
    "Exit code: 0 printed, 1 the target has no history, 2 wrong usage, 3 NATS or the stream cannot be "
    "reached.\n"
    "Examples:\n"
    "  pgpulse history orders-db --since 7d\n"
    "  pgpulse history orders-db --json | jq -c '[.stored_at, .state.state, .state.reason]'";

constexpr const char* kReplicateHelp =
    "Runs until SIGINT or SIGTERM. --nats is the site's own server, a leaf node of the hub's with JetStream "
    "in "
    "a domain of\n"
    "its own: applications at the site read the bucket `health` there, also while the link is down. Two at "
    "once are\n"
    "harmless. /metrics: pgpulse_replicate_copied_total, pgpulse_replicate_behind. /readyz: 200 while the "
    "copy "
    "is up to date.\n"
    "Exit code: 0 told to end, 2 wrong usage, 3 the server refuses.\n"
    "Examples:\n"
    "  pgpulse replicate --nats tls://localhost:4222 --from-domain hub --http 127.0.0.1:9190";

constexpr const char* kHelp =
    "Examples:\n"
    "  pgpulse status                               the state of every target\n"
    "  pgpulse watch                                every transition as it happens\n"
    "  pgpulse members                              which programs run, and who observes how much\n"
    "  pgpulse history orders-db                    how it went\n"
    "  pgpulse apply -f targets.json                these targets are to be observed\n"
    "  pgpulse maintenance on orders-db --for 1h    it may be away for an hour\n"
    "  NATS_URL=nats://10.0.0.5:4222 pgpulse status --json\n"
    "Environment: NATS_URL, NATS_USER, NATS_PASSWORD, NATS_TOKEN, NATS_CREDS, NATS_NKEY, NATS_CERT, "
    "NATS_KEY, NATS_CA, NATS_INBOX_PREFIX, NO_COLOR.";

int fault(std::string line) {
    std::ranges::replace(line, '\n', ' ');
    std::cerr << "pgpulse: " << line << " (--help shows the usage)\n";
    return 2;
}

}  // namespace

std::optional<std::chrono::seconds> parse_time_span(std::string_view text) {
    constexpr std::int64_t kLongest = 366LL * 24 * 3600;
    std::int64_t seconds = 0;
    while (!text.empty()) {
        std::int64_t number = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (error != std::errc{} || number < 0 || number > kLongest) return std::nullopt;
        text.remove_prefix(static_cast<std::size_t>(end - text.data()));
        if (text.empty()) return std::nullopt;
        const std::size_t unit = std::string_view{"smhd"}.find(text.front());
        if (unit == std::string_view::npos) return std::nullopt;
        seconds += number * std::array<std::int64_t, 4>{1, 60, 3600, 86400}.at(unit);
        if (seconds > kLongest) return std::nullopt;
        text.remove_prefix(1);
    }
    if (seconds == 0) return std::nullopt;
    return std::chrono::seconds{seconds};
}

int exit_code_of(const nats::Error& error) {
    constexpr std::array kServers{NATS_CONNECTION_AUTH_FAILED, NATS_TIMEOUT, NATS_CONNECTION_CLOSED,
                                  NATS_IO_ERROR};
    return std::ranges::find(kServers, error.status) == kServers.end() ? 2 : 3;
}

tl::expected<Options, int> read_options(int argc, char** argv) {
    Options options;
    double timeout_s = static_cast<double>(options.timeout.count()) / 1000;

    CLI::App app{"Shows which Postgres servers are up, as pgpulse publishes it on NATS.", "pgpulse"};
    app.set_version_flag("--version", "pgpulse " + runtime::program_version());
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

    std::string since;
    CLI::App* history = app.add_subcommand("history", "Print a target's transitions, and how long it was up");
    history->fallthrough();
    history->add_option("TARGET", options.targets, "The target")->type_name("")->required()->expected(1);
    history
        ->add_option("--since", since,
                     "From when, such as 7d for that long ago, or a time (RFC 3339) [the beginning]")
        ->type_name("TIME");
    history->add_flag("--json", options.json, "One JSON object a line for each transition");
    add_timeout(history);
    history->footer(kHistoryHelp);

    CLI::App* replicate =
        app.add_subcommand("replicate", "Keep a copy of the bucket `health` at a site of its own");
    replicate->fallthrough();
    replicate
        ->add_option("--from-domain", options.from_domain,
                     "The JetStream domain of the bucket that is copied [hub]")
        ->type_name("DOMAIN");
    replicate->add_option("--http", options.http, "Serve /metrics, /healthz and /readyz here")
        ->type_name("ADDR:PORT");
    replicate->footer(kReplicateHelp);

    CLI::App* apply = app.add_subcommand("apply", "Have these targets observed as files say");
    apply->fallthrough();
    apply
        ->add_option("-f,--file", options.files,
                     "A targets file; - is standard input; may be given several times")
        ->type_name("FILE")
        ->required()
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    apply->add_flag("--prune", options.prune, "Remove every target that is in none of the files");
    apply->add_flag("--dry-run", options.dry_run, "Only show what would be changed");
    add_timeout(apply);
    apply->footer(kApplyHelp);

    CLI::App* get = app.add_subcommand("get", "Print the definitions of the targets");
    get->fallthrough();
    get->add_option("TARGET", options.targets, "Only these targets")->type_name("");
    get->add_flag("--json", options.json, "One JSON object a line for each target");
    add_timeout(get);
    get->footer(kGetHelp);

    CLI::App* remove = app.add_subcommand("delete", "Have targets observed no more");
    remove->fallthrough();
    remove->add_option("TARGET", options.targets, "These targets")->type_name("")->required();
    add_timeout(remove);
    remove->footer(kDeleteHelp);

    CLI::App* validate = app.add_subcommand("validate", "Check targets files and exit");
    validate->add_option("FILE", options.files, "A targets file; - is standard input")
        ->type_name("")
        ->required();
    validate->footer(kValidateHelp);

    std::string span;
    std::string until;
    CLI::App* maintenance = app.add_subcommand("maintenance", "Put targets under maintenance, or end it");
    maintenance->fallthrough();
    maintenance->require_subcommand(1);
    maintenance->footer(kMaintenanceHelp);
    CLI::App* on = maintenance->add_subcommand("on", "Begin it");
    on->fallthrough();
    on->add_option("TARGET", options.targets, "These targets")->type_name("")->required();
    CLI::Option* for_option =
        on->add_option("--for", span, "How long, such as 30m or 1h30m [1h]")->type_name("TIME");
    on->add_option("--until", until, "Until when (RFC 3339)")->type_name("TIME")->excludes(for_option);
    on->add_option("--reason", options.maintenance_reason, "Why, for whoever looks at it")->type_name("TEXT");
    add_timeout(on);
    CLI::App* off = maintenance->add_subcommand("off", "End it");
    off->fallthrough();
    off->add_option("TARGET", options.targets, "These targets")->type_name("")->required();
    add_timeout(off);

    // CLI11 would only say that a command is required.
    const auto is_named = [argv](const CLI::App* command) { return command->get_name() == argv[1]; };
    if (argc > 1 && *argv[1] != '-' && app.get_subcommands(is_named).empty())
        return tl::unexpected(fault("unknown command '" + std::string{argv[1]} + "'"));
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& success) {
        return tl::unexpected(app.exit(success));
    } catch (const CLI::ExtrasError&) {
        return tl::unexpected(fault(runtime::unexpected_argument(app.remaining(true))));
    } catch (const CLI::ParseError& error) {
        return tl::unexpected(fault(error.what()));
    }

    options.command = watch->parsed()         ? Command::watch
                      : members->parsed()     ? Command::members
                      : apply->parsed()       ? Command::apply
                      : get->parsed()         ? Command::get
                      : remove->parsed()      ? Command::remove
                      : validate->parsed()    ? Command::validate
                      : maintenance->parsed() ? Command::maintenance
                      : history->parsed()     ? Command::history
                      : replicate->parsed()   ? Command::replicate
                                              : Command::status;
    options.maintenance_on = on->parsed();
    if (!span.empty()) {
        const auto parsed = parse_time_span(span);
        if (!parsed)
            return tl::unexpected(
                fault("--for: expected a time up to a year such as 30m, 2h or 1h30m, found '" + span + "'"));
        options.maintenance_for = *parsed;
    }
    if (!since.empty()) {
        options.since = contract::parse_rfc3339(since);
        if (const auto ago = parse_time_span(since); ago) options.since = runtime::wall_now() - *ago;
        if (!options.since)
            return tl::unexpected(fault(
                "--since: expected a time such as 2026-01-02T06:00:00Z, or how long ago such as 7d, found '" +
                since + "'"));
    }
    if (!until.empty()) {
        options.maintenance_until = contract::parse_rfc3339(until);
        if (!options.maintenance_until)
            return tl::unexpected(
                fault("--until: expected a time such as 2026-01-02T06:00:00Z, found '" + until + "'"));
    }
    if (!contract::is_member_id(options.from_domain)) {
        return tl::unexpected(fault("--from-domain: expected 1 to 63 of A-Z, a-z, 0-9, '_' and '-', found '" +
                                    options.from_domain + "'"));
    }
    if (!options.http.empty()) {
        if (const auto where = runtime::parse_host_port(options.http); !where)
            return tl::unexpected(fault("--http: " + where.error()));
    }
    if (options.maintenance_reason.size() > kLongestReason)
        return tl::unexpected(
            fault("--reason: expected at most " + std::to_string(kLongestReason) + " bytes"));
    if (std::ranges::count(options.files, "-") > 1)
        return tl::unexpected(fault("-: expected standard input once"));
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
