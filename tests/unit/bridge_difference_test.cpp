#include "consul-bridge/difference.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace pgpulse::consul_bridge {
namespace {

const std::string kDifferenceKey = "health/db1";
const contract::WallTime kEpoch{std::chrono::microseconds{1000}};
const contract::WallTime kOtherEpoch{std::chrono::microseconds{2000}};

Documents wanted() {
    Documents documents;
    documents.node = {"10.0.0.1", {{"managed-by", "pgpulse"}}};
    documents.service = {"orders", "10.0.0.1", 5432, {"blue"}, {}};
    documents.checks = {{"db1-isready", "PG is ready", "passing", "up", "orders", {"blue"}}};
    documents.value = "value-7";
    documents.stamp = {kEpoch, 7};
    return documents;
}

/// Consul as it shall be.
Held held() {
    Held h;
    h.node = Held::HeldNode{wanted().node, 11};
    h.service = wanted().service;
    h.checks = wanted().checks;
    h.value = Held::HeldValue{wanted().value, wanted().stamp, 12};
    return h;
}

/// An operation in short: "cas 12" is a KV cas with expected index 12.
std::string brief(const Operation& operation) {
    if (const auto* put = std::get_if<PutValue>(&operation)) return "cas " + std::to_string(put->expected);
    if (const auto* guard = std::get_if<GuardValue>(&operation))
        return "guard " + std::to_string(guard->expected);
    if (const auto* remove = std::get_if<DeleteValue>(&operation)) {
        return "delete value " + std::to_string(remove->expected);
    }
    if (const auto* put = std::get_if<PutRoot>(&operation)) return "root " + std::to_string(put->expected);
    if (const auto* remove = std::get_if<DeleteRoot>(&operation)) {
        return "delete root " + std::to_string(remove->expected);
    }
    if (const auto* put = std::get_if<PutNode>(&operation)) return "node " + std::to_string(put->expected);
    if (const auto* remove = std::get_if<DeleteNode>(&operation)) {
        return "delete node " + std::to_string(remove->expected);
    }
    if (std::holds_alternative<PutService>(operation)) return "service";
    if (const auto* put = std::get_if<PutCheck>(&operation)) return "check " + put->check.id;
    return "delete check " + std::get<DeleteCheck>(operation).id;
}

std::vector<std::string> brief(const Difference& difference) {
    std::vector<std::string> list;
    for (const Operation& operation : difference.operations) list.push_back(brief(operation));
    return list;
}

struct Case {
    std::string rule;
    std::function<void(Held&)> change;
    std::vector<std::string> operations;
    Obstacle obstacle = Obstacle::none;
};

TEST(BridgeDifference, Register) {
    const Case cases[] = {
        {"nothing unchanged is written", [](Held&) {}, {}},
        {"where nothing is, all is created, and node and key only if they are absent",
         [](Held& h) { h = {}; },
         {"cas 0", "node 0", "service", "check db1-isready"}},
        {"another value is replaced at the index that was read",
         [](Held& h) {
             h.value->value = "value-6";
             h.value->stamp->revision = 6;
         },
         {"cas 12"}},
        {"a check alone is repaired under the guard of the value's index",
         [](Held& h) { h.checks[0].status = "critical"; },
         {"guard 12", "check db1-isready"}},
        {"a check that is not there is written",
         [](Held& h) { h.checks.clear(); },
         {"guard 12", "check db1-isready"}},
        {"a check that shall not be is deleted",
         [](Held& h) { h.checks.push_back({"db1-isreplica", "", "", "", "", {}}); },
         {"guard 12", "delete check db1-isreplica"}},
        {"a node that was changed is replaced at the index that was read",
         [](Held& h) { h.node->node.address = "10.0.0.9"; },
         {"guard 12", "node 11"}},
        {"a check that was written before its service's tags changed is written",
         [](Held& h) { h.checks[0].service_tags = {}; },
         {"guard 12", "check db1-isready"}},
        {"a service that was changed is set", [](Held& h) { h.service->tags = {}; }, {"guard 12", "service"}},
        {"a service that is not there comes before its check",
         [](Held& h) {
             h.service.reset();
             h.checks.clear();
         },
         {"guard 12", "service", "check db1-isready"}},
        {"a value and its check go together",
         [](Held& h) {
             h.value->value = "value-6";
             h.value->stamp->revision = 6;
             h.checks[0].status = "critical";
         },
         {"cas 12", "check db1-isready"}},
        {"a value that was removed is created", [](Held& h) { h.value.reset(); }, {"cas 0"}},
        {"a later revision of the same epoch stands, with its checks",
         [](Held& h) {
             h.value->stamp->revision = 8;
             h.value->value = "8";
             h.checks.clear();
         },
         {},
         Obstacle::newer_value},
        {"a revision of another epoch stands",
         [](Held& h) {
             h.value->stamp = Stamp{kOtherEpoch, 99};
             h.value->value = "99";
         },
         {},
         Obstacle::other_epoch},
        {"the same revision with other bytes is overwritten",
         [](Held& h) { h.value->value = "7'"; },
         {"cas 12"}},
        {"a spoilt value of our own node is overwritten",
         [](Held& h) {
             h.value->stamp.reset();
             h.value->value = "spoilt";
         },
         {"cas 12"}},
        {"a value without our node and without our stamp is another's",
         [](Held& h) {
             h = {};
             h.value = Held::HeldValue{"theirs", std::nullopt, 5};
         },
         {},
         Obstacle::foreign_value},
        {"our value alone, its node lost",
         [](Held& h) {
             h.node.reset();
             h.service.reset();
             h.checks.clear();
         },
         {"guard 12", "node 0", "service", "check db1-isready"}},
        {"a node without our mark is another's",
         [](Held& h) { h.node->node.meta.clear(); },
         {},
         Obstacle::foreign_node},
        {"a node with another's mark is another's",
         [](Held& h) { h.node->node.meta["managed-by"] = "consul-esm"; },
         {},
         Obstacle::foreign_node},
    };
    for (const Case& c : cases) {
        Held h = held();
        c.change(h);
        const Difference difference = to_register("db1", kDifferenceKey, wanted(), h);
        EXPECT_EQ(brief(difference), c.operations) << c.rule;
        EXPECT_EQ(difference.obstacle, c.obstacle) << c.rule;
    }
}

TEST(BridgeDifference, WhatTheBucketDoesNotHoldAnyMoreIsOverwritten) {
    for (const Stamp& lost : {Stamp{kOtherEpoch, 99}, Stamp{wanted().stamp.epoch, 99}}) {
        Held h = held();
        h.value->stamp = lost;
        h.value->value = "99";
        EXPECT_EQ(brief(to_register("db1", kDifferenceKey, wanted(), h, lost)),
                  std::vector<std::string>{"cas 12"});
        const Stamp another{lost.epoch, 98};
        EXPECT_NE(to_register("db1", kDifferenceKey, wanted(), h, another).obstacle, Obstacle::none);
    }
}

TEST(BridgeDifference, RegisterWithAKeyAtTheRoot) {
    const auto root_of = [](const std::string& value, RootAuthor author) {
        return [=](Held& h) { h.root = Held::HeldRoot{value, author, 13}; };
    };
    const Case cases[] = {
        {"nothing unchanged is written", root_of("root-7", RootAuthor::bridge), {}},
        {"one that is not there is created, under the guard of the value's index",
         [](Held&) {},
         {"guard 12", "root 0"}},
        {"with the value and the check it is in one list",
         [](Held& h) { h = {}; },
         {"cas 0", "root 0", "node 0", "service", "check db1-isready"}},
        {"ours is replaced at the index that was read",
         root_of("root-6", RootAuthor::bridge),
         {"guard 12", "root 13"}},
        {"the old pipeline's is taken over",
         root_of("theirs", RootAuthor::old_pipeline),
         {"guard 12", "root 13"}},
        {"another's stays", root_of("theirs", RootAuthor::other), {}, Obstacle::foreign_root},
        {"another's does not keep the rest from being written",
         [&](Held& h) {
             root_of("theirs", RootAuthor::other)(h);
             h.checks.clear();
         },
         {"guard 12", "check db1-isready"},
         Obstacle::foreign_root},
        {"a later revision of the same epoch stands, with the key at the root",
         [&](Held& h) {
             root_of("root-8", RootAuthor::bridge)(h);
             h.value->stamp->revision = 8;
         },
         {},
         Obstacle::newer_value},
    };
    Documents with_root = wanted();
    with_root.root_value = "root-7";
    for (const Case& c : cases) {
        Held h = held();
        c.change(h);
        const Difference difference = to_register("db1", kDifferenceKey, with_root, h);
        EXPECT_EQ(brief(difference), c.operations) << c.rule;
        EXPECT_EQ(difference.obstacle, c.obstacle) << c.rule;
        for (const Operation& operation : difference.operations) apply(operation, 20, h);
        EXPECT_EQ(brief(to_register("db1", kDifferenceKey, with_root, h)), std::vector<std::string>{})
            << c.rule;
    }
}

TEST(BridgeDifference, Deregister) {
    const Case cases[] = {
        {"node and value go, each at the index that was read",
         [](Held&) {},
         {"delete value 12", "delete node 11"}},
        {"where nothing is, nothing is done", [](Held& h) { h = {}; }, {}},
        {"a value alone goes", [](Held& h) { h.node.reset(); }, {"delete value 12"}},
        {"a node alone goes", [](Held& h) { h.value.reset(); }, {"delete node 11"}},
        {"another's node and the value beside it stay", [](Held& h) { h.node->node.meta.clear(); }, {}},
        {"another's value stays",
         [](Held& h) {
             h = {};
             h.value = Held::HeldValue{"theirs", std::nullopt, 5};
         },
         {}},
        {"our key at the root goes as well",
         [](Held& h) { h.root = Held::HeldRoot{"7", RootAuthor::bridge, 13}; },
         {"delete value 12", "delete root 13", "delete node 11"}},
        {"the old pipeline's key at the root stays",
         [](Held& h) { h.root = Held::HeldRoot{"theirs", RootAuthor::old_pipeline, 13}; },
         {"delete value 12", "delete node 11"}},
        {"another's key at the root stays",
         [](Held& h) { h.root = Held::HeldRoot{"theirs", RootAuthor::other, 13}; },
         {"delete value 12", "delete node 11"}},
        {"a spoilt value of our own node goes",
         [](Held& h) { h.value->stamp.reset(); },
         {"delete value 12", "delete node 11"}},
    };
    for (const Case& c : cases) {
        Held h = held();
        c.change(h);
        EXPECT_EQ(brief(to_deregister("db1", kDifferenceKey, h)), c.operations) << c.rule;
    }
}

TEST(BridgeDifference, OnceItsOperationsAreDoneNothingIsLeftToDo) {
    const std::function<void(Held&)> starts[] = {
        [](Held& h) { h = {}; },
        [](Held& h) {
            h.checks = {{"db1-isprimary", "", "", "", "", {}}, {"db1-isreplica", "", "", "", "", {}}};
        },
        [](Held& h) { h.value->value = "6"; },
        [](Held& h) {
            h.node->node.address = "other";
            h.service.reset();
        },
    };
    for (const auto& start : starts) {
        Held h = held();
        start(h);
        for (const Operation& operation : to_register("db1", kDifferenceKey, wanted(), h).operations)
            apply(operation, 20, h);
        EXPECT_EQ(brief(to_register("db1", kDifferenceKey, wanted(), h)), std::vector<std::string>{});
        for (const Operation& operation : to_deregister("db1", kDifferenceKey, h).operations)
            apply(operation, 0, h);
        EXPECT_EQ(h, Held{});
    }
}

}  // namespace
}  // namespace pgpulse::consul_bridge
