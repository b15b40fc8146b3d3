#include "aggregator/server_facts.hpp"

#include <gtest/gtest.h>

// The rules of aggregator/server_facts.hpp, each under its name. That of `told_when_up` is the tally's.
namespace pgpulse::aggregator {
namespace {

using namespace std::chrono_literals;
using contract::Role;

constexpr contract::WallTime kFactsStart{1'700'000'000s};

/// A life that started so long after the first one, and crashed so long after its own start.
ServerLife a_life(std::chrono::seconds start, std::optional<std::chrono::seconds> crash = std::nullopt) {
    ServerLife result{kFactsStart + start, std::nullopt};
    if (crash) result.crashed_at = kFactsStart + start + *crash;
    return result;
}

TEST(ServerLives, FirstLifeIsNoRestart) {
    ServerLives lives;
    EXPECT_EQ(lives.present(), std::nullopt);
    EXPECT_FALSE(lives.tells_restart(a_life(0s, 10s)));
    EXPECT_EQ(lives.present(), a_life(0s, 10s));
    EXPECT_FALSE(lives.tells_restart(a_life(0s, 10s))) << "nor is it when it is told again";
}

TEST(ServerLives, OneVoiceRestarts) {
    ServerLives lives;
    lives.adopt(a_life(0s));
    EXPECT_TRUE(lives.tells_restart(a_life(60s))) << "another start";
    EXPECT_TRUE(lives.tells_restart(a_life(0s, 10s))) << "the first crash";
    EXPECT_TRUE(lives.tells_restart(a_life(-60s))) << "a clock that was set back";
    EXPECT_EQ(lives.present(), a_life(0s)) << "what is told is not adopted yet";
    lives.adopt(a_life(0s, 10s));
    EXPECT_FALSE(lives.tells_restart(a_life(0s, 10s)));
    EXPECT_TRUE(lives.tells_restart(a_life(0s, 20s))) << "a later crash";
}

TEST(ServerLives, KnownLifeAgainSaysNothing) {
    ServerLives lives;
    lives.adopt(a_life(0s));
    lives.adopt(a_life(60s));
    lives.adopt(a_life(60s, 5s));
    EXPECT_FALSE(lives.tells_restart(a_life(0s)));
    EXPECT_FALSE(lives.tells_restart(a_life(60s)));
    EXPECT_EQ(lives.present(), a_life(60s, 5s));
}

TEST(ServerLives, KnownLifeAgainIsForgottenAfterEightOthers) {
    ServerLives lives;
    for (int i = 0; i <= 9; ++i) lives.adopt(a_life(i * 60s));
    EXPECT_FALSE(lives.tells_restart(a_life(60s)));
    EXPECT_TRUE(lives.tells_restart(a_life(0s)));
}

TEST(ServerLives, KnownLifeAgainThatTheStateReturnsToIsThePresentOne) {
    ServerLives lives;
    lives.adopt(a_life(0s));
    lives.adopt(a_life(60s));
    lives.adopt(a_life(0s));
    EXPECT_EQ(lives.present(), a_life(0s));
    EXPECT_FALSE(lives.tells_restart(a_life(60s)));
    lives.adopt(a_life(120s));
    EXPECT_FALSE(lives.tells_restart(a_life(0s)));
}

TEST(ServerLives, EarlierStartWaitsUntilItIsToldForLongerThanAPingCanBeLate) {
    ServerLives lives;
    EXPECT_FALSE(lives.waits(a_life(0s), 0ms, 1000ms)) << "there is none to be earlier than";
    lives.adopt(a_life(60s));
    EXPECT_FALSE(lives.waits(a_life(120s), 0ms, 1000ms));
    EXPECT_FALSE(lives.waits(a_life(60s, 10s), 0ms, 1000ms));
    EXPECT_TRUE(lives.waits(a_life(0s), 100ms, 1000ms));
    EXPECT_TRUE(lives.waits(a_life(0s), 1000ms, 1000ms));
    EXPECT_FALSE(lives.waits(a_life(60s), 1050ms, 1000ms)) << "the present one, again";
    EXPECT_TRUE(lives.waits(a_life(0s), 1200ms, 1000ms)) << "so that was a late ping, and this one may be";
    EXPECT_TRUE(lives.waits(a_life(0s), 2200ms, 1000ms));
    EXPECT_FALSE(lives.waits(a_life(0s), 2201ms, 1000ms)) << "the server's clock was set back";
    lives.adopt(a_life(0s));
    EXPECT_FALSE(lives.waits(a_life(0s), 2300ms, 1000ms));
}

TEST(ServerLives, CrashNeedsATime) {
    ServerLives lives;
    lives.adopt(a_life(0s, 20s));
    EXPECT_FALSE(lives.tells_restart(a_life(0s))) << "somebody has reset the statistics";
    EXPECT_FALSE(lives.tells_restart(a_life(0s, 10s))) << "a crash before the one that is known";
    EXPECT_TRUE(lives.tells_restart(a_life(0s, 21s)));
    EXPECT_TRUE(lives.tells_restart(a_life(60s))) << "of another start no crash is needed";
}

TEST(ServerLives, AreThoseThatPingsAndStatesTell) {
    contract::Ping ping;
    EXPECT_EQ(life_of(ping), std::nullopt);
    ping.started_at = kFactsStart;
    EXPECT_EQ(life_of(ping), a_life(0s));
    ping.crashed_at = kFactsStart + 5s;
    EXPECT_EQ(life_of(ping), a_life(0s, 5s));
    contract::State state;
    EXPECT_EQ(life_of(state), std::nullopt);
    state.started_at = kFactsStart;
    state.crashed_at = kFactsStart + 5s;
    EXPECT_EQ(life_of(state), a_life(0s, 5s));
}

struct Reports {
    int primaries;
    int replicas;
    std::optional<Role> before;
    std::optional<Role> role;
};

TEST(RoleReports, MajorityOfRoles) {
    const auto primary = Role::primary;
    const auto replica = Role::replica;
    for (const Reports& c : std::vector<Reports>{{0, 0, std::nullopt, std::nullopt},
                                                 {0, 0, primary, primary},
                                                 {1, 0, std::nullopt, primary},
                                                 {0, 1, primary, replica},
                                                 {1, 1, std::nullopt, std::nullopt},
                                                 {1, 1, replica, replica},
                                                 {1, 1, primary, primary},
                                                 {1, 2, primary, replica},
                                                 {2, 1, replica, primary},
                                                 {3, 0, replica, primary}}) {
        RoleReports reports;
        for (int i = 0; i < c.primaries; ++i) reports.add({primary, true});
        for (int i = 0; i < c.replicas; ++i) reports.add({replica, false});
        EXPECT_EQ(reports.role(c.before), c.role) << c.primaries << " against " << c.replicas;
        const auto writes = [](std::optional<Role> role) {
            return role ? std::optional{*role == Role::primary} : std::nullopt;
        };
        EXPECT_EQ(reports.writable(writes(c.before)), writes(c.role)) << c.primaries << "/" << c.replicas;
    }
}

TEST(RoleReports, MajorityOfRolesAndOfWritesAreTwoQuestions) {
    RoleReports reports;
    for (int i = 0; i < 2; ++i) reports.add({Role::primary, false});
    reports.add({Role::primary, true});
    EXPECT_EQ(reports.role(std::nullopt), Role::primary);
    EXPECT_EQ(reports.writable(true), false) << "default_transaction_read_only";
}

}  // namespace
}  // namespace pgpulse::aggregator
