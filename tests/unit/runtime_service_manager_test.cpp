#include "common/runtime/service_manager.hpp"
#include "tests/support/notify_socket.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

namespace pgpulse::runtime {
namespace {

using support::NotifySocket;
using support::wait_until;

class ServiceManagerTest : public testing::TestWithParam<NotifySocket::Kind> {
  protected:
    NotifySocket socket{GetParam()};
    std::atomic<bool> turning{true};
    std::atomic<bool> connected{true};
    std::optional<ServiceManager> manager;

    void start(const std::string& address) {
        setenv("NOTIFY_SOCKET", address.c_str(), 1);
        setenv("WATCHDOG_USEC", "20000", 1);
        manager.emplace();
        manager->start();
    }
    [[nodiscard]] auto watch() {
        return manager->watch(
            {[this] { return turning.load(); },
             [this] { return connected ? std::string{} : std::string{"NATS is not connected"}; }});
    }
    [[nodiscard]] bool comes(const std::string& line) {
        return wait_until([&] { return socket.told(line); });
    }
    [[nodiscard]] bool is_fed_again() {
        const std::size_t before = socket.count("WATCHDOG=1");
        return wait_until([&] { return socket.count("WATCHDOG=1") > before; });
    }
};

TEST_P(ServiceManagerTest, ToldHowTheProgramIs) {
    start(socket.address());
    EXPECT_TRUE(comes("STATUS=Starting: NATS has not answered yet")) << socket.text();
    EXPECT_FALSE(socket.told("READY=1")) << "nothing turns yet";
    connected = false;
    {
        const auto watching = watch();
        EXPECT_TRUE(comes("READY=1")) << socket.text();
        EXPECT_TRUE(comes("STATUS=Waiting: NATS is not connected")) << socket.text();
        connected = true;
        EXPECT_TRUE(comes("STATUS=Ready")) << socket.text();
        EXPECT_TRUE(is_fed_again()) << socket.text();
        EXPECT_EQ(socket.count("READY=1"), 1U) << socket.text();
        manager->reloading();
        manager->reloaded();
        EXPECT_TRUE(wait_until([&] { return socket.count("READY=1") == 2; })) << socket.text();
        EXPECT_TRUE(socket.told("RELOADING=1")) << socket.text();
        manager->stopping();
        manager->stopping();
        EXPECT_TRUE(comes("STOPPING=1")) << socket.text();
    }
    manager.reset();
    EXPECT_EQ(socket.lines().back(), "STATUS=Stopping") << "nothing is said after it";
    EXPECT_EQ(socket.count("STOPPING=1"), 1U) << socket.text();
}

TEST_P(ServiceManagerTest, NotFedWhileTheLoopStandsStill) {
    start(socket.address());
    const auto watching = watch();
    EXPECT_TRUE(is_fed_again()) << socket.text();
    turning = false;
    ASSERT_TRUE(comes("STATUS=The working loop stands still")) << socket.text();
    // Fifty times as long as it would take.
    const std::size_t before = socket.count("WATCHDOG=1");
    EXPECT_FALSE(
        wait_until([&] { return socket.count("WATCHDOG=1") > before; }, std::chrono::milliseconds{500}));
    turning = true;
    EXPECT_TRUE(is_fed_again()) << socket.text();
}

TEST_P(ServiceManagerTest, NotAskedAnyMoreOnceItsWatchIsOver) {
    start(socket.address());
    std::atomic<bool> gone{false};
    std::atomic<bool> asked_too_late{false};
    {
        const auto watching = manager->watch({[&] {
                                                  if (gone) asked_too_late = true;
                                                  return true;
                                              },
                                              [] { return std::string{}; }});
        ASSERT_TRUE(is_fed_again()) << socket.text();
    }
    gone = true;
    EXPECT_TRUE(comes("STOPPING=1")) << socket.text();
    manager.reset();
    EXPECT_FALSE(asked_too_late);
}

TEST_P(ServiceManagerTest, NoChildSpeaksInItsName) {
    setenv("WATCHDOG_PID", "1", 1);
    start(socket.address());
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})
        EXPECT_EQ(std::getenv(name), nullptr) << name;
    const auto watching = watch();
    ASSERT_TRUE(comes("STATUS=Ready")) << socket.text();
    EXPECT_FALSE(socket.told("WATCHDOG=1")) << "the watchdog is another process's";
}

INSTANTIATE_TEST_SUITE_P(Over, ServiceManagerTest,
                         testing::Values(NotifySocket::Kind::path, NotifySocket::Kind::abstract),
                         [](const auto& info) {
                             return info.param == NotifySocket::Kind::path ? "Path" : "AbstractAddress";
                         });

TEST(ServiceManager, WithoutASocketNobodyIsToldAndNothingIsWrong) {
    unsetenv("NOTIFY_SOCKET");
    setenv("WATCHDOG_USEC", "20000", 1);
    ServiceManager manager;
    EXPECT_EQ(std::getenv("WATCHDOG_USEC"), nullptr);
    manager.start();
    std::atomic<bool> asked{false};
    {
        const auto watching =
            manager.watch({[&] { return asked.exchange(true); }, [] { return std::string{}; }});
        manager.reloading();
        manager.reloaded();
    }
    EXPECT_FALSE(asked);
}

TEST(ServiceManager, ASocketThatCannotBeReachedHoldsNothingUp) {
    for (const std::string& address :
         {std::string{"/nonexistent/notify"}, std::string{"vsock:2:1234"}, "/" + std::string(200, 'x')}) {
        setenv("NOTIFY_SOCKET", address.c_str(), 1);
        ServiceManager manager;
        manager.start();
        std::atomic<int> asked{0};
        const auto watching = manager.watch({[&] { return ++asked > 0; }, [] { return std::string{}; }});
        EXPECT_TRUE(wait_until([&] { return asked > 1; })) << address;
    }
}

}  // namespace
}  // namespace pgpulse::runtime
