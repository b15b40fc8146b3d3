#include "probe/open_files.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <algorithm>

namespace pgpulse::probe {
namespace {

using testing::HasSubstr;

TEST(OpenFiles, PingsAndSessionsShareWhatTheReserveLeaves) {
    EXPECT_EQ(share_out(1024, 0), (OpenFiles{1024, 480, 480}));
    EXPECT_EQ(share_out(1024, 100), (OpenFiles{1024, 100, 860}));
    EXPECT_EQ(share_out(1024, 960), (OpenFiles{1024, 960, 0}));
    EXPECT_EQ(share_out(1024, 961), std::nullopt);
}

TEST(OpenFiles, PingsNeverTakeMoreThanTheyEverNeed) {
    EXPECT_EQ(share_out(524'288, 0), (OpenFiles{524'288, 16'384, 507'840}));
}

TEST(OpenFiles, NoLimitIsTooSmallForOnePing) {
    for (std::size_t limit = 0; limit < 400; ++limit) {
        const auto files = share_out(limit, 0);
        ASSERT_TRUE(files) << limit;
        EXPECT_GE(files->pings, 1U) << limit;
        EXPECT_LE(files->pings + files->sessions, std::max<std::size_t>(limit, 1)) << limit;
        if (limit > 128) {
            EXPECT_EQ(files->pings + files->sessions + 64, limit) << limit;
        }
    }
}

TEST(OpenFiles, WhatDoesNotFitIsSaidInNumbers) {
    const OpenFiles files{128, 32, 32};
    EXPECT_EQ(fault_of(files, 0), "");
    EXPECT_EQ(fault_of(files, 32), "");
    const std::string fault = fault_of(files, 60);
    EXPECT_THAT(fault, HasSubstr("60 targets are in mode session"));
    EXPECT_THAT(fault, HasSubstr("128 files"));
    EXPECT_THAT(fault, HasSubstr("room for 32 sessions"));
    EXPECT_THAT(fault, HasSubstr("28 targets are pinged by fresh connections alone"));
    EXPECT_THAT(fault, HasSubstr("LimitNOFILE="));
    EXPECT_EQ(fault.find('\n'), std::string::npos);
    EXPECT_EQ(fault_of({}, 1'000'000), "");
}

}  // namespace
}  // namespace pgpulse::probe
