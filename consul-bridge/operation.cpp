#include "consul-bridge/operation.hpp"

#include "consul-bridge/base64.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace pgpulse::consul_bridge {
namespace {

using nlohmann::json;

template <typename... Functions>
struct Overload : Functions... {
    using Functions::operator()...;
};

json kv(const char* verb, const std::string& key, std::uint64_t index) {
    return {{"Verb", verb}, {"Key", key}, {"Index", index}};
}

json to_json(const Operation& operation) {
    return std::visit(
        Overload{
            [](const PutValue& put) -> json {
                json fields = kv("cas", put.key, put.expected);
                fields["Value"] = base64_encode(put.value);
                return {{"KV", std::move(fields)}};
            },
            [](const GuardValue& guard) -> json {
                return {{"KV", kv("check-index", guard.key, guard.expected)}};
            },
            [](const DeleteValue& remove) -> json {
                return {{"KV", kv("delete-cas", remove.key, remove.expected)}};
            },
            [](const PutRoot& put) -> json {
                json fields = kv("cas", put.target, put.expected);
                fields["Value"] = base64_encode(put.value);
                return {{"KV", std::move(fields)}};
            },
            [](const DeleteRoot& remove) -> json {
                return {{"KV", kv("delete-cas", remove.target, remove.expected)}};
            },
            [](const PutNode& put) -> json {
                return {{"Node",
                         {{"Verb", "cas"},
                          {"Node",
                           {{"Node", put.name},
                            {"Address", put.node.address},
                            {"Meta", put.node.meta},
                            {"ModifyIndex", put.expected}}}}}};
            },
            [](const DeleteNode& remove) -> json {
                return {{"Node",
                         {{"Verb", "delete-cas"},
                          {"Node", {{"Node", remove.name}, {"ModifyIndex", remove.expected}}}}}};
            },
            [](const PutService& put) -> json {
                return {{"Service",
                         {{"Verb", "set"},
                          {"Node", put.node},
                          {"Service",
                           {{"ID", put.node},
                            {"Service", put.service.name},
                            {"Address", put.service.address},
                            {"Port", put.service.port},
                            {"Tags", put.service.tags},
                            {"Meta", put.service.meta}}}}}};
            },
            [](const PutCheck& put) -> json {
                return {{"Check",
                         {{"Verb", "set"},
                          {"Check",
                           {{"Node", put.node},
                            {"CheckID", put.check.id},
                            {"Name", put.check.name},
                            {"Status", put.check.status},
                            {"Output", put.check.output},
                            {"ServiceID", put.node},
                            {"ServiceName", put.check.service_name}}}}}};
            },
            [](const DeleteCheck& remove) -> json {
                return {{"Check",
                         {{"Verb", "delete"}, {"Check", {{"Node", remove.node}, {"CheckID", remove.id}}}}}};
            },
        },
        operation);
}

}  // namespace

std::string encode(const Operation& operation) {
    return to_json(operation).dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string name_of(const Operation& operation) {
    return std::visit(Overload{
                          [](const PutValue& put) { return "KV key '" + put.key + "'"; },
                          [](const GuardValue& guard) { return "KV key '" + guard.key + "'"; },
                          [](const DeleteValue& remove) { return "KV key '" + remove.key + "'"; },
                          [](const PutRoot& put) { return "KV key '" + put.target + "'"; },
                          [](const DeleteRoot& remove) { return "KV key '" + remove.target + "'"; },
                          [](const PutNode& put) { return "node '" + put.name + "'"; },
                          [](const DeleteNode& remove) { return "node '" + remove.name + "'"; },
                          [](const PutService& put) { return "service '" + put.service.name + "'"; },
                          [](const PutCheck& put) { return "check '" + put.check.id + "'"; },
                          [](const DeleteCheck& remove) { return "check '" + remove.id + "'"; },
                      },
                      operation);
}

void apply(const Operation& operation, std::uint64_t index, Held& held) {
    const auto place_of = [&held](const std::string& id) {
        return std::ranges::lower_bound(held.checks, id, {}, &Check::id);
    };
    std::visit(
        Overload{
            [&](const PutValue& put) { held.value = Held::HeldValue{put.value, put.stamp, index}; },
            [](const GuardValue&) {},
            [&](const DeleteValue&) { held.value.reset(); },
            [&](const PutRoot& put) { held.root = Held::HeldRoot{put.value, RootAuthor::bridge, index}; },
            [&](const DeleteRoot&) { held.root.reset(); },
            [&](const PutNode& put) { held.node = Held::HeldNode{put.node, index}; },
            [&](const DeleteNode&) {
                held.node.reset();
                held.service.reset();
                held.checks.clear();
            },
            [&](const PutService& put) { held.service = put.service; },
            [&](const PutCheck& put) {
                const auto at = place_of(put.check.id);
                if (at != held.checks.end() && at->id == put.check.id) {
                    *at = put.check;
                } else {
                    held.checks.insert(at, put.check);
                }
            },
            [&](const DeleteCheck& remove) {
                const auto at = place_of(remove.id);
                if (at != held.checks.end() && at->id == remove.id) held.checks.erase(at);
            },
        },
        operation);
}

}  // namespace pgpulse::consul_bridge
