#include "common/runtime/options.hpp"

#include "common/contract/names.hpp"
#include "common/nats/server_url.hpp"
#include "common/runtime/config_file.hpp"
#include "common/runtime/http_endpoint.hpp"
#include "common/runtime/logging.hpp"
#include "common/runtime/manual_page.hpp"
#include "common/runtime/secret_file.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <utility>

namespace pgpulse::runtime {
namespace {

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? std::string{} : std::string{value};
}

constexpr int kManualOfDaemons = 8;

/// What connects to NATS beside its URL, some of it secret.
constexpr std::array kNatsVariables{"NATS_USER",       "NATS_PASSWORD", "NATS_PASSWORD_FILE", "NATS_TOKEN",
                                    "NATS_TOKEN_FILE", "NATS_CREDS",    "NATS_NKEY",          "NATS_CERT",
                                    "NATS_KEY",        "NATS_CA",       "NATS_INBOX_PREFIX"};

/// What --help and the manual say below the options. The manual has a section for each part.
constexpr const char* kFooter =
    R"(A flag goes before the environment, the environment before the file of --config, the file before the
default. SIGHUP reads that file again: a new log-level takes effect, and what wants a restart is said.
Exit code 0: ended by SIGTERM or SIGINT, within two seconds; 1: a fault while it ran; 2: a bad flag,
file or URL, or credentials that NATS refuses.
Environment: NATS_USER and NATS_PASSWORD, or NATS_TOKEN, and the files NATS_PASSWORD_FILE,
NATS_TOKEN_FILE, NATS_CREDS, NATS_NKEY, NATS_CERT, NATS_KEY and NATS_CA say how NATS is reached,
NATS_INBOX_PREFIX what the subjects of its answers begin with.
)";

/// "https://hooks.example.com" of "https://user:password@hooks.example.com/secret?secret"; other text as it is. Of
/// several URLs, separated by commas, each.
std::string without_what_may_be_secret(const std::string& value) {
    std::string shown;
    for (const std::string& part : CLI::detail::split(value, ',')) {
        std::string text = part;
        const auto scheme = text.find("://");
        if (const auto at = text.rfind('@'); at != std::string::npos)
            text.erase(scheme == std::string::npos ? 0 : scheme + 3,
                       at + 1 - (scheme == std::string::npos ? 0 : scheme + 3));
        if (scheme != std::string::npos)
            text.resize(std::min(text.size(), text.find_first_of("/?#", scheme + 3)));
        shown += (shown.empty() ? "" : ",") + text;
    }
    return shown;
}

std::string toml_text(const std::string& value) {
    if (value.empty()) return {};
    // A basic string of TOML is escaped as JSON's is.
    return nlohmann::json(without_what_may_be_secret(value))
        .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::optional<int> whole_number(const std::string& text) {
    int number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return number;
}

std::string one_line(std::string text) {
    std::ranges::replace(text, '\n', ' ');
    while (!text.empty() && text.back() == ' ') text.pop_back();
    return text;
}

}  // namespace

struct CommandLine::Impl {
    /// What was expected, where the value is at fault.
    using Check = std::function<std::optional<std::string>(const std::string&)>;

    struct Entry {
        CLI::Option* option = nullptr;
        std::string key;  // in a configuration file: the long flag without dashes
        std::string variable;
        bool is_flag = false;
        bool at_once = false;  // a new value in the file takes effect while the program runs
        Check check;           // empty: any value will do
        std::function<void(const std::string&)> take;
        std::vector<std::string>* list = nullptr;  // of an option that may be given several times
        std::function<std::string()> toml;         // the value as a configuration file has it; empty: none
        std::vector<std::string> by_default;
        std::vector<std::string> value;
        std::string origin;  // where the value came from; empty: it is the default
        bool from_file = true;
    };

    CLI::App app;
    std::string program;
    std::string config_file;
    std::vector<Entry> entries;

    Entry& add(CLI::Option* option, const std::string& variable, std::vector<std::string> by_default) {
        Entry& entry = entries.emplace_back();
        entry.option = option;
        entry.key = option->get_lnames().front();
        entry.variable = variable;
        entry.value = by_default;
        entry.by_default = std::move(by_default);
        return entry;
    }

