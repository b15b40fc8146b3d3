#include "tests/support/daemons.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/ping_ledger.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <gmock/gmock.h>

#include <fstream>

// pgpulse-probe under a limit of open files that its targets' sessions do not fit into.
namespace pgpulse {
namespace {

using contract::Opinion;
using contract::Ping;
using contract::Verdict;
using contract::Via;
using support::wait_until;
using testing::HasSubstr;
using testing::Not;

constexpr int kMoreThanFiles = 60;
constexpr unsigned kFiles = 128;  // 64 of them in reserve, 32 for pings
constexpr double kFittingSessions = 32;

std::string target(int number) { return "db" + std::to_string(number); }

/// Many targets that are one real server.
std::string targets_file(const support::TempDir& folder, std::uint16_t port) {
    // A timeout that a loaded machine does not reach, and a pace that lets it do something else.
    nlohmann::json file{{"defaults",
                         {{"address", "127.0.0.1"},
                          {"port", port},
                          {"mode", "session"},
                          {"user", "postgres"},
                          {"database", "postgres"},
                          {"interval_ms", 2000},
                          {"timeout_ms", 20000},
                          {"fast_interval_ms", 1000}}}};
    for (int i = 0; i < kMoreThanFiles; ++i) file["targets"].push_back({{"name", target(i)}});
    const auto path = folder / "targets.json";
    std::ofstream{path} << file;
    return path;
}

TEST(ProbeOpenFiles, TargetsWhoseSessionsDoNotFitArePingedByFreshConnections) {
    const support::TempDir folder;
    const support::NatsServer server;
    const support::PostgresServer postgres{{.settings = {{"max_connections", "200"}}}};
    nats::ConnectOptions options;
    options.url = server.url();
    const auto connection = std::move(nats::Connection::open(options).value());
    support::PingLedger pings{*connection};
    support::Daemon probe{"pgpulse-probe",
                          "w1",
                          {"--nats", server.url(), "--targets", targets_file(folder, postgres.port())},
                          {.open_files = kFiles}};

    ASSERT_TRUE(wait_until([&] { return probe.metric("pgpulse_probe_sessions") == kFittingSessions; }))
        << probe.log();
    const auto by_session = [&](int i) { return pings.newest_by_session(target(i), "w1").has_value(); };
    const auto fresh_and_up = [&](int i) {
        const auto all = pings.of(target(i));
        return all.size() > 4 && all.back().via == Via::fresh && all.back().opinion == Opinion::up;
    };
    EXPECT_TRUE(wait_until([&] {
        int held = 0;
        int fresh = 0;
        for (int i = 0; i < kMoreThanFiles; ++i) ++(by_session(i) ? held : fresh);
        for (int i = 0; i < kMoreThanFiles; ++i) {
            if (!by_session(i) && !fresh_and_up(i)) return false;
        }
        return held == kFittingSessions && fresh == kMoreThanFiles - kFittingSessions;
    })) << probe.log();
    EXPECT_EQ(probe.metric("pgpulse_probe_sessions"), kFittingSessions);
    EXPECT_EQ(probe.metric("pgpulse_probe_sessions_wanting"), kMoreThanFiles - kFittingSessions);

    for (int i = 0; i < kMoreThanFiles; ++i) {
        for (const Ping& ping : pings.of(target(i))) {
            EXPECT_NE(ping.opinion, Opinion::down) << target(i);
            EXPECT_EQ(ping.verdict, Verdict::accepting) << target(i) << ' ' << to_string(ping.reason);
        }
    }
    EXPECT_THAT(probe.log(),
                HasSubstr("this process may open 128 files: 32 pings under way and 32 sessions"));
    EXPECT_THAT(probe.log(), HasSubstr("60 targets are in mode session"));
    EXPECT_THAT(probe.log(), HasSubstr("28 targets are pinged by fresh connections alone. Raise the limit"));
    EXPECT_THAT(probe.log(), Not(HasSubstr("no session, it is pinged")));
    EXPECT_EQ(probe.stop(), 0) << probe.log();
}

TEST(ProbeOpenFiles, ABoundOfPingsThatDoesNotFitIsRefused) {
    const auto result = support::run_to_end(
        {support::built_program("pgpulse-probe"), "--nats", "nats://127.0.0.1:1", "--max-in-flight", "65"},
        {.open_files = kFiles});
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr("--max-in-flight: expected at most 64, because this process may open "
                                      "128 files; found '65'"));
}

}  // namespace
}  // namespace pgpulse
