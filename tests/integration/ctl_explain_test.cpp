#include "common/contract/target.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/folders.hpp"
#include "tests/support/free_port.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/process.hpp"
#include "tests/support/targets_bucket.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <gmock/gmock.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

// What an operator asks a running pipeline: why, how it is now, and what is wrong with it.
namespace pgpulse {
namespace {

using nlohmann::json;
using support::CommandResult;
using support::Daemon;
using support::wait_until;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

/// Two workers, an aggregator, and a PostgreSQL server that they observe as `db1` of the service `orders`.
class CtlPipeline : public testing::Test {
  protected:
    support::NatsServer nats;
    support::PostgresServer postgres;
    std::unique_ptr<nats::Connection> connection = support::connect_with_targets_bucket(nats.url());
    std::vector<std::unique_ptr<Daemon>> probes;
    std::unique_ptr<Daemon> aggregator;

    void SetUp() override {
        define("db1", "orders", postgres.port());
        aggregator = std::make_unique<Daemon>("pgpulse-aggregator", "a1",
                                              std::vector<std::string>{"--nats", nats.url()});
        for (const char* id : {"w1", "w2"})
            probes.push_back(std::make_unique<Daemon>(
                "pgpulse-probe", id, std::vector<std::string>{"--nats", nats.url(), "--site", "here"}));
        ASSERT_TRUE(wait_until([&] { return run({"status", "db1"}).exit_code == 0; })) << logs();
    }

    void define(const std::string& name, const std::string& service, std::uint16_t port) const {
        contract::TargetDefinition target;
        target.name = name;
        target.service = service;
        target.address = "127.0.0.1";
        target.port = port;
        target.observers = 2;
        target.timeout = std::chrono::seconds{10};  // what a loaded machine does not reach
        target.tags = {"eu", name};
        support::put_target(*connection, target);
    }

    [[nodiscard]] CommandResult run(std::vector<std::string> arguments) const {
        arguments.insert(arguments.begin(), {support::built_program("pgpulse"), "--nats", nats.url()});
        return support::run_to_end(arguments);
    }

