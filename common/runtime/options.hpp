#pragma once

#include "common/nats/connection.hpp"
#include "common/runtime/reload.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgpulse::runtime {

/// Of all programs: "0.1.0".
std::string program_version();

/// A program's command line, environment and configuration file. Precedence: flag, environment, file,
/// default. A fault is one line on standard error that names the flag, variable or file and key, and exit
/// code 2.
class CommandLine {
  public:
    CommandLine(std::string program, std::string description);
    ~CommandLine();
    CommandLine(const CommandLine&) = delete;
    CommandLine& operator=(const CommandLine&) = delete;

    /// `flags` in CLI11's form ("--nats", "-f,--file"); `variable` may be empty. `placeholder` is what --help
    /// shows ("URL").
    void text(const std::string& flags, std::string& to, const std::string& placeholder,
              const std::string& help, const std::string& variable = {});
    /// May be given several times; in a configuration file the value is an array, in the environment its
    /// items are separated by commas.
    void list(const std::string& flags, std::vector<std::string>& to, const std::string& placeholder,
              const std::string& help, const std::string& variable = {});
    void integer(const std::string& flags, int& to, int low, int high, const std::string& placeholder,
                 const std::string& help, const std::string& variable = {});
    void choice(const std::string& flags, std::string& to, std::vector<std::string> choices,
                const std::string& help, const std::string& variable = {});
    void flag(const std::string& flags, bool& to, const std::string& help);
    /// A flag that --help does not show: a test's, of no use to an operator.
    void hidden_flag(const std::string& flags, bool& to);

    /// Variables that the program reads itself and no flag has; `help` is a sentence on them.
    void reads_environment(const std::vector<std::string>& variables, const std::string& help);

    /// A new value of this key in the configuration file takes effect while the program runs.
    void takes_effect_at_once(const std::string& key);

    /// The program exits with this code, where there is one: --help, --version, --print-config and --print-manual, which --help
    /// does not show (0), a fault (2).
    std::optional<int> parse(int argc, char** argv);

    /// What the configuration file may change from now on. After `parse`.
    [[nodiscard]] Reload reload() const;

    /// Reports a fault found after parsing, in the same form; returns exit code 2.
    int fault(const std::string& line) const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// What every program takes.
struct CommonOptions {
    nats::ConnectOptions nats;  // NATS_URL, and what read_nats_environment reads
    std::string id;             // default: the host's name
    std::string site;
    std::string http;  // ADDR:PORT, empty: no endpoint
    int replicas = 1;  // of what this program creates in JetStream, 1 to 5
    std::string log_level = "info";
    std::string log_format = "text";
    Reload reload;
};

/// What is wrong where arguments are left over, by CLI11's App::remaining: the first that looks like an option is the
/// culprit, for its value is left over with it.
std::string unexpected_argument(const std::vector<std::string>& left);

/// Fills what a secret or a rarely used setting has in the environment: NATS_USER, NATS_PASSWORD, NATS_TOKEN,
/// NATS_CREDS, NATS_NKEY, NATS_CERT, NATS_KEY, NATS_CA, NATS_INBOX_PREFIX; NATS_PASSWORD_FILE and NATS_TOKEN_FILE, which go first, name files
/// that hold the secret alone. Empty, or what is at fault as one line without the secret.
[[nodiscard]] std::optional<std::string> read_nats_environment(nats::ConnectOptions& options);

/// Adds --nats, --id, --site, --http, --replicas, --log-level, --log-format (--config, --print-config, --version and --help come
/// with CommandLine).
void add_common_options(CommandLine& line, CommonOptions& options);

/// Reads the secrets from the environment, checks id, site and --http, and sets up the log. Exit code 2 on a
/// fault.
std::optional<int> finish_common_options(const CommandLine& line, CommonOptions& options,
                                         std::string_view program);

}  // namespace pgpulse::runtime