    bool print_config = false;
    bool print_manual = false;
    std::vector<std::string> variables;  // that no flag has
    std::string footer = kFooter;

    void print() const;

    CLI::Option* add_text_option(const std::string& flags, const std::string& placeholder,
                                 const std::string& help, const std::string& variable,
                                 const std::string& shown_default) {
        std::string full = help;
        if (!shown_default.empty()) full += " [" + shown_default + "]";
        if (!variable.empty()) full += " (env " + variable + ")";
        // A description given to add_option as a variable would be taken for the value's place.
        return app.add_option(flags)
            ->description(full)
            ->type_name(placeholder)
            ->expected(1)
            ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    }
};

void CommandLine::Impl::print() const {
    std::cout << "# What " << program
              << " is run with. Of URLs only the server is shown: the rest may be a secret.\n";
    for (const Entry& entry : entries) {
        if (entry.option->get_group().empty()) continue;
        const std::string value = entry.toml();
        std::cout << (value.empty() ? "# " : "") << entry.key << " = " << (value.empty() ? "\"\"" : value)
                  << "  # " << (entry.origin.empty() ? "default" : entry.origin) << '\n';
    }
    for (const std::string& variable : variables) {
        if (!environment(variable.c_str()).empty()) std::cout << "# " << variable << " is set\n";
    }
    std::cout.flush();
}

std::string program_version() { return PGPULSE_VERSION; }

CommandLine::CommandLine(std::string program, std::string description) : impl_(std::make_unique<Impl>()) {
    impl_->program = std::move(program);
    impl_->variables.assign(kNatsVariables.begin(), kNatsVariables.end());
    impl_->app.name(impl_->program);
    impl_->app.description(std::move(description));
    impl_->app.set_version_flag("--version", impl_->program + " " + program_version());
    impl_->app
        .add_option("--config", impl_->config_file,
                    "Read options from this file (TOML; keys are the long flags)")
        ->type_name("FILE");
    impl_->app.add_flag("--print-config", impl_->print_config,
                        "Print what all options come to, and from where, as such a file, and exit");
    impl_->app.add_flag("--print-manual", impl_->print_manual)->group({});
    impl_->app.get_formatter()->column_width(34);
}

CommandLine::~CommandLine() = default;

void CommandLine::text(const std::string& flags, std::string& to, const std::string& placeholder,
                       const std::string& help, const std::string& variable) {
    auto* option = impl_->add_text_option(flags, placeholder, help, variable, to);
    Impl::Entry& entry = impl_->add(option, variable, {to});
    entry.take = [&to](const std::string& value) { to = value; };
    entry.toml = [&to] { return toml_text(to); };
}

void CommandLine::list(const std::string& flags, std::vector<std::string>& to, const std::string& placeholder,
                       const std::string& help, const std::string& variable) {
    auto* option =
        impl_->add_text_option(flags, placeholder, help + "; may be given several times", variable, {});
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    Impl::Entry& entry = impl_->add(option, variable, to);
    entry.list = &to;
    entry.toml = [&to] {
        std::string items;
        for (const std::string& item : to) items += (items.empty() ? "" : ", ") + toml_text(item);
        return to.empty() ? items : "[" + items + "]";
    };
}

void CommandLine::integer(const std::string& flags, int& to, int low, int high,
                          const std::string& placeholder, const std::string& help,
                          const std::string& variable) {
    auto* option = impl_->add_text_option(flags, placeholder, help, variable, std::to_string(to));
    Impl::Entry& entry = impl_->add(option, variable, {std::to_string(to)});
    entry.check = [low, high](const std::string& value) -> std::optional<std::string> {
        const auto number = whole_number(value);
        if (number && *number >= low && *number <= high) return std::nullopt;
        return "an integer from " + std::to_string(low) + " to " + std::to_string(high);
    };
    entry.take = [&to](const std::string& value) { to = whole_number(value).value_or(to); };
    entry.toml = [&to] { return std::to_string(to); };
}

