#include "consul-bridge/self_service.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace pgpulse::consul_bridge {
namespace {

using nlohmann::json;

SelfService a_service() {
    SelfService service;
    service.name = "carrier";
    service.bridge = "bridge-1";
    service.run = "0123456789abcdef";
    service.version = "1.2.3";
    service.kv_prefix = "health/";
    return service;
}

/// As `/v1/health/service/<name>` lists it.
json an_instance(const std::string& id, const std::string& prefix, const std::vector<std::string>& statuses) {
    json checks = json::array();
    for (const std::string& status : statuses) checks.push_back({{"CheckID", "x"}, {"Status", status}});
    return {{"Node", {{"Node", "agent"}}},
            {"Service", {{"ID", id}, {"Meta", {{"kv-prefix", prefix}}}}},
            {"Checks", checks}};
}

TEST(BridgeSelfService, IsRegisteredWithACheckThatExpires) {
    SelfService service = a_service();
    EXPECT_EQ(json::parse(registration_of(service, false)),
              (json{{"ID", "carrier-bridge-1"},
                    {"Name", "carrier"},
                    {"Meta",
                     {{"managed-by", "pgpulse"},
                      {"version", "1.2.3"},
                      {"run", "0123456789abcdef"},
                      {"kv-prefix", "health/"}}},
                    {"Check",
                     {{"CheckID", "service:carrier-bridge-1"},
                      {"Name", "The pipeline is alive"},
                      {"TTL", "10s"},
                      {"Status", "critical"},
                      {"DeregisterCriticalServiceAfter", "72h"}}}}));
    service.address = "10.0.0.7";
    service.port = 9187;
    const json with_address = json::parse(registration_of(service, true));
    EXPECT_EQ(with_address["Address"], "10.0.0.7");
    EXPECT_EQ(with_address["Port"], 9187);
    EXPECT_EQ(with_address["Check"]["Status"], "passing");
}

TEST(BridgeSelfService, UpdatesItsCheckWithStatusAndWords) {
    EXPECT_EQ(json::parse(update_of({true, "carries 3 targets"})),
              (json{{"Status", "passing"}, {"Output", "carries 3 targets"}}));
    EXPECT_EQ(json::parse(update_of({false, "why"})), (json{{"Status", "critical"}, {"Output", "why"}}));
}

TEST(BridgeSelfService, KnowsWhoseTheIdIs) {
    const SelfService service = a_service();
    const auto held_by = [&](const json& meta) {
        return read_holder(service, 200, json{{"Meta", meta}}.dump());
    };
    EXPECT_EQ(read_holder(service, 404, "unknown service ID: carrier-bridge-1"), Holder::nobody);
    EXPECT_EQ(held_by({{"managed-by", "pgpulse"}, {"run", "0123456789abcdef"}}), Holder::this_run);
    EXPECT_EQ(held_by({{"managed-by", "pgpulse"}, {"run", "fedcba9876543210"}}), Holder::another_run);
    EXPECT_EQ(held_by({{"managed-by", "pgpulse"}}), Holder::another_run);
    EXPECT_EQ(held_by({{"run", "0123456789abcdef"}}), Holder::somebody_else);
    EXPECT_EQ(held_by(nullptr), Holder::somebody_else);
    EXPECT_EQ(read_holder(service, 200, "no JSON"), Holder::somebody_else);
    EXPECT_EQ(read_holder(service, 500, "no cluster leader").error(), "HTTP 500: no cluster leader");
}

TEST(BridgeSelfService, KnowsWhetherAnotherBridgeCarriesOn) {
    const SelfService service = a_service();
    const json own = an_instance("carrier-bridge-1", "health/", {"passing", "critical"});
    const auto read = [&](const std::vector<json>& instances) {
        return read_others(service, 200, json(instances).dump());
    };
    EXPECT_EQ(read({own}), false);
    EXPECT_EQ(read({own, an_instance("carrier-bridge-2", "health/", {"passing", "passing"})}), true);
    EXPECT_EQ(read({an_instance("carrier-bridge-2", "health/", {"passing"}), own}), true);
    // Its agent is gone, or its own check fails.
    EXPECT_EQ(read({own, an_instance("carrier-bridge-2", "health/", {"critical", "passing"})}), false);
    EXPECT_EQ(read({own, an_instance("carrier-bridge-2", "health/", {"passing", "critical"})}), false);
    EXPECT_EQ(read({own, an_instance("carrier-bridge-2", "other/", {"passing"})}), false);
    EXPECT_EQ(read({own, json{{"Service", nullptr}}}), false);
}

TEST(BridgeSelfService, AnAnswerThatDoesNotShowThisBridgeTellsNothing) {
    const SelfService service = a_service();
    const auto hidden = read_others(service, 200, "[]");
    ASSERT_FALSE(hidden);
    EXPECT_NE(hidden.error().find("node_prefix \"\" { policy = \"read\" }"), std::string::npos)
        << hidden.error();
    EXPECT_FALSE(read_others(service, 200,
                             json::array({an_instance("carrier-bridge-2", "health/", {"passing"})}).dump()));
    EXPECT_FALSE(read_others(service, 200, "no JSON"));
    EXPECT_EQ(read_others(service, 500, "no leader").error(), "HTTP 500: no leader");
}

TEST(BridgeSelfService, AMissingRightIsNamedWithItsRule) {
    const SelfService service = a_service();
    EXPECT_EQ(refusal_of(service, 403, "Permission denied"),
              "HTTP 403: Permission denied; the rule service \"carrier\" { policy = \"write\" } is missing");
    EXPECT_EQ(refusal_of(service, 500, "x"), "HTTP 500: x");
}

TEST(BridgeSelfService, ANameIsMadeOfWhatAServiceNameMayHave) {
    for (const char* good : {"", "pgpulse-consul-bridge", "Bridge_2"}) {
        EXPECT_EQ(fault_of_service_name(good), std::nullopt) << good;
    }
    for (const std::string& bad :
         {std::string{"a b"}, std::string{"a/b"}, std::string{"a.b"}, std::string(64, 'a')}) {
        EXPECT_NE(fault_of_service_name(bad), std::nullopt) << bad;
    }
}

}  // namespace
}  // namespace pgpulse::consul_bridge
