#include "common/contract/member.hpp"
#include "common/contract/ping.hpp"
#include "common/contract/state.hpp"
#include "common/contract/target.hpp"
#include "tests/support/contract_documents.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <set>
#include <string>

// The golden files, the examples in docs/contract.md and the code say the same.
namespace pgpulse::contract {
namespace {

using nlohmann::json;

TEST(ContractExamples, OfTheDocumentAreTheGoldenFiles) {
    std::set<std::string> golden_names;
    for (const std::string& name : support::golden_names()) golden_names.insert(name);
    std::set<std::string> documented;
    for (const auto& [name, text] : support::documented_examples()) {
        documented.insert(name);
        if (golden_names.contains(name)) {
            EXPECT_EQ(json::parse(text), json::parse(support::golden(name))) << name;
        }
    }
    EXPECT_EQ(documented, golden_names);
    EXPECT_GE(golden_names.size(), 9U);
}

TEST(ContractExamples, PingsAreReadAndWrittenUnchanged) {
    for (const char* name : {"ping_minimal", "ping_full"}) {
        const std::string text = support::golden(name);
        const auto ping = decode_ping(text);
        ASSERT_TRUE(ping) << name << ": " << ping.error().detail;
        EXPECT_EQ(json::parse(encode(*ping)), json::parse(text)) << name;
        EXPECT_EQ(encode(*ping).find('\n'), std::string::npos);
    }
}

TEST(ContractExamples, StatesAreReadAndWrittenUnchanged) {
    for (const char* name : {"state_minimal", "state_full"}) {
        const std::string text = support::golden(name);
        const auto state = decode_state(json::parse(text)["target"].get<std::string>(), text);
        ASSERT_TRUE(state) << name << ": " << state.error().detail;
        EXPECT_EQ(json::parse(encode(*state)), json::parse(text)) << name;
    }
}

TEST(ContractExamples, MembersAreReadAndWrittenUnchanged) {
    for (const char* name : {"member_minimal", "member_full"}) {
        const std::string text = support::golden(name);
        const auto example = json::parse(text);
        const std::string key = example["kind"].get<std::string>() + "." + example["id"].get<std::string>();
        const auto member = decode_member(key, text);
        ASSERT_TRUE(member) << name << ": " << member.error().detail;
        EXPECT_EQ(json::parse(encode(*member)), example) << name;
        EXPECT_EQ(member_key(member->kind, member->id), key) << name;
    }
}

TEST(ContractExamples, ADefinitionIsReadAndWrittenUnchanged) {
    const std::string text = support::golden("definition_full");
    const auto stored = decode_definition("orders-db", text);
    ASSERT_TRUE(stored) << stored.error();
    EXPECT_EQ(json::parse(encode(*stored)), json::parse(text));
}

TEST(ContractExamples, AMinimalDefinitionIsRead) {
    const auto stored = decode_definition("db1", support::golden("definition_minimal"));
    ASSERT_TRUE(stored) << stored.error();
    EXPECT_EQ(stored->definition.address, "127.0.0.1");
    EXPECT_EQ(stored->written_by, WrittenBy::operator_);
}

TEST(ContractExamples, TheConsulValueHasTheDocumentedFields) {
    const auto value = json::parse(support::golden("consul_kv"));
    std::set<std::string> present;
    for (const auto& [key, ignored] : value.items()) present.insert(key);
    std::set<std::string> documented;
    for (const auto& field : support::documented_fields("Consul KV value")) documented.insert(field.name);
    EXPECT_EQ(present, documented);
}

TEST(ContractExamples, TheConsulValueTellsTheStateOfTheOtherExamples) {
    const auto value = json::parse(support::golden("consul_kv"));
    const auto state = json::parse(support::golden("state_full"));
    const auto definition = json::parse(support::golden("definition_full"));
    for (const char* key : {"v", "target", "state", "reason", "since", "transition", "previous", "role",
                            "role_unexpected", "writable", "conflicts_with", "restarts", "maintenance"}) {
        EXPECT_EQ(value.at(key), state.at(key)) << key;
    }
    for (const char* key : {"service", "address", "port"})
        EXPECT_EQ(value.at(key), definition.at(key)) << key;
    EXPECT_EQ(value.at("updated_at"), state.at("decided_at"));
}

}  // namespace
}  // namespace pgpulse::contract
