#include "tests/support/consul_agent.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/free_port.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/notify_socket.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <sys/ptrace.h>
#include <sys/wait.h>

#include <csignal>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

// What the daemons tell a service manager that starts them with Type=notify.
namespace pgpulse {
namespace {

using support::NotifySocket;
using support::wait_until;

const std::string kNoNats = "STATUS=Waiting: NATS is not connected";
const std::string kStarting = "STATUS=Starting: NATS has not answered yet";
const std::string kHung = "STATUS=The working loop stands still";
const std::string kFed = "WATCHDOG=1";

class Supervised : public testing::TestWithParam<const char*> {
  protected:
    NotifySocket socket;
    std::unique_ptr<support::Daemon> daemon;

    void start(const std::string& nats, std::vector<std::string> arguments = {}) {
        arguments.insert(arguments.end(), {"--nats", nats});
        support::ProcessOptions options;
        options.environment = {{"NOTIFY_SOCKET", socket.address()}, {"WATCHDOG_USEC", "200000"}};
        daemon = std::make_unique<support::Daemon>(GetParam(), "one", std::move(arguments), options);
    }
    [[nodiscard]] bool comes(const std::string& line) {
        return wait_until([&] { return socket.told(line); });
    }
    [[nodiscard]] bool is_fed_again() {
        const std::size_t before = socket.count(kFed);
        return wait_until([&] { return socket.count(kFed) > before; });
    }
    [[nodiscard]] bool logs(const std::string& text) {
        return wait_until([&] { return daemon->log().find(text) != std::string::npos; });
    }
    [[nodiscard]] std::string all() { return socket.text() + "\n" + daemon->log(); }
};

TEST_P(Supervised, HasStartedWhileNatsIsAway) {
    start("nats://127.0.0.1:" + std::to_string(support::free_port()));
    EXPECT_TRUE(comes("READY=1")) << all();
    EXPECT_TRUE(comes(kNoNats)) << all();
    EXPECT_TRUE(is_fed_again()) << all();
    EXPECT_EQ(daemon->stop(), 0);
    EXPECT_TRUE(socket.told("STOPPING=1")) << all();
}

TEST_P(Supervised, HasStartedWhileNatsIsFrozen) {
    support::NatsServer server;
    server.process().stop();
    start(server.url());
    EXPECT_TRUE(comes(kStarting)) << all();
    EXPECT_TRUE(comes("READY=1")) << all();
    EXPECT_TRUE(is_fed_again()) << all();
    server.process().cont();
    EXPECT_TRUE(wait_until([&] { return socket.lines().back() != kStarting && is_fed_again(); })) << all();
    EXPECT_EQ(socket.count("READY=1"), 1U) << all();
    EXPECT_EQ(daemon->stop(), 0);
}

TEST_P(Supervised, HasNotStartedWithOptionsThatAreWrong) {
    start("nats://127.0.0.1:4222", {"--http", "nonsense"});
    EXPECT_EQ(daemon->process().wait_exit(), 2);
    EXPECT_EQ(socket.text(), "");
}

TEST_P(Supervised, SaysWhatReadyzSays) {
    const support::NatsServer server;
    const support::ConsulAgent consul;
    const bool is_bridge = std::string{GetParam()} == "pgpulse-consul-bridge";
    // Whose NATS is that of an aggregator that makes the buckets.
    const support::Daemon aggregator{"pgpulse-aggregator", "maker", {"--nats", server.url()}};
    start(server.url(),
          is_bridge ? std::vector<std::string>{"--consul", consul.http_url()} : std::vector<std::string>{});
    EXPECT_TRUE(wait_until([&] { return daemon->readiness() == 200; })) << all();
    EXPECT_TRUE(comes("STATUS=Ready")) << all();
    EXPECT_EQ(daemon->stop(), 0);
    EXPECT_EQ(socket.lines().back(), "STATUS=Stopping") << all();
}

INSTANTIATE_TEST_SUITE_P(EveryDaemon, Supervised,
                         testing::Values("pgpulse-probe", "pgpulse-aggregator", "pgpulse-consul-bridge"),
                         [](const auto& info) {
                             const std::string name = info.param;
                             return name.substr(name.rfind('-') + 1);
                         });

/// Those whose first thread is that of the working loop.
using SupervisedLoop = Supervised;

TEST_P(SupervisedLoop, ThatStandsStillWhileTheOtherThreadsGoOnIsNotVouchedFor) {
    const support::NatsServer server;
    start(server.url());
    ASSERT_TRUE(comes("READY=1")) << all();
    ASSERT_TRUE(is_fed_again()) << all();
    // It may have been said before the loop's first turn.
    const std::size_t said = socket.count(kHung);
    const pid_t loop = daemon->process().pid();
    ASSERT_EQ(ptrace(PTRACE_SEIZE, loop, nullptr, nullptr), 0) << strerror(errno);
    ASSERT_EQ(ptrace(PTRACE_INTERRUPT, loop, nullptr, nullptr), 0) << strerror(errno);
    ASSERT_EQ(waitpid(loop, nullptr, __WALL), loop);
    EXPECT_TRUE(wait_until([&] { return socket.count(kHung) > said; })) << all();
    const std::size_t before = socket.count(kFed);
    // Five times as long as the watchdog waits.
    EXPECT_FALSE(wait_until([&] { return socket.count(kFed) > before; }, std::chrono::seconds{1})) << all();
    ASSERT_EQ(ptrace(PTRACE_DETACH, loop, nullptr, nullptr), 0) << strerror(errno);
    EXPECT_TRUE(is_fed_again()) << all();
    EXPECT_EQ(daemon->stop(), 0);
}

INSTANTIATE_TEST_SUITE_P(EveryDaemon, SupervisedLoop,
                         testing::Values("pgpulse-aggregator", "pgpulse-consul-bridge"),
                         [](const auto& info) {
                             const std::string name = info.param;
                             return name.substr(name.rfind('-') + 1);
                         });

TEST_P(Supervised, ReadsItsConfigurationAgain) {
    const support::TempDir folder;
    const std::string file = folder / "daemon.toml";
    std::ofstream{file} << "site = 'eu'\n";
    start("nats://127.0.0.1:" + std::to_string(support::free_port()), {"--config", file});
    ASSERT_TRUE(comes("READY=1")) << all();
    std::ofstream{file} << "site = 'us'\nlog-level = 'debug'\n";
    daemon->process().signal(SIGHUP);
    EXPECT_TRUE(wait_until([&] { return socket.told("RELOADING=1") && socket.count("READY=1") == 2; }))
        << all();
    EXPECT_TRUE(
        logs(file + " is read again: log-level is 'debug' now and site has changed, which takes a restart"))
        << all();
    std::ofstream{file} << "site = 'us'\nlog-level = 'loud'\n";
    daemon->process().signal(SIGHUP);
    EXPECT_TRUE(
        logs(file +
             ":2: key 'log-level': expected one of trace|debug|info|warn|error, found 'loud'; nothing is "
             "changed"))
        << all();
    EXPECT_EQ(daemon->stop(), 0);
}

TEST(SupervisedProbe, SaysThatItReadsItsFileAgain) {
    const support::TempDir folder;
    const auto file = folder / "targets.json";
    std::ofstream{file} << R"({"targets": []})";
    NotifySocket socket;
    support::Daemon probe{
        "pgpulse-probe",
        "one",
        {"--nats", "nats://127.0.0.1:" + std::to_string(support::free_port()), "--targets", file.string()},
        {.environment = {{"NOTIFY_SOCKET", socket.address()}}}};
    ASSERT_TRUE(wait_until([&] { return socket.told("READY=1"); })) << probe.log();
    probe.process().signal(SIGHUP);
    EXPECT_TRUE(wait_until([&] { return socket.told("RELOADING=1") && socket.count("READY=1") == 2; }))
        << socket.text();
}

}  // namespace
}  // namespace pgpulse
