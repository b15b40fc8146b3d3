#include "probe/resolver.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>

// The system's own resolver answers here.
namespace pgpulse::probe {
namespace {

class ResolverTest : public testing::Test {
  protected:
    std::mutex mutex;
    std::map<std::string, std::vector<Resolver::Answer>> answers;
    Resolver resolver{[this](const std::string& name, Resolver::Answer answer) {
        const std::lock_guard lock{mutex};
        answers[name].push_back(std::move(answer));
    }};

    std::size_t count(const std::string& name) {
        const std::lock_guard lock{mutex};
        return answers[name].size();
    }

    bool answered(const std::string& name, std::size_t times) {
        // A resolver whose servers are silent asks each of them again before it gives up.
        return support::wait_until([&] { return count(name) >= times; }, std::chrono::seconds{120});
    }
};

TEST_F(ResolverTest, FindsTheAddressesOfAName) {
    resolver.follow("localhost");
    ASSERT_TRUE(answered("localhost", 1));
    const std::lock_guard lock{mutex};
    const auto& addresses = answers["localhost"].front().addresses;
    EXPECT_TRUE(std::ranges::count(addresses, "127.0.0.1") == 1 || std::ranges::count(addresses, "::1") == 1);
    for (const std::string& address : addresses) EXPECT_TRUE(is_numeric_address(address)) << address;
}

TEST_F(ResolverTest, AsksAgainForANameThatWasNeverFound) {
    resolver.follow("no-such-host.invalid");
    ASSERT_TRUE(answered("no-such-host.invalid", 2));
    const std::lock_guard lock{mutex};
    EXPECT_TRUE(answers["no-such-host.invalid"].front().addresses.empty());
    EXPECT_FALSE(answers["no-such-host.invalid"].front().observer_exhausted);
}

/// As long as it lives this process opens no file.
class NoFiles {
  public:
    NoFiles() {
        EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0);
        rlimit none = before_;
        none.rlim_cur = 0;
        EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    }
    NoFiles(const NoFiles&) = delete;
    NoFiles& operator=(const NoFiles&) = delete;
    ~NoFiles() { EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before_), 0); }

  private:
    rlimit before_{};
};

TEST_F(ResolverTest, ALookupThatCouldOpenNoFileSaysNothingOfTheName) {
    {
        const NoFiles limit;
        resolver.follow("localhost");
        ASSERT_TRUE(answered("localhost", 1));
    }
    const auto found = [&] {
        const std::lock_guard lock{mutex};
        return !answers["localhost"].back().addresses.empty();
    };
    EXPECT_TRUE(support::wait_until(found)) << "and is made again";
    const std::lock_guard lock{mutex};
    EXPECT_TRUE(answers["localhost"].front().addresses.empty());
    EXPECT_TRUE(answers["localhost"].front().observer_exhausted);
}

TEST_F(ResolverTest, AsksSoonerWhereTheAnswerIsDoubted) {
    resolver.follow("localhost");
    ASSERT_TRUE(answered("localhost", 1));
    // Far sooner than after the 30 s of a name that nobody doubts.
    EXPECT_TRUE(support::wait_until(
        [&] {
            resolver.doubt("localhost");
            return count("localhost") >= 3;
        },
        std::chrono::seconds{20}));
}

TEST_F(ResolverTest, AForgottenNameIsAskedForNoMoreUntilItIsFollowedAgain) {
    resolver.follow("no-such-host.invalid");
    resolver.forget("no-such-host.invalid");
    resolver.follow("localhost");
    ASSERT_TRUE(answered("localhost", 1));
    const std::size_t before = count("no-such-host.invalid");
    EXPECT_LE(before, 1U);
    resolver.follow("no-such-host.invalid");
    EXPECT_TRUE(answered("no-such-host.invalid", before + 1));
}

TEST(NumericAddress, NeedsNoLookup) {
    for (const char* address : {"127.0.0.1", "10.0.0.7", "::1", "2001:db8::7", "fe80::1%eth0"})
        EXPECT_TRUE(is_numeric_address(address)) << address;
    for (const char* name : {"localhost", "db1", "10.0.0", "127.0.0.1.example", "", "::zz"})
        EXPECT_FALSE(is_numeric_address(name)) << name;
}

}  // namespace
}  // namespace pgpulse::probe
