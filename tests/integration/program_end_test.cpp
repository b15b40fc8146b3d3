#include "common/contract/names.hpp"
#include "common/nats/bucket.hpp"
#include "common/runtime/stop_limit.hpp"
#include "tests/support/bucket_events.hpp"
#include "tests/support/connect.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// SIGTERM while NATS cannot be asked for anything any more.
namespace pgpulse {
namespace {

using support::Daemon;
using support::wait_until;

/// Whether a process holds a socket besides its standard streams.
bool has_connection(pid_t pid) {
    std::error_code error;
    for (const auto& entry :
         std::filesystem::directory_iterator{"/proc/" + std::to_string(pid) + "/fd", error}) {
        if (std::filesystem::read_symlink(entry, error).string().starts_with("socket:")) return true;
    }
    return false;
}

class EndOf : public testing::TestWithParam<const char*> {
  protected:
    support::NatsServer server;
    std::unique_ptr<Daemon> daemon;

    void start() {
        daemon =
            std::make_unique<Daemon>(GetParam(), "one", std::vector<std::string>{"--nats", server.url()});
    }

    /// It does its work and waits for answers of NATS now and then, on all of its threads.
    void start_and_wait_until_it_serves() {
        const auto connection = support::connect(server.url());
        start();
        support::BucketEvents members;
        const nats::BucketWatch watch{*connection, std::string{contract::kMembersBucket},
                                      [&](nats::BucketEvent event) { members.take(std::move(event)); }};
        ASSERT_TRUE(wait_until([&] {
            return std::ranges::any_of(members.held(), [](const auto& member) {
                return member.second.find("serving") != std::string::npos;
            });
        })) << daemon->log();
    }
};

TEST_P(EndOf, IsCleanWhileNatsIsFrozen) {
    ASSERT_NO_FATAL_FAILURE(start_and_wait_until_it_serves());
    server.process().stop();
    EXPECT_EQ(daemon->stop(), 0) << daemon->log();
    server.process().cont();
}

TEST_P(EndOf, IsCleanWhileItReconnectsToAFrozenNats) {
    ASSERT_NO_FATAL_FAILURE(start_and_wait_until_it_serves());
    server.process().stop();
    ASSERT_TRUE(wait_until([&] { return daemon->log().find("lost NATS") != std::string::npos; }))
        << daemon->log();
    EXPECT_EQ(daemon->stop(), 0) << daemon->log();
    server.process().cont();
}

TEST_P(EndOf, IsCleanWhileNatsIsGone) {
    ASSERT_NO_FATAL_FAILURE(start_and_wait_until_it_serves());
    server.kill9();
    EXPECT_EQ(daemon->stop(), 0) << daemon->log();
}

TEST_P(EndOf, IsCleanWhileItStillWaitsForAFrozenNats) {
    server.process().stop();
    support::Process waiting{{support::built_program(GetParam()), "--nats", server.url(), "--id", "one"}};
    // It has the signal's handling behind it when its connection waits at the frozen server.
    ASSERT_TRUE(wait_until([&] { return has_connection(waiting.pid()); }));
    EXPECT_EQ(waiting.terminate(), 0) << waiting.output();
    server.process().cont();
}

INSTANTIATE_TEST_SUITE_P(EveryDaemon, EndOf,
                         testing::Values("pgpulse-probe", "pgpulse-aggregator", "pgpulse-consul-bridge"),
                         [](const auto& info) {
                             const std::string name = info.param;
                             return name.substr(name.rfind('-') + 1);
                         });

TEST(StopLimit, EndsAProcessThatHangsWithExitCodeZero) {
    testing::FLAGS_gtest_death_test_style = "threadsafe";
    EXPECT_EXIT(
        {
            runtime::StopLimit limit;
            limit.begin();
            std::atomic<bool> never{false};
            never.wait(false);
        },
        testing::ExitedWithCode(0), "");
}

TEST(StopLimit, LeavesAProcessAloneThatEndsInTime) {
    runtime::StopLimit limit;
    limit.begin();
    limit.begin();
}

}  // namespace
}  // namespace pgpulse
