#include "consul-bridge/root_value.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace pgpulse::consul_bridge {
namespace {

using nlohmann::json;

const contract::WallTime kDecided = *contract::parse_rfc3339("2026-01-02T14:03:11.999999Z");

Check check(const std::string& output) {
    return {"db1-isready", "PG is ready", "critical", output, "orders", {"blue", "primary"}};
}

TEST(BridgeRootValue, IsTheTimeOfTheDecisionAndTheChecksAsAWatchGivesThem) {
    const auto value = json::parse(root_value("db1", kDecided, {check("down")}));
    EXPECT_EQ(value, json::parse(R"({
        "updated_at": "02/01/2026 14:03:11",
        "payload": [{
            "Node": "db1", "CheckID": "db1-isready", "Name": "PG is ready", "Status": "critical", "Notes": "",
            "Output": "down", "ServiceID": "db1", "ServiceName": "orders", "ServiceTags": ["blue", "primary"],
            "Type": "",
            "Definition": {"Interval": "0s", "Timeout": "0s", "DeregisterCriticalServiceAfter": "0s", "HTTP": "",
                           "Header": null, "Method": "", "Body": "", "TLSSkipVerify": false, "TCP": ""}}]
    })"));
}

TEST(BridgeRootValue, IsValidJsonWhateverTheChecksCarry) {
    const std::string outputs[] = {
        R"(FATAL: database "x" does not exist)",
        R"(C:\pg\data)",
        "two\nlines\r\n\ttabbed",
        "\x01\x1f",
        std::string{"nul\0inside", 10},
        "caf\xc3\xa9 \xe2\x80\xa8 <&>",
        "'$(reboot)' `x`",
    };
    for (const std::string& output : outputs) {
        Check odd = check(output);
        odd.service_tags = {output};
        const auto value = json::parse(root_value("db1", kDecided, {odd}), nullptr, false);
        ASSERT_FALSE(value.is_discarded()) << output;
        EXPECT_EQ(value["payload"][0]["Output"], output);
        EXPECT_EQ(value["payload"][0]["ServiceTags"][0], output);
    }
    for (const char* output : {"\xff\xfe", "cut \xc3", "\xed\xa0\x80"}) {
        const auto value = json::parse(root_value("db1", kDecided, {check(output)}), nullptr, false);
        EXPECT_FALSE(value.is_discarded()) << "bytes that are no UTF-8 are replaced";
    }
}

TEST(BridgeRootValue, OursIsKnownByItsForm) {
    const std::string ours = root_value("db1", kDecided, {check("a \"quoted\" \\ word"), check("b")});
    EXPECT_EQ(author_of_root_value("db1", ours), RootAuthor::bridge);
    EXPECT_NE(author_of_root_value("db2", ours), RootAuthor::bridge);
}

TEST(BridgeRootValue, TheOldPipelinesIsKnownByItsForm) {
    const std::string good =
        R"({ "updated_at": "26/04/2022 09:10:11", "payload": [{"Node":"9f0c","CheckID":"db1-isready",)"
        R"("ServiceID":"db1","ServiceName":"db1","Output":"","Definition":{}}] })";
    // As `read` without -r gives it on, with the server down: no JSON.
    const std::string spoilt =
        R"({ "updated_at": "26/04/2022 09:10:11", "payload": [{"Node":"9f0c","CheckID":"db1-isready",)"
        R"("Output":"psql: error: connection to server at "db1" (10.0.0.1), port 5432 failed: refusedntIs the )"
        R"(server running?n","ServiceID":"db1","ServiceName":"db1"}] })";
    ASSERT_TRUE(json::parse(spoilt, nullptr, false).is_discarded());
    for (const std::string& value :
         {good, spoilt, json::parse(good).dump(),
          std::string{R"({ "updated_at": "26/04/2022 09:10:11", "payload": [] })"}}) {
        EXPECT_EQ(author_of_root_value("db1", value), RootAuthor::old_pipeline) << value;
    }
    EXPECT_EQ(author_of_root_value("db2", good), RootAuthor::other) << "of another service";
    EXPECT_EQ(author_of_root_value("db2", spoilt), RootAuthor::other) << "of another service";
}

TEST(BridgeRootValue, AnythingElseIsAnothers) {
    for (const char* value : {
             "",
             "7",
             "[]",
             "{}",
             "host=10.0.0.1",
             "not json",
             R"({"updated_at":"26/04/2022 09:10:11"})",
             R"({"updated_at":"26/04/2022 09:10:11","payload":[]})",
             R"({"updated_at":"26/04/2022 09:10:11","payload":[7]})",
             R"({"updated_at":"26/04/2022 09:10:11","payload":{"Node":"db1"}})",
             R"({"updated_at":"26/04/2022 09:10:11","payload":[{"Node":"db1"}]})",
             R"({"updated_at":"2022-04-26T09:10:11Z","payload":[{"Node":"db1","ServiceID":"db1"}]})",
             R"({"updated_at":1,"payload":[{"Node":"db1","ServiceID":"db1"}]})",
             R"({"updated_at":"26/04/2022 09:10:11","payload":[{"Node":"db1","ServiceID":"db1"}],"x":1})",
             R"({ "updated_at": "26/04/2022 09:10:11", "payload": )",
             R"({ "updated_at": "26/04/2022 09:10:11", "payload":  })",
             R"({ "updated_at": "26/04/2022 09:10:11", "payload": }])",
             R"({ "updated_at": "26/04/2022", "payload": [] })",
         }) {
        EXPECT_EQ(author_of_root_value("db1", value), RootAuthor::other) << value;
    }
}

}  // namespace
}  // namespace pgpulse::consul_bridge
