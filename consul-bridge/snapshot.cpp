#include "consul-bridge/snapshot.hpp"

#include "common/contract/names.hpp"
#include "consul-bridge/base64.hpp"
#include "consul-bridge/desired.hpp"
#include "consul-bridge/root_value.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace pgpulse::consul_bridge {
namespace {

using nlohmann::json;

/// Consul writes `null` for an empty text, list or map.
std::string text(const json& object, const char* key) {
    const auto it = object.find(key);
    return it != object.end() && it->is_string() ? it->get<std::string>() : std::string{};
}

std::uint64_t number(const json& object, const char* key) {
    const auto it = object.find(key);
    return it != object.end() && it->is_number_unsigned() ? it->get<std::uint64_t>() : 0;
}

std::map<std::string, std::string> text_map(const json& object, const char* key) {
    std::map<std::string, std::string> map;
    const auto it = object.find(key);
    if (it == object.end() || !it->is_object()) return map;
    for (const auto& [name, value] : it->items()) {
        if (value.is_string()) map[name] = value.get<std::string>();
    }
    return map;
}

std::vector<std::string> text_list(const json& object, const char* key) {
    std::vector<std::string> list;
    const auto it = object.find(key);
    if (it == object.end() || !it->is_array()) return list;
    for (const json& value : *it) {
        if (value.is_string()) list.push_back(value.get<std::string>());
    }
    return list;
}

void add_root(const std::string& target, const json& entry, Snapshot& to) {
    Held::HeldRoot root;
    root.value = base64_decode(text(entry, "Value")).value_or("");
    root.author = author_of_root_value(target, root.value);
    root.index = number(entry, "ModifyIndex");
    to[target].root = std::move(root);
}

void add_value(const json& entry, std::string_view prefix, Snapshot& to) {
    const std::string key = text(entry, "Key");
    if (contract::is_target_name(key)) add_root(key, entry, to);
    if (!key.starts_with(prefix)) return;
    const std::string target = key.substr(prefix.size());
    if (!contract::is_target_name(target)) return;
    Held::HeldValue value;
    value.value = base64_decode(text(entry, "Value")).value_or("");
    value.stamp = stamp_of(target, value.value);
    value.index = number(entry, "ModifyIndex");
    to[target].value = std::move(value);
}

void add_node(const json& entry, Snapshot& to) {
    std::string name = text(entry, "Node");
    // Consul takes names that differ in case alone for one.
    std::ranges::transform(name, name.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
    if (!contract::is_target_name(name)) return;
    to[name].node =
        Held::HeldNode{{text(entry, "Address"), text_map(entry, "Meta")}, number(entry, "ModifyIndex")};
}

void add_service(const json& entry, Snapshot& to) {
    const std::string target = text(entry, "ID");
    if (!contract::is_target_name(target)) return;
    Service service;
    service.name = text(entry, "Service");
    service.address = text(entry, "Address");
    service.port = static_cast<std::uint16_t>(number(entry, "Port"));
    service.tags = text_list(entry, "Tags");
    service.meta = text_map(entry, "Meta");
    to[target].service = std::move(service);
}

void add_check(const json& entry, Snapshot& to) {
    const std::string target = text(entry, "Node");
    Check check;
    check.id = text(entry, "CheckID");
    if (!contract::is_target_name(target) || !is_check_of(target, check.id)) return;
    check.name = text(entry, "Name");
    check.status = text(entry, "Status");
    check.output = text(entry, "Output");
    check.service_name = text(entry, "ServiceName");
    check.service_tags = text_list(entry, "ServiceTags");
    auto& checks = to[target].checks;
    checks.insert(std::ranges::lower_bound(checks, check.id, {}, &Check::id), std::move(check));
}

template <typename Add>
Parsed for_each_entry(std::string_view body, const char* what, Add add) {
    const json list = json::parse(body, nullptr, false);
    if (!list.is_array()) return tl::unexpected(std::string{"Consul's list of "} + what + " is not a list");
    for (const json& entry : list) {
        if (entry.is_object()) add(entry);
    }
    return {};
}

std::string get(const char* kind, json fields) {
    fields["Verb"] = "get";
    return json{{kind, std::move(fields)}}.dump();
}

std::string get_service(const std::string& node) {
    return get("Service", {{"Node", node}, {"Service", {{"ID", node}}}});
}

}  // namespace

Parsed add_values(std::string_view body, std::string_view prefix, Snapshot& to) {
    return for_each_entry(body, "keys", [&](const json& entry) { add_value(entry, prefix, to); });
}

Parsed add_nodes(std::string_view body, Snapshot& to) {
    return for_each_entry(body, "nodes", [&](const json& entry) { add_node(entry, to); });
}

Parsed add_checks(std::string_view body, Snapshot& to) {
    return for_each_entry(body, "checks", [&](const json& entry) { add_check(entry, to); });
}

Parsed add_results(std::string_view body, std::string_view prefix, Snapshot& to) {
    const json answer = json::parse(body, nullptr, false);
    const auto results = answer.is_object() ? answer.find("Results") : answer.end();
    if (!answer.is_object() || results == answer.end()) {
        return tl::unexpected(std::string{"Consul's answer to a read has no results"});
    }
    if (!results->is_array()) return {};
    const auto each = [&](const char* kind, auto add) {
        for (const json& result : *results) {
            if (const auto it = result.find(kind); it != result.end() && it->is_object()) add(*it);
        }
    };
    each("KV", [&](const json& entry) { add_value(entry, prefix, to); });
    each("Node", [&](const json& entry) { add_node(entry, to); });
    each("Service", [&](const json& entry) { add_service(entry, to); });
    each("Check", [&](const json& entry) { add_check(entry, to); });
    return {};
}

std::vector<std::string> reads_of_services(const std::vector<std::string>& nodes) {
    std::vector<std::string> reads;
    reads.reserve(nodes.size());
    for (const std::string& node : nodes) reads.push_back(get_service(node));
    return reads;
}

std::vector<std::string> reads_of_roots(const std::vector<std::string>& targets) {
    std::vector<std::string> reads;
    reads.reserve(targets.size());
    for (const std::string& target : targets) reads.push_back(get("KV", {{"Key", target}}));
    return reads;
}

std::vector<std::string> reads_of_target(const std::string& target, std::string_view prefix, Compat compat) {
    std::vector<std::string> reads;
    reads.push_back(get("KV", {{"Key", std::string{prefix} + target}}));
    if (compat == Compat::consul_postgres) reads.push_back(get("KV", {{"Key", target}}));
    reads.push_back(get("Node", {{"Node", {{"Node", target}}}}));
    reads.push_back(get_service(target));
    for (const std::string& id : check_ids_of(target)) {
        reads.push_back(get("Check", {{"Check", {{"Node", target}, {"CheckID", id}}}}));
    }
    return reads;
}

}  // namespace pgpulse::consul_bridge
