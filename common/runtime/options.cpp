#include "common/runtime/options.hpp"

#include "common/contract/names.hpp"
#include "common/nats/server_url.hpp"
#include "common/runtime/http_endpoint.hpp"
#include "common/runtime/logging.hpp"
#include "common/runtime/secret_file.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <sstream>
#include <utility>

namespace pgpulse::runtime {
namespace {

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? std::string{} : std::string{value};
}

/// What connects to NATS beside its URL, some of it secret.
constexpr std::array kNatsVariables{"NATS_USER",       "NATS_PASSWORD", "NATS_PASSWORD_FILE", "NATS_TOKEN",
                                    "NATS_TOKEN_FILE", "NATS_CREDS",    "NATS_NKEY",          "NATS_CERT",
                                    "NATS_KEY",        "NATS_CA",       "NATS_INBOX_PREFIX"};

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

std::string one_line(std::string text) {
    std::ranges::replace(text, '\n', ' ');
    while (!text.empty() && text.back() == ' ') text.pop_back();
    return text;
}

/// CLI11 takes a line that is a key alone for `key = true`. The number of the first such line; leaves the
/// file at its beginning.
std::optional<int> line_without_value(std::istream& file) {
    std::optional<int> found;
    int number = 0;
    for (std::string line; !found && std::getline(file, line);) {
        ++number;
        const auto first = line.find_first_not_of(" \t\r");
        if (first == std::string::npos || line[first] == '#' || line[first] == '[') continue;
        if (line.find('=') == std::string::npos) found = number;
    }
    file.clear();
    file.seekg(0);
    return found;
}

}  // namespace

struct CommandLine::Impl {
    /// Takes the value, or says what was expected.
    using Take = std::function<std::optional<std::string>(const std::string&)>;

    struct Entry {
        CLI::Option* option = nullptr;
        std::string key;  // in a configuration file: the long flag without dashes
        std::string variable;
        bool is_flag = false;
        Take take;
        std::vector<std::string>* list = nullptr;  // of an option that may be given several times
        std::function<std::string()> toml;         // the value as a configuration file has it; empty: none
        std::string origin;                        // where the value came from; empty: it is the default
    };

    CLI::App app;
    std::string program;
    std::string config_file;
    std::vector<Entry> entries;

    Entry& add(CLI::Option* option, const std::string& variable, Take take) {
        entries.push_back(
            {option, option->get_lnames().front(), variable, false, std::move(take), nullptr, {}, {}});
        return entries.back();
    }

    bool print_config = false;

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
    for (const char* variable : kNatsVariables) {
        if (!environment(variable).empty()) std::cout << "# " << variable << " is set\n";
    }
    std::cout.flush();
}

std::string program_version() { return PGPULSE_VERSION; }

CommandLine::CommandLine(std::string program, std::string description) : impl_(std::make_unique<Impl>()) {
    impl_->program = std::move(program);
    impl_->app.name(impl_->program);
    impl_->app.description(std::move(description));
    impl_->app.set_version_flag("--version", impl_->program + " " + program_version());
    impl_->app
        .add_option("--config", impl_->config_file,
                    "Read options from this file (TOML; keys are the long flags)")
        ->type_name("FILE");
    impl_->app.add_flag("--print-config", impl_->print_config,
                        "Print what all options come to, and from where, as such a file, and exit");
    impl_->app.get_formatter()->column_width(34);
}

CommandLine::~CommandLine() = default;

void CommandLine::text(const std::string& flags, std::string& to, const std::string& placeholder,
                       const std::string& help, const std::string& variable) {
    auto* option = impl_->add_text_option(flags, placeholder, help, variable, to);
    impl_
        ->add(option, variable,
              [&to](const std::string& value) -> std::optional<std::string> {
                  to = value;
                  return std::nullopt;
              })
        .toml = [&to] { return toml_text(to); };
}

void CommandLine::list(const std::string& flags, std::vector<std::string>& to, const std::string& placeholder,
                       const std::string& help, const std::string& variable) {
    auto* option =
        impl_->add_text_option(flags, placeholder, help + "; may be given several times", variable, {});
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    Impl::Entry& entry = impl_->add(option, variable, {});
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
    impl_
        ->add(option, variable,
              [&to, low, high](const std::string& value) -> std::optional<std::string> {
                  int number = 0;
                  const auto [end, error] =
                      std::from_chars(value.data(), value.data() + value.size(), number);
                  if (error != std::errc{} || end != value.data() + value.size() || number < low ||
                      number > high) {
                      return "an integer from " + std::to_string(low) + " to " + std::to_string(high);
                  }
                  to = number;
                  return std::nullopt;
              })
        .toml = [&to] { return std::to_string(to); };
}

