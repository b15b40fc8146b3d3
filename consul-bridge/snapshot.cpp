#include "consul-bridge/snapshot.hpp"

#include "common/contract/json_text.hpp"
#include "common/contract/names.hpp"
#include "consul-bridge/base64.hpp"
#include "consul-bridge/desired.hpp"
#include "consul-bridge/entry.hpp"
#include "consul-bridge/root_value.hpp"

#include <algorithm>

namespace pgpulse::consul_bridge {
namespace {

using contract::json_text::object;
using contract::json_text::value;

void add_root(const std::string& target, const Entry& entry, Snapshot& to) {
    Held::HeldRoot root;
    root.value = base64_decode(entry.text("Value")).value_or("");
    root.author = author_of_root_value(target, root.value);
    root.index = entry.number("ModifyIndex");
    to[target].root = std::move(root);
}

void add_value(const Entry& entry, std::string_view prefix, Snapshot& to) {
    const std::string& key = entry.text("Key");
    if (contract::is_target_name(key)) add_root(key, entry, to);
    if (!key.starts_with(prefix)) return;
    const std::string target = key.substr(prefix.size());
    if (!contract::is_target_name(target)) return;
    Held::HeldValue held;
    held.value = base64_decode(entry.text("Value")).value_or("");
    held.stamp = stamp_of(target, held.value);
    held.index = entry.number("ModifyIndex");
    to[target].value = std::move(held);
}

void add_node(const Entry& entry, Snapshot& to) {
    std::string name = entry.text("Node");
    // Consul takes names that differ in case alone for one.
    std::ranges::transform(name, name.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
    if (!contract::is_target_name(name)) return;
    to[name].node = Held::HeldNode{{entry.text("Address"), entry.map("Meta")}, entry.number("ModifyIndex")};
}

void add_service(const Entry& entry, Snapshot& to) {
    const std::string& target = entry.text("ID");
    if (!contract::is_target_name(target)) return;
    Service service;
    service.name = entry.text("Service");
    service.address = entry.text("Address");
    service.port = static_cast<std::uint16_t>(entry.number("Port"));
    service.tags = entry.list("Tags");
    service.meta = entry.map("Meta");
    to[target].service = std::move(service);
}

void add_check(const Entry& entry, Snapshot& to) {
    const std::string& target = entry.text("Node");
    Check check;
    check.id = entry.text("CheckID");
    if (!contract::is_target_name(target) || !is_check_of(target, check.id)) return;
    check.name = entry.text("Name");
    check.status = entry.text("Status");
    check.output = entry.text("Output");
    check.service_name = entry.text("ServiceName");
    check.service_tags = entry.list("ServiceTags");
    auto& checks = to[target].checks;
    checks.insert(std::ranges::lower_bound(checks, check.id, {}, &Check::id), std::move(check));
}

template <typename Add>
Parsed for_each_of(std::string_view body, const char* what, Add add) {
    if (for_each_entry(body, add)) return {};
    return tl::unexpected(std::string{"Consul's list of "} + what + " is not a list");
}

std::string get(const char* kind, std::string thing) {
    return object({{kind, object({{"Verb", value("get")}, {kind, std::move(thing)}})}});
}

std::string get_service(const std::string& node) {
    return object({{"Service", object({{"Verb", value("get")},
                                       {"Node", value(node)},
                                       {"Service", object({{"ID", value(node)}})}})}});
}

}  // namespace

Parsed add_values(std::string_view body, std::string_view prefix, Snapshot& to) {
    return for_each_of(body, "keys", [&](const Entry& entry) { add_value(entry, prefix, to); });
}

Parsed add_nodes(std::string_view body, Snapshot& to) {
    return for_each_of(body, "nodes", [&](const Entry& entry) { add_node(entry, to); });
}

Parsed add_checks(std::string_view body, Snapshot& to) {
    return for_each_of(body, "checks", [&](const Entry& entry) { add_check(entry, to); });
}

Parsed add_results(std::string_view body, std::string_view prefix, Snapshot& to) {
    const bool read = for_each_result(body, [&](std::string_view kind, const Entry& entry) {
        if (kind == "KV") add_value(entry, prefix, to);
        if (kind == "Node") add_node(entry, to);
        if (kind == "Service") add_service(entry, to);
        if (kind == "Check") add_check(entry, to);
    });
    if (read) return {};
    return tl::unexpected(std::string{"Consul's answer to a read has no results"});
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
    for (const std::string& target : targets) {
        reads.push_back(object({{"KV", object({{"Verb", value("get")}, {"Key", value(target)}})}}));
    }
    return reads;
}

std::vector<std::string> reads_of_target(const std::string& target, std::string_view prefix, Compat compat) {
    std::vector<std::string> reads;
    const auto get_value = [&reads](const std::string& key) {
        reads.push_back(object({{"KV", object({{"Verb", value("get")}, {"Key", value(key)}})}}));
    };
    get_value(std::string{prefix} + target);
    if (compat == Compat::consul_postgres) get_value(target);
    reads.push_back(get("Node", object({{"Node", value(target)}})));
    reads.push_back(get_service(target));
    for (const std::string& id : check_ids_of(target)) {
        reads.push_back(get("Check", object({{"Node", value(target)}, {"CheckID", value(id)}})));
    }
    return reads;
}

}  // namespace pgpulse::consul_bridge
