#include "tests/support/consul_model.hpp"

#include "consul-bridge/base64.hpp"
#include "consul-bridge/desired.hpp"
#include "consul-bridge/root_value.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <optional>

namespace pgpulse::support {
namespace {

using consul_bridge::Check;
using consul_bridge::Held;
using nlohmann::json;

constexpr std::string_view kPrefix = "health/";

std::string target_of_key(const json& kv) { return kv.at("Key").get<std::string>().substr(kPrefix.size()); }

template <typename Entry>
std::uint64_t index_of(const std::optional<Entry>& entry) {
    return entry ? entry->index : 0;
}

bool is_root(const json& kv) { return !kv.at("Key").get_ref<const std::string&>().starts_with(kPrefix); }

/// Stores or removes one key.
template <typename Entry>
std::optional<std::string> apply_kv(const json& fields, std::optional<Entry>& to, auto make) {
    const std::string verb = fields.at("Verb");
    if (index_of(to) != fields.at("Index")) return "index is stale";
    if (verb == "cas") {
        auto decoded = consul_bridge::base64_decode(fields.at("Value").get_ref<const std::string&>());
        if (!decoded) return "value is no base64";
        to = make(std::move(*decoded));
    } else if (verb == "delete-cas") {
        to.reset();
    } else if (verb != "check-index") {
        return "unknown verb " + verb;
    }
    return std::nullopt;
}

/// Does one operation, or says why not. `index` is the transaction's.
std::optional<std::string> apply(const json& operation, std::uint64_t index, consul_bridge::Snapshot& to) {
    const std::string kind = operation.begin().key();
    const json& fields = operation.begin().value();
    const std::string verb = fields.at("Verb");
    if (kind == "KV") {
        if (is_root(fields)) {
            const std::string target = fields.at("Key");
            return apply_kv(fields, to[target].root, [&](std::string value) {
                const auto author = consul_bridge::author_of_root_value(target, value);
                return Held::HeldRoot{std::move(value), author, index};
            });
        }
        const std::string target = target_of_key(fields);
        return apply_kv(fields, to[target].value, [&](std::string value) {
            const auto stamp = consul_bridge::stamp_of(target, value);
            return Held::HeldValue{std::move(value), stamp, index};
        });
    }
    if (kind == "Node") {
        const json& node = fields.at("Node");
        Held& held = to[node.at("Node")];
        if (index_of(held.node) != node.at("ModifyIndex")) return "index is stale";
        if (verb == "cas") {
            held.node = Held::HeldNode{{node.at("Address"), node.at("Meta")}, index};
        } else {
            held.node.reset();
            held.service.reset();
            held.checks.clear();
        }
        return std::nullopt;
    }
    if (kind == "Service") {
        Held& held = to[fields.at("Node")];
        if (!held.node) return "Missing node registration";
        const json& service = fields.at("Service");
        held.service = {service.at("Service"), service.at("Address"), service.at("Port"), service.at("Tags"),
                        service.at("Meta")};
        return std::nullopt;
    }
    const json& check = fields.at("Check");
    Held& held = to[check.at("Node")];
    const std::string id = check.at("CheckID");
    std::erase_if(held.checks, [&](const Check& there) { return there.id == id; });
    if (verb == "delete") return std::nullopt;
    if (!held.node) return "Missing node registration";
    if (!held.service) return "Missing service registration";
    held.checks.push_back({id, check.at("Name"), check.at("Status"), check.at("Output"),
                           check.at("ServiceName"), held.service->tags});
    std::ranges::sort(held.checks, {}, &Check::id);
    return std::nullopt;
}

/// True where only the indexes differ.
bool same_but_for_indexes(Held before, Held after) {
    for (Held* held : {&before, &after}) {
        if (held->node) held->node->index = 0;
        if (held->value) held->value->index = 0;
        if (held->root) held->root->index = 0;
    }
    return before == after;
}

std::string target_of(const json& operation) {
    const std::string kind = operation.begin().key();
    const json& fields = operation.begin().value();
    if (kind == "KV") return is_root(fields) ? fields.at("Key").get<std::string>() : target_of_key(fields);
    if (kind == "Node") return fields.at("Node").at("Node");
    if (kind == "Service") return fields.at("Node");
    return fields.at("Check").at("Node");
}

bool is_guard(const json& operation) {
    return operation.contains("KV") && operation.at("KV").at("Verb") == "check-index";
}

}  // namespace

consul_bridge::TransactionOutcome ConsulModel::execute(const std::string& body) {
    const json operations = json::parse(body);
    consul_bridge::Snapshot changed = contents_;
    const std::uint64_t index = ++index_;
    json errors = json::array();
    json results = json::array();
    std::size_t writes = 0;
    std::size_t idle_writes = 0;
    for (std::size_t i = 0; i < operations.size(); ++i) {
        const std::string target = target_of(operations[i]);
        const Held before = changed[target];
        if (const auto fault = apply(operations[i], index, changed)) {
            errors.push_back({{"OpIndex", i}, {"What", *fault}});
            continue;
        }
        if (!is_guard(operations[i])) {
            ++writes;
            idle_writes += same_but_for_indexes(before, changed[target]) ? 1 : 0;
        }
        if (operations[i].contains("KV")) {
            const json& kv = operations[i].at("KV");
            const auto held = is_root(kv) ? index_of(changed[kv.at("Key")].root)
                                          : index_of(changed[target_of_key(kv)].value);
            if (held != 0) results.push_back({{"KV", {{"Key", kv.at("Key")}, {"ModifyIndex", held}}}});
        } else if (operations[i].contains("Node")) {
            const std::string name = operations[i].at("Node").at("Node").at("Node");
            if (changed[name].node) results.push_back({{"Node", {{"Node", name}, {"ModifyIndex", index}}}});
        }
    }
    if (!errors.empty()) return consul_bridge::read_outcome(409, json{{"Errors", errors}}.dump());
    contents_ = std::move(changed);
    writes_ += writes;
    idle_writes_ += idle_writes;
    return consul_bridge::read_outcome(200, json{{"Results", results}}.dump());
}

consul_bridge::Snapshot ConsulModel::everything() const {
    consul_bridge::Snapshot snapshot;
    for (const auto& [target, held] : contents_) {
        Held seen;
        seen.value = held.value;
        const bool ours = held.node && held.node->node.meta.contains("managed-by") &&
                          held.node->node.meta.at("managed-by") == "pgpulse";
        if (ours) {
            seen.node = held.node;
            seen.service = held.service;
            seen.checks = held.checks;
        }
        if (seen != Held{}) seen.root = held.root;
        if (seen != Held{}) snapshot[target] = seen;
    }
    return snapshot;
}

consul_bridge::Snapshot ConsulModel::read(const std::vector<std::string>& targets) const {
    consul_bridge::Snapshot snapshot;
    for (const std::string& target : targets) {
        if (const auto it = contents_.find(target); it != contents_.end()) snapshot.insert(*it);
    }
    return snapshot;
}

}  // namespace pgpulse::support
