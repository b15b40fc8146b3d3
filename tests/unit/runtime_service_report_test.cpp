#include "common/runtime/service_report.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pgpulse::runtime {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Facts = ServiceReport::Facts;

const Facts kReady{true, {}};
const Facts kWaiting{true, "NATS is not connected"};
const Facts kHung{false, {}};

class ServiceReportTest : public testing::Test {
  protected:
    ServiceReport::Mono now = ServiceReport::Mono{} + seconds{1000};
    ServiceReport report{seconds{30}, now};

    std::string look(const std::optional<Facts>& facts) {
        const std::string text = report.look(facts, now);
        now += report.pause();
        return text;
    }
    /// How many of so many looks feed the watchdog.
    int pings(int looks, const std::optional<Facts>& facts) {
        int pings = 0;
        for (int i = 0; i < looks; ++i)
            pings += look(facts).find("WATCHDOG=1\n") != std::string::npos ? 1 : 0;
        return pings;
    }
};

TEST_F(ServiceReportTest, ReadyIsToldOnceWhenTheLoopTurns) {
    EXPECT_EQ(look(kHung), "STATUS=The working loop stands still\n");
    EXPECT_EQ(look(kReady), "READY=1\nSTATUS=Ready\n");
    EXPECT_EQ(look(kReady), "");
}

TEST_F(ServiceReportTest, ReadyDoesNotWaitForNats) {
    EXPECT_EQ(look(kWaiting), "READY=1\nSTATUS=Waiting: NATS is not connected\n");
    EXPECT_EQ(look(kReady), "STATUS=Ready\n");
    EXPECT_EQ(look(kWaiting), "STATUS=Waiting: NATS is not connected\n");
}

TEST_F(ServiceReportTest, AStartThatNatsHoldsUpIsReadyAfterPatience) {
    const auto began = now;
    EXPECT_EQ(look(std::nullopt), "STATUS=Starting: NATS has not answered yet\n");
    while (now < began + ServiceReport::kStartPatience) EXPECT_EQ(look(std::nullopt), "");
    EXPECT_EQ(look(std::nullopt), "READY=1\n");
    EXPECT_GT(pings(100, std::nullopt), 0);
    EXPECT_EQ(look(kReady), "STATUS=Ready\n");
}

TEST_F(ServiceReportTest, ALoopThatNeverTurnsIsNeverReady) {
    const auto began = now;
    look(kHung);
    while (now < began + 10 * ServiceReport::kStartPatience) EXPECT_EQ(look(kHung), "");
}

TEST_F(ServiceReportTest, TheWatchdogIsFedEachHalfOfItsTime) {
    for (const microseconds watchdog :
         {microseconds{seconds{30}}, microseconds{seconds{3}}, microseconds{seconds{1}},
          microseconds{milliseconds{10}}, microseconds{2}}) {
        report = ServiceReport{watchdog, now};
        look(kReady);
        const auto from = now;
        int fed = 0;
        while (fed < 10) fed += pings(1, kReady);
        // The first look counts.
        EXPECT_LE(now - from, 10 * (watchdog / 2)) << watchdog.count();
        EXPECT_GE(now - from, 9 * (watchdog / 2)) << watchdog.count();
        EXPECT_LE(report.pause(), seconds{1});
    }
}

TEST_F(ServiceReportTest, TheWatchdogStarvesWhileTheLoopStandsStillAndIsFedAtOnceAfterwards) {
    look(kReady);
    EXPECT_EQ(pings(1000, kHung), 0);
    EXPECT_EQ(look(kReady), "STATUS=Ready\nWATCHDOG=1\n");
}

TEST_F(ServiceReportTest, WaitingIsNotHanging) {
    look(kReady);
    EXPECT_EQ(pings(150, kWaiting), 10);
}

TEST_F(ServiceReportTest, WithoutAWatchdogNothingIsFed) {
    report = ServiceReport{std::nullopt, now};
    look(kReady);
    EXPECT_EQ(pings(1000, kReady), 0);
}

TEST_F(ServiceReportTest, WhatWasLostIsSaidAgain) {
    look(kReady);
    report.lost();
    EXPECT_EQ(look(kReady), "READY=1\nSTATUS=Ready\n");
}

TEST_F(ServiceReportTest, AStatusIsOneLine) {
    EXPECT_EQ(look(Facts{true, "one\nWATCHDOG=1"}), "READY=1\nSTATUS=Waiting: one WATCHDOG=1\n");
}

TEST_F(ServiceReportTest, AReloadHasTheTimeSinceBoot) {
    EXPECT_EQ(ServiceReport::reloading(ServiceReport::Mono{} + microseconds{1234567}),
              "RELOADING=1\nMONOTONIC_USEC=1234567\n");
}

TEST(Watchdog, IsThatOfThisProcessAlone) {
    EXPECT_EQ(parse_watchdog("30000000", "", 7), seconds{30});
    EXPECT_EQ(parse_watchdog("30000000", "7", 7), seconds{30});
    EXPECT_EQ(parse_watchdog("30000000", "8", 7), std::nullopt);
    for (const char* text : {"", "0", "1", "-5", "30s", " 30", "99999999999999999999"})
        EXPECT_EQ(parse_watchdog(text, "", 7), std::nullopt) << text;
}

}  // namespace
}  // namespace pgpulse::runtime
