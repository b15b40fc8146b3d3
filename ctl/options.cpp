#include "ctl/options.hpp"

#include "common/contract/names.hpp"
#include "common/nats/server_url.hpp"
#include "common/runtime/clock.hpp"
#include "common/runtime/http_endpoint.hpp"
#include "common/runtime/manual_page.hpp"
#include "common/runtime/options.hpp"
#include "ctl/completion.hpp"
#include "ctl/help_texts.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <iostream>

namespace pgpulse::ctl {
namespace {

constexpr double kLeastTimeoutS = 0.1;
constexpr double kLargestTimeoutS = 3600;
constexpr std::chrono::milliseconds kCompletionTimeout{1000};  // whoever pressed the key waits for it
constexpr std::size_t kLongestReason = 512;                    // of a value of Consul's meta

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

    std::vector<std::string> states;
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

    CLI::App* watch = app.add_subcommand("watch", "Show every transition as it happens");
    watch->fallthrough();
    watch->add_flag("--json", options.json, "One JSON object a line for each transition");
    watch->add_flag("--lines", options.lines, "A line for each transition on a terminal as well");
    watch->footer(kWatchHelp);

    CLI::App* members = app.add_subcommand("members", "Print which programs run, and who observes how much");
    members->fallthrough();
    members->add_flag("--json", options.json, "One JSON object a line for each program");
    add_timeout(members);
    members->footer(kMembersHelp);

    status
        ->add_option("--state", states,
                     "Only targets in this state: up, down or unknown; may be given several times")
        ->type_name("STATE")
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->expected(1);
    status
        ->add_option("--service", options.services,
                     "Only targets of this service; may be given several times")
        ->type_name("NAME")
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->expected(1);
    status->add_option("--tag", options.tags, "Only targets with this tag; with several, with all of them")
        ->type_name("TAG")
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->expected(1);

    CLI::App* explain = app.add_subcommand("explain", "Print why a target's state is what it is");
    explain->fallthrough();
    explain->add_option("TARGET", options.targets, "The target")->type_name("")->required()->expected(1);
    explain->add_flag("--json", options.json, "One JSON object");
    add_timeout(explain);
    explain->footer(kExplainHelp);

    CLI::App* check =
        app.add_subcommand("check", "Have a target pinged now, and print what its observers find");
    check->fallthrough();
    check->add_option("TARGET", options.targets, "The target")->type_name("")->required()->expected(1);
    check->add_flag("--json", options.json, "One JSON array");
    add_timeout(check);
    check->footer(kCheckHelp);

    CLI::App* ping = app.add_subcommand("ping", "Ping a Postgres server from here, as a probe worker would");
    ping->add_option("CONNINFO", options.connection_string, "The server [localhost:5432]")->type_name("");
    ping->add_flag("--json", options.json, "One JSON object");
    ping->add_option("--timeout", timeout_s, "How long to wait for its answer [5]")->type_name("SECONDS");
    ping->footer(kPingHelp);

    CLI::App* doctor = app.add_subcommand("doctor", "Look for what is wrong with the pipeline");
    doctor->fallthrough();
    doctor->add_flag("--json", options.json, "One JSON object a line for each finding");
    add_timeout(doctor);
    doctor->footer(kDoctorHelp);

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

    std::string shell;
    CLI::App* completion =
        app.add_subcommand("completion", "Print what makes a shell complete pgpulse's words");
    completion->add_option("SHELL", shell, "bash, zsh or fish")->type_name("")->required();
    completion->footer(kCompletionHelp);

    std::string page;
    CLI::App* man = app.add_subcommand("man", "Print a manual page");
    man->add_option("COMMAND", page, "Of this command [pgpulse itself]")->type_name("");
    man->footer(kManHelp);

    // What the scripts of `completion` ask: pgpulse complete -- WORD...
    if (argc > 2 && std::string_view{argv[1]} == "complete" && std::string_view{argv[2]} == "--") {
        const std::vector<std::string> typed(argv + 3, argv + argc);
        const Completion found = complete(app, typed);
        for (const std::string& word : found.words) std::cout << word << '\n';
        if (!found.targets) return tl::unexpected(0);
        options.command = Command::complete;
        options.completed = typed.empty() ? "" : typed.back();
        for (std::size_t i = 0; i + 1 < typed.size(); ++i) {
            if (typed[i] == "--nats") options.nats.url = typed[i + 1];
        }
        if (const char* url = std::getenv("NATS_URL");
            url != nullptr && options.nats.url == Options{}.nats.url)
            options.nats.url = url;
        if (runtime::read_nats_environment(options.nats)) return tl::unexpected(0);
        options.nats.client_name = "pgpulse";
        options.timeout = options.nats.first_handshake_patience = kCompletionTimeout;
        return options;
    }

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

    if (completion->parsed()) {
        const auto script = completion_script(shell);
        if (!script) return tl::unexpected(fault("SHELL: expected bash, zsh or fish, found '" + shell + "'"));
        std::cout << *script;
        return tl::unexpected(0);
    }
    if (man->parsed()) {
        const auto text = runtime::manual_page(app, page, 1, page.empty() ? "" : "pgpulse(1)");
        if (!text)
            return tl::unexpected(fault("COMMAND: expected a command of pgpulse, found '" + page + "'"));
        std::cout << *text;
        return tl::unexpected(0);
    }

    options.command = watch->parsed()         ? Command::watch
                      : members->parsed()     ? Command::members
                      : apply->parsed()       ? Command::apply
                      : get->parsed()         ? Command::get
                      : remove->parsed()      ? Command::remove
                      : validate->parsed()    ? Command::validate
                      : maintenance->parsed() ? Command::maintenance
                      : history->parsed()     ? Command::history
                      : explain->parsed()     ? Command::explain
                      : check->parsed()       ? Command::check
                      : ping->parsed()        ? Command::ping
                      : doctor->parsed()      ? Command::doctor
                      : replicate->parsed()   ? Command::replicate
                                              : Command::status;
    options.maintenance_on = on->parsed();
    for (const std::string& word : states) {
        const auto state = contract::parse_health(word);
        if (!state)
            return tl::unexpected(fault("--state: expected up, down or unknown, found '" + word + "'"));
        options.states.push_back(*state);
    }
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
    if (const auto wrong = runtime::read_nats_environment(options.nats)) return tl::unexpected(fault(*wrong));
    options.nats.client_name = "pgpulse";
    if (options.command != Command::watch) options.nats.first_handshake_patience = options.timeout;
    return options;
}

}  // namespace pgpulse::ctl
