#include "consul-bridge/missing_right.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pgpulse::consul_bridge {
namespace {

TEST(BridgeMissingRight, EveryOperationHasItsRule) {
    struct Case {
        Operation operation;
        const char* deed;
        const char* rule;
    };
    const Case cases[] = {
        {PutValue{"health/db1", "{}", {}, 0}, "writing KV key 'health/db1'",
         R"(key_prefix "health/" { policy = "write" })"},
        {GuardValue{"health/db1", 1}, "writing KV key 'health/db1'",
         R"(key_prefix "health/" { policy = "write" })"},
        {DeleteValue{"health/db1", 1}, "deleting KV key 'health/db1'",
         R"(key_prefix "health/" { policy = "write" })"},
        {DeleteRoot{"db1", 1}, "deleting KV key 'db1'", R"(key "db1" { policy = "write" })"},
        {PutRoot{"db1", "{}", 0}, "writing KV key 'db1'", R"(key "db1" { policy = "write" })"},
        {PutNode{"db1", {}, 0}, "writing node 'db1'", R"(node "db1" { policy = "write" })"},
        {DeleteNode{"db1", 1}, "deleting node 'db1'", R"(node "db1" { policy = "write" })"},
        {PutService{"db1", {"orders", {}, 0, {}, {}}}, "writing service 'orders' of node 'db1'",
         R"(service "orders" { policy = "write" })"},
        {PutCheck{"db1", {"db1-isready", {}, {}, {}, "orders"}}, "writing check 'db1-isready'",
         R"(service "orders" { policy = "write" })"},
        {DeleteCheck{"db1", "db1-isprimary"}, "deleting check 'db1-isprimary'",
         R"(node "db1" { policy = "write" })"},
    };
    for (const Case& c : cases) {
        const MissingRight right = right_for(c.operation, "health/");
        EXPECT_EQ(right.deed, c.deed);
        EXPECT_EQ(right.rule, c.rule);
    }
}

TEST(BridgeMissingRight, IsToldFromOtherRefusals) {
    EXPECT_TRUE(is_denied("Permission denied"));
    EXPECT_TRUE(
        is_denied("Permission denied: token with AccessorID '1' lacks permission 'key:write' on \"a\""));
    EXPECT_FALSE(is_denied("failed to set key \"health/db1\", index is stale"));
    EXPECT_FALSE(is_denied("Missing node registration"));
}

TEST(BridgeMissingRight, OfTheWholeRequestIsTheTokens) {
    const std::string unknown = "there is no such token; see CONSUL_HTTP_TOKEN and the token file";
    EXPECT_EQ(fault_of_token(403, "ACL not found"), unknown);
    EXPECT_EQ(fault_of_token(500, "rpc error making call: ACL not found"), unknown);
    EXPECT_EQ(fault_of_token(403, "Permission denied"), "the token lacks a right; see docs/consul-rights.md");
    EXPECT_EQ(fault_of_token(500, "No cluster leader"), std::nullopt);
    EXPECT_EQ(fault_of_token(429, "Your IP is issuing too many concurrent connections"), std::nullopt);
}

}  // namespace
}  // namespace pgpulse::consul_bridge