    [[nodiscard]] std::string logs() const {
        std::string all = aggregator->log();
        for (const auto& probe : probes) all += probe->log();
        return all;
    }
};

TEST_F(CtlPipeline, ExplainsAStateByTheRuleThatDecides) {
    // Both have to be heard before the rule is the one of a quorum of two.
    ASSERT_TRUE(wait_until([&] {
        const CommandResult found = run({"check", "db1"});
        return found.exit_code == 0 && found.out.find("w1") != std::string::npos &&
               found.out.find("w2") != std::string::npos;
    })) << logs();
    const CommandResult told = run({"explain", "db1"});
    EXPECT_EQ(told.exit_code, 0) << told.err;
    EXPECT_THAT(told.out, ContainsRegex("^db1  up since [0-9T:.Z-]+: accepting connections\n"));
    EXPECT_THAT(told.out, ContainsRegex("\n[12] +w1 +here +up +accepting +ok +[0-9.]+ ms +[0-9]+ +fresh\n"));
    EXPECT_THAT(told.out, HasSubstr("  quorum_up: up\n"));
    EXPECT_THAT(told.out, HasSubstr("  aggregator a1\n"));
    EXPECT_THAT(told.out, HasSubstr("  down: 2 of its 2 observers found it failing 3 times in a row\n"));
    EXPECT_THAT(told.out, HasSubstr("  unknown: no observer heard for 13 s\n"));
    EXPECT_THAT(told.out, HasSubstr("  check db1-isready: passing, \"up since "));
    EXPECT_THAT(told.out, HasSubstr("  written by nobody: no bridge serves\n"));

    const CommandResult as_json = run({"explain", "db1", "--json"});
    const json document = json::parse(as_json.out);
    EXPECT_EQ(document.at("rule").at("name"), "quorum_up");
    EXPECT_EQ(document.at("observers").size(), 2U);
    EXPECT_EQ(document.at("observers")[0].at("ping").at("verdict"), "accepting");
    EXPECT_EQ(document.at("bridge"), nullptr);

    const CommandResult unknown = run({"explain", "db9"});
    EXPECT_EQ(unknown.exit_code, 1);
    EXPECT_EQ(unknown.err, "pgpulse: 'db9' has no definition\n");
    EXPECT_EQ(unknown.out, "");
}

TEST_F(CtlPipeline, ChecksATargetNow) {
    postgres.kill9();
    CommandResult found;
    ASSERT_TRUE(wait_until([&] {
        found = run({"check", "db1"});
        return found.exit_code == 1 &&
               testing::Matches(ContainsRegex("w2 +here +[a-z]+ +no_response +refused"))(found.out);
    })) << found.out
        << logs();
    for (const auto& probe : probes) probe->kill9();
    ASSERT_TRUE(wait_until([&] {
        found = run({"check", "db1"});
        return found.err.find("nobody observes") != std::string::npos;
    })) << found.out
        << found.err;
    EXPECT_EQ(found.exit_code, 1);
    EXPECT_EQ(found.err, "pgpulse: nobody observes 'db1': no probe worker serves\n");
    EXPECT_EQ(found.out, "");
}

TEST_F(CtlPipeline, StatusTakesOnlyWhatWasAskedFor) {
    const std::uint16_t nobody = support::free_port();
    define("db2", "billing", nobody);
    ASSERT_TRUE(wait_until([&] { return run({"status", "db2"}).out.find("down") != std::string::npos; }))
        << logs();
    const auto shown = [&](const std::vector<std::string>& filter) {
        std::vector<std::string> arguments{"status", "--json"};
        arguments.insert(arguments.end(), filter.begin(), filter.end());
        CommandResult result;
        // The aggregator's key runs out where the machine stands still for two seconds.
        EXPECT_TRUE(wait_until([&] {
            result = run(arguments);
            return result.err.find("no aggregator serves") == std::string::npos;
        }));
        std::string names;
        for (std::size_t at = result.out.find("{\"target\":\""); at != std::string::npos;
             at = result.out.find("{\"target\":\"", at + 1))
            names += result.out.substr(at + 11, 3) + " ";
        return names + std::to_string(result.exit_code);
    };
    EXPECT_EQ(shown({}), "db1 db2 1");
    EXPECT_EQ(shown({"--service", "orders"}), "db1 0");
    EXPECT_EQ(shown({"--service", "orders", "--service", "billing"}), "db1 db2 1");
    EXPECT_EQ(shown({"--state", "down", "--state", "unknown"}), "db2 1");
    EXPECT_EQ(shown({"--tag", "eu"}), "db1 db2 1");
    EXPECT_EQ(shown({"--tag", "eu", "--tag", "db1"}), "db1 0");
    EXPECT_EQ(shown({"--tag", "us"}), "0");
}

TEST_F(CtlPipeline, StatusSaysThatNobodyKeepsTheStatesTrue) {
    aggregator->kill9();
    CommandResult result;
    ASSERT_TRUE(wait_until([&] {
        result = run({"status"});
        return result.exit_code == 1;
    })) << result.out;
    EXPECT_EQ(result.err, "pgpulse: no aggregator serves: these are the last known states\n");
    EXPECT_THAT(result.out, HasSubstr("db1     up "));
}

TEST_F(CtlPipeline, TheDoctorSaysWhatToDo) {
    CommandResult result;
    ASSERT_TRUE(wait_until([&] {
        result = run({"doctor"});
        return result.exit_code == 0;
    })) << result.out
        << result.err;
    EXPECT_THAT(result.out, ContainsRegex("ok +bucket health +one replica\n"));
    EXPECT_THAT(result.out, ContainsRegex("ok +pings +every worker that has targets was heard\n"));
    EXPECT_THAT(result.out,
                ContainsRegex("warning +aggregators +one serves: its death would stop the states\n +-> "
                              "start a second one"));
    EXPECT_THAT(result.out, ContainsRegex("note +bridges +none runs"));
    EXPECT_THAT(result.out, ContainsRegex("ok +states +all up\n"));
    EXPECT_THAT(result.out, ContainsRegex("ok +clocks "));
    EXPECT_THAT(result.out, Not(HasSubstr("failure")));

    aggregator->kill9();
    probes.front()->process().stop();
    ASSERT_TRUE(wait_until([&] {
        result = run({"doctor", "--json"});
        return result.out.find("no state changes") != std::string::npos;
    })) << result.out;
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_THAT(result.out, HasSubstr(R"({"grade":"failure","subject":"aggregators",)"));
    probes.front()->process().cont();
}

/// The lines of the page that an operator types as they stand.
std::vector<std::string> commands_of(const std::string& page) {
    std::ifstream file{support::source_folder() / page};
    std::vector<std::string> commands;
    for (std::string line; std::getline(file, line);) {
        if (!line.starts_with("    pgpulse ")) continue;
        line.erase(0, 4);
        commands.push_back(line.substr(0, line.find("  #")));
    }
    return commands;
}

TEST_F(CtlPipeline, TheCommandsOfThePageOfOperationsDoWhatTheyAreThereFor) {
    define("orders-db", "orders", postgres.port());
    ASSERT_TRUE(wait_until([&] { return run({"history", "orders-db"}).exit_code == 0; })) << logs();
    const auto commands = commands_of("docs/operations.md");
    ASSERT_GE(commands.size(), 12U);
    const support::TempDir folder;
    support::ProcessOptions options;
    options.working_directory = folder.path();
    options.environment = {
        {"NATS_URL", nats.url()},
        {"PATH",
         std::filesystem::path{support::built_program("pgpulse")}.parent_path().string() + ":/usr/bin:/bin"}};
    for (const std::string& command : commands) {
        const CommandResult result = support::run_to_end({"bash", "-c", command}, options);
        EXPECT_EQ(result.exit_code, 0) << command << '\n' << result.out << result.err;
    }
}

TEST(CtlDoctor, OfAnEmptyServerNamesWhatIsMissing) {
    const support::NatsServer nats;
    const CommandResult result =
        support::run_to_end({support::built_program("pgpulse"), "doctor", "--nats", nats.url()});
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_THAT(result.out, ContainsRegex("failure +bucket health +is not there\n +-> start an aggregator"));
    EXPECT_THAT(result.out, ContainsRegex("failure +probes +none serves"));
}

TEST(CtlPing, IsPgIsReadyWithAReason) {
    support::PostgresServer postgres;
    const auto ping = [](const std::string& conninfo, const std::string& more = "--timeout=5") {
        return support::run_to_end({support::built_program("pgpulse"), "ping", conninfo, more});
    };
    const std::string port = std::to_string(postgres.port());
    CommandResult found = ping("host=127.0.0.1 port=" + port);
    EXPECT_EQ(found.exit_code, 0);
    EXPECT_THAT(found.out, testing::MatchesRegex("127.0.0.1:" + port +
                                                 " - accepting connections, answered in [0-9.]+ ms\n"));
    found = ping("postgresql://localhost:" + port + "/orders", "--json");
    EXPECT_EQ(found.exit_code, 0);
    EXPECT_EQ(json::parse(found.out).at("verdict"), "accepting");
    EXPECT_GT(json::parse(found.out).at("rtt_us"), 0);
    postgres.sigstop();
    found = ping("host=127.0.0.1 port=" + port, "--timeout=0.5");
    postgres.cont();
    EXPECT_EQ(found.exit_code, 2);
    EXPECT_THAT(found.out, HasSubstr(" - no response: "));
    postgres.kill9();
    found = ping("host=127.0.0.1 port=" + port);
    EXPECT_EQ(found.exit_code, 2);
    EXPECT_EQ(found.out, "127.0.0.1:" + port + " - no response: connection refused\n");
}

TEST(CtlPing, TakesWhatIsNotSaidFromLibpqsVariables) {
    const std::uint16_t nobody = support::free_port();
    support::ProcessOptions options;
    options.environment = {{"PGHOST", "127.0.0.1"}, {"PGPORT", std::to_string(nobody)}};
    const CommandResult found = support::run_to_end({support::built_program("pgpulse"), "ping"}, options);
    EXPECT_EQ(found.exit_code, 2);
    EXPECT_EQ(found.out, "127.0.0.1:" + std::to_string(nobody) + " - no response: connection refused\n");
}

TEST(CtlPing, MakesNoAttemptWithWhatItCannotUse) {
    const auto fault_of = [](const std::string& conninfo) {
        const CommandResult result =
            support::run_to_end({support::built_program("pgpulse"), "ping", conninfo});
        EXPECT_EQ(result.exit_code, 3) << conninfo;
        EXPECT_EQ(result.out, "");
        return result.err;
    };
    EXPECT_EQ(fault_of("hots=db1"), "pgpulse: CONNINFO: invalid connection option \"hots\"\n");
    EXPECT_EQ(fault_of("host=/run/postgresql"),
              "pgpulse: host: expected a host name or an address (a probe pings by TCP), found "
              "'/run/postgresql'\n");
    EXPECT_EQ(fault_of("host=a,b"), "pgpulse: host: expected one host, found 'a,b'\n");
    EXPECT_EQ(fault_of("port=70000"), "pgpulse: port: expected a number from 1 to 65535, found '70000'\n");
    EXPECT_EQ(fault_of("sslmode=perhaps"),
              "pgpulse: sslmode: expected disable, allow, prefer, require, verify-ca or verify-full, found "
              "'perhaps'\n");
}

}  // namespace
}  // namespace pgpulse
