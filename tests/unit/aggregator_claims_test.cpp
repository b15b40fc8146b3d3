#include "aggregator/claims.hpp"
#include "tests/support/aggregator_fleet.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <string>
#include <vector>

// Who claims to be the primary of a service, and what of it the states say.
namespace pgpulse::aggregator {
namespace {

using namespace std::chrono_literals;
using contract::Health;
using contract::Opinion;
using contract::Role;
using support::a_target;
using support::AggregatorFleet;
using support::PingSource;
using Names = std::vector<std::string>;

Names claimers(const Claims& claims, std::string_view service) {
    Names names;
    for (const Claims::Claim& claim : claims.of(service)) names.push_back(std::to_string(claim.target));
    return names;
}

TEST(AggregatorClaims, AreKeptByServiceWithTheTimeSinceWhenTheyStand) {
    Claims claims;
    EXPECT_TRUE(claims.of("orders").empty());
    claims.claim("orders", 1, 10ms);
    claims.claim("orders", 2, 20ms);
    claims.claim("billing", 3, 30ms);
    EXPECT_EQ(claimers(claims, "orders"), (Names{"1", "2"}));
    EXPECT_EQ(claimers(claims, "billing"), Names{"3"});
    claims.claim("orders", 1, 40ms);
    EXPECT_EQ(claims.of("orders")[0].since, 10ms) << "a claim that stands is not made anew";
    claims.withdraw("orders", 1);
    EXPECT_EQ(claimers(claims, "orders"), Names{"2"});
    claims.withdraw("orders", 2);
    claims.withdraw("orders", 2);
    claims.withdraw("nobody", 7);
    EXPECT_TRUE(claims.of("orders").empty());
    claims.claim("orders", 1, 50ms);
    EXPECT_EQ(claims.of("orders")[0].since, 50ms);
}

/// Two databases of one service, and one of another, each observed by one worker that holds a session; one, or two
/// aggregators.
class AggregatorConflicts : public testing::TestWithParam<int> {
  protected:
    AggregatorFleet fleet{1};
    PingSource worker{"w1"};
    std::map<std::string, Role> roles;  // whom the worker reaches, and as what

    void SetUp() override {
        fleet.members({"w1"});
        for (int i = 1; i <= GetParam(); ++i) fleet.start("aggregator-" + std::to_string(i));
        fleet.define(a_target("db1", "orders"));
        fleet.define(a_target("db2", "orders"));
        fleet.define(a_target("db3", "billing"));
        roles = {{"db1", Role::primary}, {"db2", Role::replica}, {"db3", Role::primary}};
        pass(8s);
        ASSERT_EQ(state("db1").role, Role::primary);
        ASSERT_EQ(state("db2").role, Role::replica);
    }

    contract::State state(const std::string& target) const {
        return fleet.state(target).value_or(contract::State{});
    }

    void ping_all() {
        for (const auto& [target, role] : roles) fleet.publish(worker.tells(target, role, fleet.now));
    }

    void pass(std::chrono::milliseconds time) {
        for (auto passed = 0ms; passed < time; passed += 500ms) {
            fleet.pass(500ms);
            ping_all();
        }
    }

