#include "probe/read_budget.hpp"
#include "tests/support/file_descriptor.hpp"

#include <gtest/gtest.h>

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string>

// The recv() that this program has in place of the C library's, on a pair of sockets.
namespace pgpulse::probe {
namespace {

class ReadBudgetTest : public testing::Test {
  protected:
    support::FileDescriptor peer;
    support::FileDescriptor own;

    void SetUp() override {
        std::array<int, 2> pair{};
        ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
        peer = support::FileDescriptor{pair[0]};
        own = support::FileDescriptor{pair[1]};
        const std::string bytes(1000, 'x');
        ASSERT_EQ(send(peer.get(), bytes.data(), bytes.size(), 0), 1000);
    }

    ssize_t read(int flags = MSG_DONTWAIT) const {
        std::array<char, 600> bytes{};
        return recv(own.get(), bytes.data(), bytes.size(), flags);
    }
};

TEST_F(ReadBudgetTest, WithoutOneEverythingIsRead) {
    EXPECT_EQ(read(), 600);
    EXPECT_EQ(read(), 400);
    EXPECT_EQ(read(), -1);
    EXPECT_EQ(errno, EAGAIN);
}

TEST_F(ReadBudgetTest, OnceItIsUsedUpTheSocketLooksEmpty) {
    std::uint64_t left = 700;
    {
        const ReadBudget budget{left};
        EXPECT_EQ(read(), 600);
        EXPECT_EQ(read(), 100);
        EXPECT_EQ(left, 0U);
        errno = 0;
        EXPECT_EQ(read(), -1);
        EXPECT_EQ(errno, EAGAIN);
    }
    EXPECT_EQ(read(), 300) << "and is not";
}

TEST_F(ReadBudgetTest, ALookTakesNothingOfIt) {
    std::uint64_t left = 100;
    const ReadBudget budget{left};
    EXPECT_EQ(read(MSG_DONTWAIT | MSG_PEEK), 600);
    EXPECT_EQ(left, 100U);
}

TEST_F(ReadBudgetTest, TheEndIsNoByte) {
    peer = {};
    std::uint64_t left = 2000;
    const ReadBudget budget{left};
    EXPECT_EQ(read(), 600);
    EXPECT_EQ(read(), 400);
    EXPECT_EQ(read(), 0);
    EXPECT_EQ(left, 1000U);
}

TEST_F(ReadBudgetTest, TheInnermostOneCounts) {
    std::uint64_t outer_left = 50;
    std::uint64_t inner_left = 10;
    const ReadBudget outer{outer_left};
    {
        const ReadBudget inner{inner_left};
        EXPECT_EQ(read(), 10);
    }
    EXPECT_EQ(read(), 50);
}

}  // namespace
}  // namespace pgpulse::probe
