// The fixture on which all others stand: a child process that reports its end and never outlives its test.
#include "tests/support/process.hpp"

#include "tests/support/temp_dir.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <future>
#include <iostream>
#include <memory>
#include <vector>

namespace pgpulse::support {
namespace {

TEST(Process, ReportsExitCodeOutputAndErrors) {
    const auto result = run_to_end({"sh", "-c", "echo out; echo err >&2; cat; exit 7"}, {.input = "typed"});
    EXPECT_EQ(result.exit_code, 7);
    EXPECT_EQ(result.out, "out\ntyped");
    EXPECT_EQ(result.err, "err\n");
}

TEST(Process, AddsToTheEnvironmentAndRunsInTheFolderAsked) {
    const TempDir folder;
    const auto result =
        run_to_end({"sh", "-c", "echo $GREETING; pwd; test -n \"$PATH\""},
                   {.environment = {{"GREETING", "hello"}}, .working_directory = folder.path()});
    EXPECT_EQ(result.out, "hello\n" + folder.path().string() + "\n");
    EXPECT_EQ(result.exit_code, 0);
}

TEST(Process, AppendsBothStreamsToALogFile) {
    const TempDir folder;
    const ProcessOptions options{.log_file = folder / "log"};
    run_to_end({"sh", "-c", "echo one; echo two >&2"}, options);
    const auto second = run_to_end({"echo", "three"}, options);
    EXPECT_EQ(second.out, "one\ntwo\nthree\n");
}

TEST(Process, NamesAProgramThatCannotBeRun) {
    const auto run = [](const std::string& program, const ProcessOptions& options) {
        const Process process{{program}, options};
    };
    EXPECT_THROW(run("/nonexistent/program", {}), std::system_error);
    EXPECT_THROW(run("no-such-program-anywhere", {}), std::runtime_error);
    EXPECT_THROW(run("true", {.working_directory = "/nonexistent"}), std::system_error);
}

TEST(Process, TerminateReportsTheSignalOrTheCode) {
    Process by_trap{{"sh", "-c", "trap 'exit 3' TERM; echo ready; tail -f /dev/null & wait"}};
    ASSERT_TRUE(wait_until([&] { return by_trap.out() == "ready\n"; }));
    EXPECT_EQ(by_trap.terminate(), 3);
    Process endless{{"tail", "-f", "/dev/null"}};
    EXPECT_TRUE(endless.running());
    EXPECT_EQ(endless.terminate(), 128 + SIGTERM);
    Process killed{{"tail", "-f", "/dev/null"}};
    killed.kill9();
    EXPECT_EQ(killed.exit_code(), 128 + SIGKILL);
}

TEST(Process, WaitExitGivesUpAtTheDeadline) {
    Process process{{"tail", "-f", "/dev/null"}};
    EXPECT_EQ(process.wait_exit(std::chrono::milliseconds{20}), std::nullopt);
}

TEST(Process, StopsAndContinues) {
    Process process{{"tail", "-f", "/dev/null"}};
    for (int round = 0; round < 3; ++round) {
        process.stop();
        EXPECT_EQ(process_state(process.pid()), 'T');
        process.cont();
        EXPECT_TRUE(wait_until([&] { return process_state(process.pid()) != 'T'; }));
    }
}

TEST(Process, TakesItsWholeGroupAlong) {
    pid_t grandchild = 0;
    {
        Process process{{"sh", "-c", "tail -f /dev/null & echo $!; wait"}};
        ASSERT_TRUE(wait_until([&] { return process.out().ends_with('\n'); }));
        grandchild = std::stoi(process.out());
        ASSERT_TRUE(alive(grandchild));
    }
    EXPECT_TRUE(wait_until([&] { return !alive(grandchild); }));
}

TEST(Process, OutlivesTheThreadThatStartedIt) {
    auto process = std::async(std::launch::async, [] {
                       return std::make_unique<Process>(std::vector<std::string>{"tail", "-f", "/dev/null"});
                   }).get();
    EXPECT_EQ(process->wait_exit(std::chrono::milliseconds{100}), std::nullopt);
}

TEST(Process, DiesWithTheProcessThatStartedIt) {
    // A new program rather than a fork: a fork has this process's memory but none of its threads.
    if (std::getenv("PGPULSE_TEST_STARTS_A_CHILD") != nullptr) {
        Process child{{"tail", "-f", "/dev/null"}};
        std::cout << "child " << child.pid() << std::endl;
        ::kill(::getpid(), SIGKILL);
    }
    const auto result = run_to_end(
        {"/proc/self/exe", "--gtest_filter=Process.DiesWithTheProcessThatStartedIt"},
        {.environment = {
             {"PGPULSE_TEST_STARTS_A_CHILD", "1"}, {"GTEST_TOTAL_SHARDS", "1"}, {"GTEST_SHARD_INDEX", "0"}}});
    EXPECT_EQ(result.exit_code, 128 + SIGKILL);
    const auto at = result.out.find("child ");
    ASSERT_NE(at, std::string::npos) << result.out;
    const pid_t child = std::stoi(result.out.substr(at + 6));
    EXPECT_TRUE(wait_until([&] { return !alive(child); }));
}

TEST(Process, HandsNoDescriptorOn) {
    std::vector<FileDescriptor> inheritable;
    inheritable.reserve(20);
    for (int i = 0; i < 20; ++i) {
        inheritable.emplace_back(::socket(AF_INET, SOCK_STREAM, 0));
    }
    const auto result = run_to_end({"sh", "-c", "ls -l /proc/self/fd"});
    EXPECT_EQ(result.out.find("socket:"), std::string::npos) << result.out;
}

}  // namespace
}  // namespace pgpulse::support