void CommandLine::choice(const std::string& flags, std::string& to, std::vector<std::string> choices,
                         const std::string& help, const std::string& variable) {
    std::string listed;
    for (const std::string& choice : choices) listed += (listed.empty() ? "" : "|") + choice;
    auto* option = impl_->add_text_option(flags, listed, help, variable, to);
    impl_
        ->add(option, variable,
              [&to, choices = std::move(choices),
               listed](const std::string& value) -> std::optional<std::string> {
                  if (std::ranges::find(choices, value) == choices.end()) return "one of " + listed;
                  to = value;
                  return std::nullopt;
              })
        .toml = [&to] { return toml_text(to); };
}

void CommandLine::flag(const std::string& flags, bool& to, const std::string& help) {
    auto* option = impl_->app.add_flag(flags, help);
    Impl::Entry& entry =
        impl_->add(option, {}, [&to](const std::string& value) -> std::optional<std::string> {
            if (value != "true" && value != "false") return "true or false";
            to = value == "true";
            return std::nullopt;
        });
    entry.is_flag = true;
    entry.toml = [&to] { return std::string{to ? "true" : "false"}; };
}

void CommandLine::hidden_flag(const std::string& flags, bool& to) {
    flag(flags, to, {});
    impl_->entries.back().option->group({});
}

std::optional<int> CommandLine::parse(int argc, char** argv) {
    try {
        impl_->app.parse(argc, argv);
    } catch (const CLI::Success& success) {
        return impl_->app.exit(success);
    } catch (const CLI::ExtrasError&) {
        return fault(unexpected_argument(impl_->app.remaining(true)));
    } catch (const CLI::ParseError& error) {
        return fault(one_line(error.what()));
    }

    std::map<std::string, std::vector<std::string>> from_file;
    if (!impl_->config_file.empty()) {
        std::ifstream file{impl_->config_file};
        if (!file || std::filesystem::is_directory(impl_->config_file)) {
            return fault("--config: cannot read '" + impl_->config_file + "'");
        }
        if (const auto number = line_without_value(file)) {
            return fault(impl_->config_file + ":" + std::to_string(*number) + ": expected KEY = VALUE");
        }
        std::vector<CLI::ConfigItem> items;
        try {
            items = CLI::ConfigTOML{}.from_config(file);
        } catch (const CLI::Error& error) {
            return fault(impl_->config_file + ": " + one_line(error.what()));
        }
        for (const CLI::ConfigItem& item : items) {
            if (!item.parents.empty()) {
                return fault(impl_->config_file + ": section '" + item.parents.front() +
                             "': there are no sections");
            }
            const auto entry = std::ranges::find(impl_->entries, item.fullname(), &Impl::Entry::key);
            if (entry == impl_->entries.end())
                return fault(impl_->config_file + ": unknown key '" + item.fullname() + "'");
            if (item.inputs.size() != 1 && entry->list == nullptr) {
                return fault(impl_->config_file + ": key '" + item.fullname() + "': expected one value");
            }
            from_file[item.fullname()] = item.inputs;
        }
    }

    for (Impl::Entry& entry : impl_->entries) {
        if (entry.list != nullptr) {
            const std::string from_environment =
                entry.variable.empty() ? std::string{} : environment(entry.variable.c_str());
            if (entry.option->count() > 0) {
                *entry.list = entry.option->results();
                entry.origin = "--" + entry.key;
            } else if (!from_environment.empty()) {
                *entry.list = CLI::detail::split(from_environment, ',');
                entry.origin = entry.variable;
            } else if (const auto it = from_file.find(entry.key); it != from_file.end()) {
                *entry.list = it->second;
                entry.origin = impl_->config_file;
            }
            continue;
        }
        std::string origin;
        std::string value;
        if (entry.option->count() > 0) {
            origin = "--" + entry.key;
            value = entry.is_flag ? "true" : entry.option->results().back();
        } else if (!entry.variable.empty() && !environment(entry.variable.c_str()).empty()) {
            origin = entry.variable;
            value = environment(entry.variable.c_str());
        } else if (const auto it = from_file.find(entry.key); it != from_file.end()) {
            origin = impl_->config_file + ": key '" + entry.key + "'";
            value = it->second.front();
        } else {
            continue;
        }
        if (const auto expected = entry.take(value)) {
            origin += ": expected " + *expected + ", found '" + value + "'";
            return fault(origin);
        }
        entry.origin = std::move(origin);
    }
    if (!impl_->print_config) return std::nullopt;
    impl_->print();
    return 0;
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
    return std::nullopt;
}

}  // namespace pgpulse::runtime
