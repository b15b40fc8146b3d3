#include "consul-bridge/base64.hpp"
#include "consul-bridge/snapshot.hpp"
#include "consul-bridge/transaction.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace pgpulse::consul_bridge {
namespace {

using nlohmann::json;

std::vector<Operation> checks(std::size_t count, const std::string& output = {}) {
    std::vector<Operation> operations;
    for (std::size_t i = 0; i < count; ++i) {
        operations.emplace_back(PutCheck{"db1", {"c" + std::to_string(i), "", "passing", output, ""}});
    }
    return operations;
}

TEST(BridgeTransaction, OperationsAreWhatConsulReads) {
    const std::pair<Operation, json> cases[] = {
        {PutValue{"health/db1", "hi", {}, 7},
         {{"KV", {{"Verb", "cas"}, {"Key", "health/db1"}, {"Index", 7}, {"Value", "aGk="}}}}},
        {GuardValue{"health/db1", 7},
         {{"KV", {{"Verb", "check-index"}, {"Key", "health/db1"}, {"Index", 7}}}}},
        {DeleteValue{"health/db1", 7},
         {{"KV", {{"Verb", "delete-cas"}, {"Key", "health/db1"}, {"Index", 7}}}}},
        {PutRoot{"db1", "hi", 7},
         {{"KV", {{"Verb", "cas"}, {"Key", "db1"}, {"Index", 7}, {"Value", "aGk="}}}}},
        {DeleteRoot{"db1", 7}, {{"KV", {{"Verb", "delete-cas"}, {"Key", "db1"}, {"Index", 7}}}}},
        {PutNode{"db1", {"10.0.0.1", {{"a", "b"}}}, 3},
         {{"Node",
           {{"Verb", "cas"},
            {"Node",
             {{"Node", "db1"}, {"Address", "10.0.0.1"}, {"Meta", {{"a", "b"}}}, {"ModifyIndex", 3}}}}}}},
        {DeleteNode{"db1", 3},
         {{"Node", {{"Verb", "delete-cas"}, {"Node", {{"Node", "db1"}, {"ModifyIndex", 3}}}}}}},
        {PutService{"db1", {"orders", "10.0.0.1", 5432, {"blue"}, {{"a", "b"}}}},
         {{"Service",
           {{"Verb", "set"},
            {"Node", "db1"},
            {"Service",
             {{"ID", "db1"},
              {"Service", "orders"},
              {"Address", "10.0.0.1"},
              {"Port", 5432},
              {"Tags", {"blue"}},
              {"Meta", {{"a", "b"}}}}}}}}},
        {PutCheck{"db1", {"db1-isready", "PG is ready", "passing", "up \"now\"", "orders"}},
         {{"Check",
           {{"Verb", "set"},
            {"Check",
             {{"Node", "db1"},
              {"CheckID", "db1-isready"},
              {"Name", "PG is ready"},
              {"Status", "passing"},
              {"Output", "up \"now\""},
              {"ServiceID", "db1"},
              {"ServiceName", "orders"}}}}}}},
        {DeleteCheck{"db1", "db1-isready"},
         {{"Check", {{"Verb", "delete"}, {"Check", {{"Node", "db1"}, {"CheckID", "db1-isready"}}}}}}},
    };
    for (const auto& [operation, expected] : cases) EXPECT_EQ(json::parse(encode(operation)), expected);
}

TEST(BridgeTransaction, WholeTargetsUpTo64Operations) {
    Transaction transaction;
    EXPECT_TRUE(transaction.add("a", checks(60)));
    EXPECT_FALSE(transaction.add("b", checks(5)));
    EXPECT_TRUE(transaction.add("c", checks(4)));
    EXPECT_FALSE(transaction.add("d", checks(1)));
    EXPECT_EQ(transaction.operations(), 64);
    EXPECT_EQ(json::parse(transaction.take_body()).size(), 64);
}

TEST(BridgeTransaction, WholeTargetsUpTo512KiB) {
    Transaction transaction;
    EXPECT_TRUE(transaction.add("a", checks(1, std::string(400'000, 'x'))));
    EXPECT_FALSE(transaction.add("b", checks(1, std::string(130'000, 'x'))));
    EXPECT_TRUE(transaction.add("c", checks(1, std::string(120'000, 'x'))));
    EXPECT_LE(transaction.take_body().size(), kMaxBodyBytes);
}

TEST(BridgeTransaction, AFirstTargetIsAlwaysTaken) {
    Transaction transaction;
    EXPECT_TRUE(transaction.add("a", checks(70)));
    EXPECT_FALSE(transaction.add("b", checks(1)));
}

TEST(BridgeTransaction, AnOperationIsItsTargets) {
    Transaction transaction;
    ASSERT_TRUE(transaction.add("a", checks(2)));
    ASSERT_TRUE(transaction.add("b", checks(3)));
    const std::vector<std::size_t> expected{0, 0, 1, 1, 1, 2};
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(transaction.part_of(i), expected[i]);
}

TEST(BridgeTransaction, ConsulsAnswers) {
    // As Consul 1.8.7 answered.
    const auto committed = read_outcome(
        200, R"({"Results":[{"KV":{"LockIndex":0,"Key":"health/db1","Flags":0,"Value":null,"CreateIndex":8,)"
             R"("ModifyIndex":9}},{"Node":{"ID":"","Node":"db1","Address":"127.0.0.1","ModifyIndex":8}},)"
             R"({"Check":{"Node":"db1","CheckID":"db1-isready","ModifyIndex":8}}],"Errors":null})");
    ASSERT_TRUE(std::holds_alternative<Committed>(committed));
    EXPECT_EQ(std::get<Committed>(committed).values.at("health/db1"), 9);
    EXPECT_EQ(std::get<Committed>(committed).nodes.at("db1"), 8);

    const auto refused = read_outcome(
        409,
        R"({"Results":null,"Errors":[{"OpIndex":0,"What":"failed to set key \"health/db1\", index is stale"},)"
        R"({"OpIndex":3,"What":"Permission denied"}]})");
    ASSERT_TRUE(std::holds_alternative<Refused>(refused));
    ASSERT_EQ(std::get<Refused>(refused).faults.size(), 2);
    EXPECT_EQ(std::get<Refused>(refused).faults[1].operation, 3);
    EXPECT_EQ(std::get<Refused>(refused).faults[1].what, "Permission denied");

    EXPECT_TRUE(std::holds_alternative<Rejected>(read_outcome(400, "Failed to parse body")));
    EXPECT_TRUE(std::holds_alternative<Rejected>(read_outcome(413, "Request body too large")));
    EXPECT_TRUE(std::holds_alternative<Rejected>(read_outcome(409, "nothing that lists faults")));
    for (const long status : {403L, 429L, 500L, 503L}) {
        EXPECT_TRUE(std::holds_alternative<Unreachable>(read_outcome(status, "No cluster leader"))) << status;
    }
    EXPECT_EQ(describe(500, "No cluster\nleader\n"), "HTTP 500: No cluster leader");
}

TEST(BridgeTransaction, ACommitWithoutResultsHasNoIndexes) {
    for (const char* body : {"", "[]", "{}", R"({"Results":null})", R"({"Results":[null,7,{"KV":null}]})"}) {
        const auto outcome = read_outcome(200, body);
        ASSERT_TRUE(std::holds_alternative<Committed>(outcome)) << body;
        EXPECT_TRUE(std::get<Committed>(outcome).values.empty()) << body;
    }
}

TEST(BridgeSnapshot, WhatConsulAnswersToReads) {
    Snapshot snapshot;
    const std::string value = R"({"v":1,"target":"db1","epoch":"2026-01-01T00:00:00Z","revision":7})";
    ASSERT_TRUE(
        add_nodes(R"([{"Node":"DB1","Address":"10.0.0.1","Meta":{"managed-by":"pgpulse"},"ModifyIndex":3},
                              {"Node":"not_a_target","Address":"10.0.0.2","Meta":null,"ModifyIndex":4}])",
                  snapshot));
    ASSERT_TRUE(add_checks(R"([{"Node":"db1","CheckID":"db1-isready","Name":"PG is ready","Status":"passing",
                                "Output":"up","ServiceID":"db1","ServiceName":"orders"},
                               {"Node":"db1","CheckID":"somebody's","Status":"passing"}])",
                           snapshot));
    ASSERT_TRUE(add_values(R"([{"Key":"health/db1","Value":")" + base64_encode(value) +
                               R"(","ModifyIndex":12},{"Key":"health/","Value":null,"ModifyIndex":1},
                                 {"Key":"health/db2","Value":null,"ModifyIndex":13},
                                 {"Key":"health/x/y","Value":"aGk=","ModifyIndex":14}])",
                           "health/", snapshot));
    ASSERT_TRUE(add_results(R"({"Results":[{"Service":{"ID":"db1","Service":"orders","Tags":["a"],"Address":
                                "10.0.0.1","Meta":null,"Port":5432,"ModifyIndex":8}}]})",
                            "health/", snapshot));
    ASSERT_EQ(snapshot.size(), 2);
    const Held& db1 = snapshot.at("db1");
    ASSERT_TRUE(db1.node && db1.service && db1.value);
    EXPECT_EQ(*db1.node, (Held::HeldNode{{"10.0.0.1", {{"managed-by", "pgpulse"}}}, 3}));
    EXPECT_EQ(*db1.service, (Service{"orders", "10.0.0.1", 5432, {"a"}, {}}));
    EXPECT_EQ(db1.checks, (std::vector<Check>{{"db1-isready", "PG is ready", "passing", "up", "orders"}}));
    EXPECT_EQ(db1.value->value, value);
    EXPECT_EQ(db1.value->stamp->revision, 7);
    EXPECT_EQ(db1.value->index, 12);
    EXPECT_EQ(snapshot.at("db2").value, (Held::HeldValue{"", std::nullopt, 13}));
}

TEST(BridgeSnapshot, WhatIsNoAnswerIsRefused) {
    Snapshot snapshot;
    EXPECT_FALSE(add_nodes("<html>", snapshot));
    EXPECT_FALSE(add_values("{}", "health/", snapshot));
    EXPECT_FALSE(add_results("[]", "health/", snapshot));
}

TEST(BridgeBase64, IsRfc4648) {
    const std::pair<const char*, const char*> cases[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
    for (const auto& [bytes, text] : cases) {
        EXPECT_EQ(base64_encode(bytes), text);
        EXPECT_EQ(base64_decode(text), bytes);
    }
    std::string all;
    for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
    EXPECT_EQ(base64_decode(base64_encode(all)), all);
    for (const char* bad : {"Z", "Zg=", "Zg", "Z!==", "====", "Zg==Zg=="}) {
        EXPECT_EQ(base64_decode(bad), std::nullopt) << bad;
    }
}

}  // namespace
}  // namespace pgpulse::consul_bridge
