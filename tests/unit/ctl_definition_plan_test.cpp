#include "common/contract/targets_file.hpp"
#include "ctl/definition_plan.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

namespace pgpulse::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Kind = DefinitionChange::Kind;

contract::TargetDefinition a_target(const std::string& name, std::uint16_t port = 5432) {
    contract::TargetDefinition target;
    target.name = target.service = name;
    target.address = "10.0.0.1";
    target.port = port;
    return target;
}

HeldDefinition held_as(const contract::TargetDefinition& target, std::uint64_t revision,
                       contract::WrittenBy by = contract::WrittenBy::operator_) {
    return {contract::encode({target, by}), revision};
}

std::vector<std::string> in_words(const DefinitionPlan& plan) {
    std::vector<std::string> words;
    for (const DefinitionChange& change : plan.changes) words.push_back(ctl::in_words(change));
    return words;
}

TEST(DefinitionPlan, SaysWhatIsCreatedAndChangedAndLeavesWhatIsAsItShouldBe) {
    const HeldDefinitions held{{"db1", held_as(a_target("db1"), 3)}, {"db2", held_as(a_target("db2"), 4)}};
    const auto plan = plan_apply({a_target("db3"), a_target("db2", 5433), a_target("db1")}, held, false);
    EXPECT_THAT(in_words(plan), ElementsAre("~ db2: port: 5432 -> 5433", "+ db3"));
    EXPECT_EQ(plan.unchanged, 1U);
    EXPECT_EQ(plan.changes[0].expected, 4U);
    EXPECT_EQ(plan.changes[1].expected, 0U);
    EXPECT_EQ(contract::decode_definition("db2", plan.changes[0].value)->definition, a_target("db2", 5433));
}

TEST(DefinitionPlan, AFileThatSaysNothingOfAMaintenanceDoesNotEndIt) {
    auto maintained = a_target("db1");
    maintained.maintenance_until = contract::WallTime{std::chrono::hours{24}};
    maintained.meta[std::string{kMaintenanceReason}] = "kernel";
    const HeldDefinitions held{{"db1", held_as(maintained, 3)}};
    EXPECT_TRUE(plan_apply({a_target("db1")}, held, true).changes.empty());
    auto moved = a_target("db1", 5433);
    const auto plan = plan_apply({moved}, held, false);
    EXPECT_THAT(in_words(plan), ElementsAre("~ db1: port: 5432 -> 5433"));
    moved.maintenance_until = contract::WallTime{std::chrono::hours{1}};
    EXPECT_THAT(in_words(plan_apply({moved}, held, false)).front(), HasSubstr("maintenance_until: "));
}

TEST(DefinitionPlan, WhatWasDeletedIsCreatedAfterItsMarker) {
    const auto plan = plan_apply({a_target("db1")}, {{"db1", {"", 7}}}, true);
    EXPECT_THAT(in_words(plan), ElementsAre("+ db1"));
    EXPECT_EQ(plan.changes[0].expected, 7U);
}

TEST(DefinitionPlan, RemovesWhatIsInNoFileOnlyWhereItIsToPrune) {
    const HeldDefinitions held{{"db1", held_as(a_target("db1"), 3)}, {"db2", held_as(a_target("db2"), 4)}};
    EXPECT_TRUE(plan_apply({a_target("db2")}, held, false).changes.empty());
    const auto plan = plan_apply({a_target("db2")}, held, true);
    EXPECT_THAT(in_words(plan), ElementsAre("- db1"));
    EXPECT_EQ(plan.changes[0].value, "");
    EXPECT_EQ(plan.changes[0].expected, 3U);
}

TEST(DefinitionPlan, WhatAFileWroteBecomesTheOperators) {
    const HeldDefinitions held{{"db1", held_as(a_target("db1"), 3, contract::WrittenBy::file)}};
    EXPECT_THAT(in_words(plan_apply({a_target("db1")}, held, false)),
                ElementsAre("~ db1: written_by: file -> operator"));
}

TEST(DefinitionPlan, WhatIsNoDefinitionIsReplaced) {
    const auto plan = plan_apply({a_target("db1")}, {{"db1", {"nonsense", 3}}}, false);
    EXPECT_THAT(in_words(plan), ElementsAre(HasSubstr("~ db1: what is stored is no definition: ")));
}

TEST(DefinitionEdit, ChangesWhatItNamesAndKeepsWhatItDoesNotKnow) {
    auto target = a_target("db1");
    target.meta = {{"team", "orders"}};
    HeldDefinition held = held_as(target, 5, contract::WrittenBy::file);
    held.value.insert(1, R"("future":{"kept":true},)");
    const auto edit = plan_edit(
        "db1", held,
        R"({"maintenance_until":"2026-01-02T06:00:00.000000Z","meta":{"maintenance-reason":"disk"}})");
    EXPECT_EQ(edit.expected, 5U);
    EXPECT_THAT(edit.value, HasSubstr(R"("future":{"kept":true})"));
    const auto stored = contract::decode_definition("db1", edit.value);
    ASSERT_TRUE(stored) << stored.error();
    EXPECT_EQ(stored->written_by, contract::WrittenBy::operator_);
    EXPECT_EQ(stored->definition.maintenance_until, contract::parse_rfc3339("2026-01-02T06:00:00Z"));
    EXPECT_EQ(stored->definition.meta,
              (std::map<std::string, std::string>{{"maintenance-reason", "disk"}, {"team", "orders"}}));

    const auto back =
        plan_edit("db1", {edit.value, 6}, R"({"maintenance_until":null,"meta":{"maintenance-reason":null}})");
    EXPECT_EQ(contract::decode_definition("db1", back.value)->definition, target);
}

TEST(DefinitionEdit, OfWhatIsSoAlreadyHasNoDetails) {
    const auto edit = plan_edit("db1", held_as(a_target("db1"), 5, contract::WrittenBy::file),
                                R"({"maintenance_until":null,"meta":{"maintenance-reason":null}})");
    EXPECT_TRUE(edit.details.empty());
}

TEST(DefinitionsAsTargetsFile, MakeTheSameDefinitionsAgain) {
    auto target = a_target("db1", 6432);
    target.quorum = 2;
    target.expect_role = contract::Role::primary;
    target.tags = {"eu"};
    target.meta = {{"team", "orders"}};
    const std::string file = as_targets_file({{target, contract::WrittenBy::file}, {a_target("db2"), {}}});
    const auto read = contract::parse_targets("f", file);
    ASSERT_TRUE(read) << read.error();
    EXPECT_THAT(*read, ElementsAre(target, a_target("db2")));
}

}  // namespace
}  // namespace pgpulse::ctl
