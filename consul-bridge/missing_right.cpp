#include "consul-bridge/missing_right.hpp"

#include "consul-bridge/http_status.hpp"

namespace pgpulse::consul_bridge {
namespace {

/// The same words from 1.8, which says no more, to 1.2x, which goes on with the accessor and the right.
constexpr std::string_view kDenied = "Permission denied";
constexpr std::string_view kNoToken = "ACL not found";

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

std::string rule(std::string_view resource, std::string_view name) {
    return std::string{resource} + " \"" + std::string{name} + "\" { policy = \"write\" }";
}

MissingRight key(std::string_view verb, const std::string& name, std::string_view prefix) {
    return {Resource::key, std::string{verb} + " KV key '" + name + "'",
            name.starts_with(prefix) ? rule("key_prefix", prefix) : rule("key", name)};
}

MissingRight node(std::string deed, const std::string& name) {
    return {Resource::node, std::move(deed), rule("node", name)};
}

MissingRight service(std::string deed, const std::string& name) {
    return {Resource::service, std::move(deed), rule("service", name)};
}

struct Rights {
    std::string_view prefix;

    MissingRight operator()(const PutValue& put) const { return key("writing", put.key, prefix); }
    MissingRight operator()(const GuardValue& guard) const { return key("writing", guard.key, prefix); }
    MissingRight operator()(const DeleteValue& remove) const { return key("deleting", remove.key, prefix); }
    MissingRight operator()(const PutRoot& put) const { return key("writing", put.target, prefix); }
    MissingRight operator()(const DeleteRoot& remove) const { return key("deleting", remove.target, prefix); }
    MissingRight operator()(const PutNode& put) const {
        return node("writing node '" + put.name + "'", put.name);
    }
    MissingRight operator()(const DeleteNode& remove) const {
        return node("deleting node '" + remove.name + "'", remove.name);
    }
    MissingRight operator()(const PutService& put) const {
        return service("writing service '" + put.service.name + "' of node '" + put.node + "'",
                       put.service.name);
    }
    MissingRight operator()(const PutCheck& put) const {
        return service("writing check '" + put.check.id + "'", put.check.service_name);
    }
    /// It names no service, so Consul asks for its node.
    MissingRight operator()(const DeleteCheck& remove) const {
        return node("deleting check '" + remove.id + "'", remove.node);
    }
};

}  // namespace

bool is_denied(std::string_view what) { return contains(what, kDenied) || contains(what, kNoToken); }

MissingRight right_for(const Operation& operation, std::string_view kv_prefix) {
    return std::visit(Rights{kv_prefix}, operation);
}

std::optional<std::string> fault_of_token(long http_status, std::string_view body) {
    // A client agent passes a server's refusal on as a failure of its own.
    if (contains(body, kNoToken)) {
        return "there is no such token; see CONSUL_HTTP_TOKEN and the token file";
    }
    if (http_status == kForbidden || contains(body, kDenied)) {
        return "the token lacks a right; see docs/consul-rights.md";
    }
    return std::nullopt;
}

}  // namespace pgpulse::consul_bridge