void CommandLine::choice(const std::string& flags, std::string& to, std::vector<std::string> choices,
                         const std::string& help, const std::string& variable) {
    std::string listed;
    for (const std::string& choice : choices) listed += (listed.empty() ? "" : "|") + choice;
    auto* option = impl_->add_text_option(flags, listed, help, variable, to);
    Impl::Entry& entry = impl_->add(option, variable, {to});
    entry.check = [choices = std::move(choices),
                   listed](const std::string& value) -> std::optional<std::string> {
        if (std::ranges::find(choices, value) != choices.end()) return std::nullopt;
        return "one of " + listed;
    };
    entry.take = [&to](const std::string& value) { to = value; };
    entry.toml = [&to] { return toml_text(to); };
}

void CommandLine::flag(const std::string& flags, bool& to, const std::string& help) {
    auto* option = impl_->app.add_flag(flags, help);
    Impl::Entry& entry = impl_->add(option, {}, {to ? "true" : "false"});
    entry.is_flag = true;
    entry.check = [](const std::string& value) -> std::optional<std::string> {
        if (value == "true" || value == "false") return std::nullopt;
        return "true or false";
    };
    entry.take = [&to](const std::string& value) { to = value == "true"; };
    entry.toml = [&to] { return std::string{to ? "true" : "false"}; };
}

void CommandLine::hidden_flag(const std::string& flags, bool& to) {
    flag(flags, to, {});
    impl_->entries.back().option->group({});
}

void CommandLine::reads_environment(const std::vector<std::string>& variables, const std::string& help) {
    impl_->variables.insert(impl_->variables.end(), variables.begin(), variables.end());
    impl_->footer += help + "\n";
}

std::optional<int> CommandLine::parse(int argc, char** argv) {
    impl_->app.footer(impl_->footer);
    try {
        impl_->app.parse(argc, argv);
    } catch (const CLI::Success& success) {
        return impl_->app.exit(success);
    } catch (const CLI::ExtrasError&) {
        return fault(unexpected_argument(impl_->app.remaining(true)));
    } catch (const CLI::ParseError& error) {
        return fault(one_line(error.what()));
    }

    if (impl_->print_manual) {
        std::cout << manual_page(impl_->app, {}, kManualOfDaemons, "pgpulse(1)").value_or("");
        return 0;
    }

    std::map<std::string, ConfigValue> from_file;
    if (!impl_->config_file.empty()) {
        std::map<std::string, ConfigKey> keys;
        for (const Impl::Entry& entry : impl_->entries) keys[entry.key] = {entry.list != nullptr};
        auto values = read_config_file(impl_->config_file, keys);
        if (!values) return fault(values.error());
        from_file = std::move(*values);
    }

    for (Impl::Entry& entry : impl_->entries) {
        if (entry.list != nullptr) {
            const std::string from_environment =
                entry.variable.empty() ? std::string{} : environment(entry.variable.c_str());
            entry.from_file = false;
            if (entry.option->count() > 0) {
                entry.value = entry.option->results();
                entry.origin = "--" + entry.key;
            } else if (!from_environment.empty()) {
                entry.value = CLI::detail::split(from_environment, ',');
                entry.origin = entry.variable;
            } else {
                entry.from_file = true;
                if (const auto it = from_file.find(entry.key); it != from_file.end()) {
                    entry.value = it->second.items;
                    entry.origin = it->second.place;
                }
            }
            *entry.list = entry.value;
            continue;
        }
        std::string origin;
        std::string value;
        entry.from_file = false;
        if (entry.option->count() > 0) {
            origin = "--" + entry.key;
            value = entry.is_flag ? "true" : entry.option->results().back();
        } else if (!entry.variable.empty() && !environment(entry.variable.c_str()).empty()) {
            origin = entry.variable;
            value = environment(entry.variable.c_str());
        } else {
            entry.from_file = true;
            const auto it = from_file.find(entry.key);
            if (it == from_file.end()) continue;
            origin = it->second.place;
            value = it->second.items.front();
        }
        if (const auto expected = entry.check ? entry.check(value) : std::nullopt) {
            origin += ": expected " + *expected + ", found '" + value + "'";
            return fault(origin);
        }
        entry.take(value);
        entry.value = {value};
        entry.origin = std::move(origin);
    }
    if (!impl_->print_config) return std::nullopt;
    impl_->print();
    return 0;
}

