#include "common/contract/target.hpp"
#include "common/runtime/clock.hpp"
#include "tests/support/aggregator_stage.hpp"
#include "tests/support/targets_bucket.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

// What a state tells beside up and down, written by two pgpulse-aggregator beside a nats-server.
namespace pgpulse {
namespace {

using namespace std::chrono_literals;
using contract::Opinion;
using contract::Role;
using contract::State;
using support::wait_until;

class AggregatorVerdict : public testing::Test {
  protected:
    support::OneServerStage stage{2};

    void SetUp() override {
        ASSERT_TRUE(stage.start({"aggregator-1", "aggregator-2"})) << stage.logs();
        stage.flip_all();
        ASSERT_TRUE(stage.all_shown_soon()) << stage.logs();
    }

    contract::TargetDefinition definition(const std::string& name) {
        contract::TargetDefinition target;
        target.name = name;
        target.service = "db";
        target.address = "127.0.0.1";
        return target;
    }

    void define(const contract::TargetDefinition& target) {
        support::put_target(*stage.readers, target);
        ASSERT_TRUE(stage.readers->flush(5s));
    }

    /// All workers hold the target up, and say that of its server.
    void serves_as(const std::string& target, Role role) {
        stage.hold(target, Opinion::up, [role](contract::Ping& ping) {
            ping.via = contract::Via::session;
            ping.role = role;
            ping.writable = role == Role::primary;
        });
    }

    [[nodiscard]] State newest(const std::string& target) const {
        return stage.told->newest(target).value_or(State{});
    }

    [[nodiscard]] std::vector<State> all(const std::string& target) const {
        std::vector<State> states;
        for (const auto& told : stage.told->all()) {
            if (told.target == target && told.state) states.push_back(*told.state);
        }
        return states;
    }

    /// No second transition follows: whoever of the two thinks otherwise has had the time to say so.
    void expect_to_stay_so() {
        const std::size_t told = stage.told->count();
        ASSERT_TRUE(stage.sing(12));
        EXPECT_EQ(stage.told->count(), told) << stage.logs();
    }
};

TEST_F(AggregatorVerdict, MaintenanceBeginsWithADefinitionAndEndsByItself) {
    auto target = definition("db1");
    target.maintenance_until = runtime::wall_now() + 8s;
    define(target);
    ASSERT_TRUE(wait_until([&] { return newest("db1").maintenance; })) << stage.logs();
    ASSERT_TRUE(wait_until([&] { return !newest("db1").maintenance; })) << stage.logs();
    expect_to_stay_so();
    const std::vector<State> states = all("db1");
    ASSERT_EQ(states.size(), 3U) << stage.logs();
    EXPECT_GE(states[2].decided_at, *target.maintenance_until) << "by the NATS server's clock";
    for (const State& state : states) EXPECT_EQ(state.state, contract::Health::up);

    // The same time again is over; another is not.
    define(target);
    expect_to_stay_so();
    target.maintenance_until = runtime::wall_now() + 1h;
    define(target);
    ASSERT_TRUE(wait_until([&] { return newest("db1").maintenance; })) << stage.logs();
    target.maintenance_until.reset();
    define(target);
    ASSERT_TRUE(wait_until([&] { return !newest("db1").maintenance; })) << stage.logs();
    expect_to_stay_so();
    EXPECT_EQ(all("db1").size(), 5U) << stage.logs();
    EXPECT_EQ(all("db2").size(), 1U) << stage.logs();
}

TEST_F(AggregatorVerdict, MaintenanceThatIsOverStaysOverForAnAggregatorThatStarts) {
    auto target = definition("db1");
    target.maintenance_until = runtime::wall_now() + 8s;
    define(target);
    ASSERT_TRUE(wait_until([&] { return newest("db1").maintenance; })) << stage.logs();
    stage.aggregator("aggregator-1").kill9();
    ASSERT_TRUE(wait_until([&] { return !newest("db1").maintenance; })) << stage.logs();
    stage.aggregator("aggregator-2").kill9();
    ASSERT_TRUE(stage.start({"aggregator-1", "aggregator-2"})) << stage.logs();
    expect_to_stay_so();
    EXPECT_EQ(all("db1").size(), 3U) << stage.logs();
}

TEST_F(AggregatorVerdict, TwoPrimariesOfAServiceNameEachOtherUntilOneIsNoneAnyMore) {
    for (const std::string& target : stage.targets) define(definition(target));
    serves_as("db1", Role::primary);
    serves_as("db2", Role::replica);
    ASSERT_TRUE(wait_until([&] {
        return newest("db1").role == Role::primary && newest("db2").role == Role::replica;
    })) << stage.logs();
    expect_to_stay_so();

    serves_as("db2", Role::primary);
    const std::vector<std::string> db1{"db1"};
    const std::vector<std::string> db2{"db2"};
    ASSERT_TRUE(wait_until([&] {
        return newest("db1").conflicts_with == db2 && newest("db2").conflicts_with == db1;
    })) << stage.logs();
    expect_to_stay_so();
    EXPECT_EQ(newest("db1").role, Role::primary);

    serves_as("db1", Role::replica);
    ASSERT_TRUE(wait_until([&] {
        return newest("db1").conflicts_with.empty() && newest("db2").conflicts_with.empty() &&
               newest("db1").role == Role::replica;
    })) << stage.logs();
    expect_to_stay_so();
}

TEST_F(AggregatorVerdict, ASwitchoverIsNoConflict) {
    for (const std::string& target : stage.targets) define(definition(target));
    serves_as("db1", Role::primary);
    serves_as("db2", Role::replica);
    ASSERT_TRUE(wait_until([&] {
        return newest("db1").role == Role::primary && newest("db2").role == Role::replica;
    })) << stage.logs();
    // The new primary is heard of first; the old one's last words are still fresh then.
    serves_as("db2", Role::primary);
    serves_as("db1", Role::replica);
    ASSERT_TRUE(wait_until([&] {
        return newest("db1").role == Role::replica && newest("db2").role == Role::primary;
    })) << stage.logs();
    expect_to_stay_so();
    for (const std::string& target : stage.targets) {
        for (const State& state : all(target)) EXPECT_TRUE(state.conflicts_with.empty()) << encode(state);
    }
}

TEST_F(AggregatorVerdict, ARoleThatIsNotExpectedIsTold) {
    auto target = definition("db1");
    target.expect_role = Role::primary;
    define(target);
    serves_as("db1", Role::replica);
    ASSERT_TRUE(wait_until([&] { return newest("db1").role_unexpected; })) << stage.logs();
    expect_to_stay_so();
    serves_as("db1", Role::primary);
    ASSERT_TRUE(wait_until([&] { return newest("db1").role == Role::primary; })) << stage.logs();
    expect_to_stay_so();
    EXPECT_FALSE(newest("db1").role_unexpected);
}

}  // namespace
}  // namespace pgpulse