    [[nodiscard]] bool anybody_ever_named_another() const {
        for (const auto& each : fleet.stored) {
            if (!each.state.conflicts_with.empty()) return true;
        }
        return false;
    }
};

TEST_P(AggregatorConflicts, BothNameTheOtherAndStopWhenOneIsDemoted) {
    roles["db2"] = Role::primary;
    pass(500ms);
    EXPECT_EQ(state("db2").role, Role::primary);
    EXPECT_TRUE(state("db1").conflicts_with.empty()) << "it has to stand for an interval";
    pass(3s);
    EXPECT_EQ(state("db1").conflicts_with, Names{"db2"});
    EXPECT_EQ(state("db2").conflicts_with, Names{"db1"});
    EXPECT_TRUE(state("db1").changed.test(static_cast<std::size_t>(contract::Change::conflicts_with)));
    EXPECT_TRUE(state("db3").conflicts_with.empty());
    const std::size_t stored = fleet.stored.size();
    pass(10s);
    EXPECT_EQ(fleet.stored.size(), stored) << "told once";
    roles["db1"] = Role::replica;
    pass(1500ms);
    EXPECT_TRUE(state("db1").conflicts_with.empty());
    EXPECT_TRUE(state("db2").conflicts_with.empty());
    EXPECT_EQ(state("db2").role, Role::primary);
}

TEST_P(AggregatorConflicts, EndWhenOneGoesDown) {
    roles["db2"] = Role::primary;
    pass(4s);
    ASSERT_EQ(state("db1").conflicts_with, Names{"db2"});
    roles.erase("db1");
    fleet.publish(worker.says("db1", Opinion::down, fleet.now));
    pass(1s);
    EXPECT_EQ(state("db1").state, Health::down);
    EXPECT_TRUE(state("db1").conflicts_with.empty());
    EXPECT_TRUE(state("db2").conflicts_with.empty());
}

TEST_P(AggregatorConflicts, ASwitchoverGivesNone) {
    // The old one steps down within an interval of the new one's promotion, and is heard as what it was up to then.
    roles["db2"] = Role::primary;
    pass(500ms);
    roles["db1"] = Role::replica;
    pass(5s);
    EXPECT_EQ(state("db1").role, Role::replica);
    EXPECT_EQ(state("db2").role, Role::primary);
    EXPECT_FALSE(anybody_ever_named_another());
}

TEST_P(AggregatorConflicts, ThereIsNoneWhereTheOldPrimaryFellSilent) {
    // Its last words as a primary are fresh for seconds after another one was promoted.
    roles.erase("db1");
    fleet.pass(200ms);
    roles["db2"] = Role::primary;
    ping_all();
    ASSERT_EQ(state("db2").role, Role::primary);
    pass(8s);
    EXPECT_EQ(state("db1").state, Health::unknown);
    EXPECT_FALSE(anybody_ever_named_another());
}

TEST_P(AggregatorConflicts, AreToldByAggregatorsThatWereStartedInOne) {
    roles["db2"] = Role::primary;
    pass(4s);
    ASSERT_EQ(state("db1").conflicts_with, Names{"db2"});
    const std::size_t stored = fleet.stored.size();
    for (int i = 1; i <= GetParam(); ++i) fleet.kill("aggregator-" + std::to_string(i));
    for (int i = 1; i <= GetParam(); ++i) fleet.start("aggregator-" + std::to_string(i));
    pass(8s);
    EXPECT_EQ(fleet.stored.size(), stored) << "what stood goes on to stand";
    roles["db2"] = Role::replica;
    pass(3s);
    EXPECT_TRUE(state("db1").conflicts_with.empty());
}

TEST_P(AggregatorConflicts, AnotherServiceIsAnotherMatter) {
    roles["db2"] = Role::primary;
    pass(4s);
    ASSERT_EQ(state("db1").conflicts_with, Names{"db2"});
    fleet.define(a_target("db2", "billing"));
    pass(4s);
    EXPECT_TRUE(state("db1").conflicts_with.empty());
    EXPECT_EQ(state("db2").conflicts_with, Names{"db3"});
    EXPECT_EQ(state("db3").conflicts_with, Names{"db2"});
}

TEST_P(AggregatorConflicts, OfARemovedTargetEnd) {
    roles["db2"] = Role::primary;
    pass(4s);
    ASSERT_EQ(state("db1").conflicts_with, Names{"db2"});
    roles.erase("db2");
    fleet.undefine("db2");
    pass(2s);
    EXPECT_TRUE(state("db1").conflicts_with.empty());
    EXPECT_FALSE(fleet.state("db2"));
}

INSTANTIATE_TEST_SUITE_P(Aggregators, AggregatorConflicts, testing::Values(1, 2, 4));

/// `expect_role` and what a state says of it.
TEST(AggregatorRoleUnexpected, IsSaidWhileTheRoleIsAnotherThanTheDefinitions) {
    AggregatorFleet fleet{1};
    PingSource worker{"w1"};
    fleet.members({"w1"});
    fleet.start("aggregator-1");
    contract::TargetDefinition definition = a_target("db1");
    definition.expect_role = Role::primary;
    fleet.define(definition);
    fleet.publish(worker.says("db1", Opinion::up, fleet.now));
    EXPECT_FALSE(fleet.state("db1")->role_unexpected)
        << "a role that nobody knows is none that is unexpected";
    fleet.publish(worker.tells("db1", Role::replica, fleet.now));
    EXPECT_TRUE(fleet.state("db1")->role_unexpected);
    EXPECT_TRUE(
        fleet.state("db1")->changed.test(static_cast<std::size_t>(contract::Change::role_unexpected)));
    fleet.publish(worker.tells("db1", Role::primary, fleet.now));
    EXPECT_FALSE(fleet.state("db1")->role_unexpected);
    definition.expect_role = Role::replica;
    fleet.define(definition);
    EXPECT_TRUE(fleet.state("db1")->role_unexpected) << "a definition changes it as well as the server";
    fleet.publish(worker.says("db1", Opinion::down, fleet.now));
    EXPECT_TRUE(fleet.state("db1")->role_unexpected)
        << "while it is down the last role that was known stands";
    definition.expect_role.reset();
    fleet.define(definition);
    EXPECT_FALSE(fleet.state("db1")->role_unexpected);
}

}  // namespace
}  // namespace pgpulse::aggregator