void CommandLine::takes_effect_at_once(const std::string& key) {
    std::ranges::find(impl_->entries, key, &Impl::Entry::key)->at_once = true;
}

Reload CommandLine::reload() const {
    std::map<std::string, Setting> settings;
    for (const Impl::Entry& entry : impl_->entries) {
        settings[entry.key] = {entry.list != nullptr, entry.at_once, entry.from_file,
                               entry.by_default,      entry.value,   entry.check};
    }
    return Reload{impl_->config_file, std::move(settings)};
}

int CommandLine::fault(const std::string& line) const {
    std::cerr << impl_->program << ": " << line << " (--help shows the options)\n";
    return 2;
}

std::string unexpected_argument(const std::vector<std::string>& left) {
    const auto flag = std::ranges::find_if(
        left, [](const std::string& argument) { return argument.size() > 1 && argument.front() == '-'; });
    if (flag != left.end()) return "unknown option '" + flag->substr(0, flag->find('=')) + "'";
    return left.empty() ? "unknown arguments" : "unexpected argument '" + left.front() + "'";
}

std::optional<std::string> read_nats_environment(nats::ConnectOptions& options) {
    options.user = environment("NATS_USER");
    options.password = environment("NATS_PASSWORD");
    options.token = environment("NATS_TOKEN");
    options.credentials_file = environment("NATS_CREDS");
    options.nkey_seed_file = environment("NATS_NKEY");
    options.certificate_file = environment("NATS_CERT");
    options.key_file = environment("NATS_KEY");
    options.ca_file = environment("NATS_CA");
    if (const std::string prefix = environment("NATS_INBOX_PREFIX"); !prefix.empty())
        options.inbox_prefix = prefix;
    for (const auto& [variable, secret] :
         {std::pair{"NATS_PASSWORD_FILE", &options.password}, std::pair{"NATS_TOKEN_FILE", &options.token}}) {
        const std::string file = environment(variable);
        if (file.empty()) continue;
        auto read = read_secret_file(file);
        if (!read) return variable + (": " + read.error());
        *secret = std::move(*read);
    }
    return std::nullopt;
}

void add_common_options(CommandLine& line, CommonOptions& options) {
    line.text("--nats", options.nats.url, "URL", "NATS server, or several separated by commas", "NATS_URL");
    line.text("--id", options.id, "ID", "This program's id, unique among its kind; default: the host's name");
    line.text("--site", options.site, "NAME", "Where this program runs, shown in what it publishes");
    line.text("--http", options.http, "ADDR:PORT", "Serve /metrics, /healthz and /readyz here");
    line.integer("--replicas", options.replicas, 1, 5, "N",
                 "Replicas of the buckets and streams that this program creates; those that are there stay "
                 "as they are");
    line.choice("--log-level", options.log_level, {"trace", "debug", "info", "warn", "error"},
                "Least level logged");
    line.takes_effect_at_once("log-level");
    line.choice("--log-format", options.log_format, {"text", "json"}, "Form of the log lines");
}

std::optional<int> finish_common_options(const CommandLine& line, CommonOptions& options,
                                         std::string_view program) {
    if (const auto fault = read_nats_environment(options.nats)) return line.fault(*fault);
    if (const auto urls = nats::parse_server_urls(options.nats.url); !urls)
        return line.fault("--nats: " + urls.error());
    if (options.id.empty()) {
        char host[256] = {};
        gethostname(host, sizeof host - 1);
        options.id = contract::to_member_id(host);
        if (options.id.empty()) options.id = "localhost";
    }
    if (!contract::is_member_id(options.id)) {
        return line.fault("--id: expected 1 to 63 of A-Z, a-z, 0-9, '_' and '-', found '" + options.id + "'");
    }
    if (options.site.size() > 63) return line.fault("--site: expected at most 63 characters");
    if (!options.http.empty()) {
        if (const auto where = parse_host_port(options.http); !where)
            return line.fault("--http: " + where.error());
    }
    options.nats.client_name = std::string{program} + " " + options.id;
    set_up_logging(program, options.log_level, options.log_format);
    options.reload = line.reload();
    return std::nullopt;
}

}  // namespace pgpulse::runtime
