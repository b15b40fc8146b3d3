#include "tests/support/consul_agent.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/folders.hpp"
#include "tests/support/installed.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

// What `cmake --install` gives an operator: configuration that says what the program says, and units that hold.
namespace pgpulse {
namespace {

using support::Installed;
using testing::HasSubstr;
using testing::IsSupersetOf;

std::string text_of(const std::filesystem::path& path) {
    std::ifstream file{path};
    if (!file) ADD_FAILURE() << path << " cannot be read";
    return {std::istreambuf_iterator<char>{file}, {}};
}

/// The long options that --help shows, with the default of those that have one there.
std::map<std::string, std::string> options_of(const std::string& help) {
    std::map<std::string, std::string> options;
    // A description may stand on the line after the option.
    const std::regex option{R"(^  (?:-\w,)?--([a-z-]+)(.*)$)"};
    const std::regex shown_default{R"(\[([^\]]*)\])"};
    std::istringstream lines{help};
    std::string last;
    for (std::string line; std::getline(lines, line);) {
        std::smatch match;
        std::string rest = line;
        if (std::regex_match(line, match, option)) {
            last = match[1];
            rest = match[2];
            options[last];
        }
        if (!last.empty() && std::regex_search(rest, match, shown_default)) options[last] = match[1];
    }
    for (const char* not_of_a_file : {"help", "version", "config", "print-config"})
        options.erase(not_of_a_file);
    return options;
}

/// The keys of an example's lines that are commented out, with their values.
std::map<std::string, std::string> keys_of(const std::string& toml) {
    std::map<std::string, std::string> keys;
    const std::regex key{R"re(^#([a-z-]+) = "?([^"]*)"?$)re"};
    std::istringstream lines{toml};
    for (std::string line; std::getline(lines, line);) {
        std::smatch match;
        if (!std::regex_match(line, match, key)) {
            EXPECT_TRUE(line.empty() || line.starts_with("# ") || line == "#") << line;
            continue;
        }
        EXPECT_TRUE(keys.emplace(match[1], match[2]).second) << match[1] << " stands there twice";
    }
    return keys;
}

class InstalledDaemon : public testing::TestWithParam<const char*> {
  protected:
    /// Once for all of them.
    static void SetUpTestSuite() { installed = std::make_unique<Installed>(); }
    static void TearDownTestSuite() { installed.reset(); }

    static std::unique_ptr<Installed> installed;
    const std::string daemon = GetParam();

    [[nodiscard]] std::string help() const {
        return support::run_to_end({installed->program(daemon).string(), "--help"}).out;
    }
};
std::unique_ptr<Installed> InstalledDaemon::installed;

TEST_P(InstalledDaemon, HasAnExampleOfEveryOptionAtItsDefault) {
    const auto options = options_of(help());
    const auto keys = keys_of(text_of(installed->configuration(daemon)));
    ASSERT_GE(options.size(), 8U) << help();
    for (const auto& [option, shown_default] : options) {
        const auto key = keys.find(option);
        ASSERT_NE(key, keys.end()) << "no line '#" << option << " = ...'";
        if (!shown_default.empty()) {
            EXPECT_EQ(key->second, shown_default) << option;
        } else {
            EXPECT_THAT((std::set<std::string>{"", "[]", "false"}), testing::Contains(key->second)) << option;
        }
    }
    EXPECT_EQ(keys.size(), options.size()) << "a line of no option of the program's";
}

TEST_P(InstalledDaemon, TakesItsConfigurationAsItIsAndWithEveryLine) {
    const support::NatsServer server;
    const support::ConsulAgent consul;
    const support::Daemon aggregator{"pgpulse-aggregator", "maker", {"--nats", server.url()}};
    std::vector<std::string> arguments{"--nats", server.url(), "--config",
                                       installed->configuration(daemon).string()};
    if (daemon == "consul-bridge") arguments.insert(arguments.end(), {"--consul", consul.http_url()});
    {
        const support::Daemon as_it_is{"pgpulse-" + daemon, "one", arguments};
        EXPECT_TRUE(support::wait_until([&] { return as_it_is.readiness() == 200; })) << as_it_is.log();
    }
    const std::filesystem::path every_line = installed->prefix() / ("every-line-of-" + daemon + ".toml");
    std::ofstream{every_line} << std::regex_replace(text_of(installed->configuration(daemon)),
                                                    std::regex{R"(\n#([a-z-]+ = ))"}, "\n$1");
    ASSERT_THAT(text_of(every_line), HasSubstr("\nreplicas = 1\n"));
    arguments[3] = every_line.string();
    const support::Daemon with_every_line{"pgpulse-" + daemon, "two", arguments};
    EXPECT_TRUE(support::wait_until([&] { return with_every_line.readiness() == 200; }))
        << with_every_line.log();
}

TEST_P(InstalledDaemon, ReadsEveryVariableOfItsEnvironmentFile) {
    // What libpq reads besides what --help speaks of.
    std::set<std::string> known{"PGSERVICEFILE"};
    const std::string shown = help();
    const std::regex variable{R"(\b([A-Z]+(_[A-Z]+)+)\b)"};
    for (std::sregex_iterator it{shown.begin(), shown.end(), variable}; it != std::sregex_iterator{}; ++it)
        known.insert((*it)[1]);
    std::istringstream lines{text_of(installed->environment(daemon))};
    std::vector<std::string> named;
    for (std::string line; std::getline(lines, line);) {
        if (!line.empty() && !line.starts_with("# ") && !line.starts_with("#   "))
            named.push_back(line.substr(1, line.find('=') - 1));
        EXPECT_TRUE(line.empty() || line.starts_with('#')) << line;
    }
    EXPECT_THAT(known, IsSupersetOf(named));
    EXPECT_THAT(named, IsSupersetOf({"NATS_CREDS", "NATS_PASSWORD_FILE"}));
}

TEST_P(InstalledDaemon, HasAUnitWithoutFaultAndWithoutExposure) {
    const std::string unit = installed->unit(daemon).string();
    const auto verified = support::run_to_end({"systemd-analyze", "verify", "--man=no", unit});
    EXPECT_EQ(verified.exit_code, 0) << verified.out << verified.err;
    EXPECT_EQ(verified.err.find(unit), std::string::npos) << verified.err;
    // The threshold is in tenths: 2.0.
    const auto secure = support::run_to_end(
        {"systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", unit});
    EXPECT_EQ(secure.exit_code, 0) << secure.out << secure.err;
    EXPECT_THAT(secure.out, HasSubstr("Overall exposure level"));
}

TEST_P(InstalledDaemon, HasTheSecretsInItsUnitThatItsFilesName) {
    const std::string unit = text_of(installed->unit(daemon));
    const std::regex named{"/run/credentials/pgpulse-" + daemon + R"(\.service/([a-z._]+[a-z]))"};
    std::size_t found = 0;
    for (const auto& file : {installed->configuration(daemon), installed->environment(daemon)}) {
        const std::string text = text_of(file);
        EXPECT_EQ(text.find('@'), std::string::npos) << file << " has a place without its path";
        for (std::sregex_iterator it{text.begin(), text.end(), named}; it != std::sregex_iterator{}; ++it) {
            ++found;
            const std::string secret = (*it)[1];
            std::string line = "\nLoadCredential=";
            line.append(secret).append(":pgpulse-").append(daemon).append(".").append(secret).append("\n");
            EXPECT_THAT(unit, HasSubstr(line));
        }
    }
    EXPECT_GE(found, 5U);
}

INSTANTIATE_TEST_SUITE_P(Every, InstalledDaemon, testing::Values("probe", "aggregator", "consul-bridge"),
                         [](const auto& info) {
                             std::string name = info.param;
                             return name.substr(name.rfind('-') + 1);
                         });

TEST(Installation, KeepsWhatWasConfiguredAndRenewsUnits) {
    const Installed installed;
    std::ofstream{installed.configuration("probe")} << "site = \"here\"\n";
    std::ofstream{installed.environment("probe")} << "NATS_URL=nats://elsewhere\n";
    std::ofstream{installed.unit("probe")} << "old\n";
    // CMake takes files that were written in one second for the same.
    std::filesystem::last_write_time(installed.unit("probe"),
                                     std::filesystem::file_time_type::clock::now() - std::chrono::hours{1});
    installed.again();
    EXPECT_EQ(text_of(installed.configuration("probe")), "site = \"here\"\n");
    EXPECT_EQ(text_of(installed.environment("probe")), "NATS_URL=nats://elsewhere\n");
    EXPECT_THAT(text_of(installed.unit("probe")),
                HasSubstr("ExecStart=" + installed.program("probe").string()));
}

TEST(Installation, HasTheCommandTheDocumentsAndTheExamples) {
    const Installed installed;
    const auto version = support::run_to_end({(installed.prefix() / "bin/pgpulse").string(), "--version"});
    EXPECT_EQ(version.exit_code, 0) << version.err;
    EXPECT_THAT(text_of(installed.prefix() / "share/man/man1/pgpulse-status.1"),
                HasSubstr("\\fBpgpulse status\\fR"));
    for (const std::string daemon : {"probe", "aggregator", "consul-bridge"}) {
        const auto page = text_of(installed.prefix() / ("share/man/man8/pgpulse-" + daemon + ".8"));
        EXPECT_THAT(page, HasSubstr("\n\\fB\\-\\-log\\-level\\fR"));
        EXPECT_THAT(page, HasSubstr(".SH ENVIRONMENT\nNATS_USER"));
        EXPECT_THAT(page, HasSubstr(".SH EXIT STATUS\nExit code 0"));
    }
    EXPECT_THAT(text_of(installed.prefix() / "share/bash-completion/completions/pgpulse"),
                HasSubstr("complete -o default -F _pgpulse pgpulse"));
    const auto documents = installed.prefix() / "share/doc/pgpulse";
    EXPECT_EQ(text_of(documents / "README.md"), text_of(support::source_folder() / "README.md"));
    EXPECT_EQ(text_of(documents / "docs/contract.md"),
              text_of(support::source_folder() / "docs/contract.md"));
    EXPECT_EQ(text_of(documents / "examples/consul/bridge-policy.hcl"),
              text_of(support::source_folder() / "deploy/consul/bridge-policy.hcl"));
    EXPECT_FALSE(std::filesystem::exists(documents / "examples/systemd"))
        << "templates are of no use to anybody";
}

}  // namespace
}  // namespace pgpulse
