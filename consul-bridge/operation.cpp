#include "consul-bridge/operation.hpp"

#include "common/contract/json_text.hpp"
#include "consul-bridge/base64.hpp"

#include <algorithm>

namespace pgpulse::consul_bridge {
namespace {

using contract::json_text::object;
using contract::json_text::value;

template <typename... Functions>
struct Overload : Functions... {
    using Functions::operator()...;
};

/// A verb of a kind of operation, done to one thing: {"Check":{"Verb":"set","Check":{...}}}.
std::string done_to(const char* kind, const char* verb, std::string thing) {
    return object({{kind, object({{"Verb", value(verb)}, {kind, std::move(thing)}})}});
}

std::string kv(const char* verb, const std::string& key, std::uint64_t index) {
    return object({{"KV", object({{"Verb", value(verb)}, {"Key", value(key)}, {"Index", value(index)}})}});
}

std::string cas(const std::string& key, const std::string& bytes, std::uint64_t index) {
    return object({{"KV", object({{"Verb", value("cas")},
                                  {"Key", value(key)},
                                  {"Index", value(index)},
                                  {"Value", value(base64_encode(bytes))}})}});
}

}  // namespace

std::string encode(const Operation& operation) {
    return std::visit(
        Overload{
            [](const PutValue& put) { return cas(put.key, put.value, put.expected); },
            [](const GuardValue& guard) { return kv("check-index", guard.key, guard.expected); },
            [](const DeleteValue& remove) { return kv("delete-cas", remove.key, remove.expected); },
            [](const PutRoot& put) { return cas(put.target, put.value, put.expected); },
            [](const DeleteRoot& remove) { return kv("delete-cas", remove.target, remove.expected); },
            [](const PutNode& put) {
                return done_to("Node", "cas",
                               object({{"Node", value(put.name)},
                                       {"Address", value(put.node.address)},
                                       {"Meta", value(put.node.meta)},
                                       {"ModifyIndex", value(put.expected)}}));
            },
            [](const DeleteNode& remove) {
                return done_to(
                    "Node", "delete-cas",
                    object({{"Node", value(remove.name)}, {"ModifyIndex", value(remove.expected)}}));
            },
            [](const PutService& put) {
                const std::string service = object({{"ID", value(put.node)},
                                                    {"Service", value(put.service.name)},
                                                    {"Address", value(put.service.address)},
                                                    {"Port", value(put.service.port)},
                                                    {"Tags", value(put.service.tags)},
                                                    {"Meta", value(put.service.meta)}});
                return object(
                    {{"Service",
                      object({{"Verb", value("set")}, {"Node", value(put.node)}, {"Service", service}})}});
            },
            [](const PutCheck& put) {
                return done_to("Check", "set",
                               object({{"Node", value(put.node)},
                                       {"CheckID", value(put.check.id)},
                                       {"Name", value(put.check.name)},
                                       {"Status", value(put.check.status)},
                                       {"Output", value(put.check.output)},
                                       {"ServiceID", value(put.node)},
                                       {"ServiceName", value(put.check.service_name)}}));
            },
            [](const DeleteCheck& remove) {
                return done_to("Check", "delete",
                               object({{"Node", value(remove.node)}, {"CheckID", value(remove.id)}}));
            },
        },
        operation);
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
