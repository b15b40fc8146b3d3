#include "consul-bridge/self_service.hpp"

#include "consul-bridge/http_status.hpp"
#include "consul-bridge/transaction.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace pgpulse::consul_bridge {
namespace {

using nlohmann::json;

constexpr std::size_t kLongestName = 63;

// In the service's meta.
constexpr const char* kRun = "run";
constexpr const char* kVersion = "version";
constexpr const char* kKvPrefix = "kv-prefix";

std::string text(const json& object, const char* key) {
    if (!object.is_object()) return {};
    const auto it = object.find(key);
    return it != object.end() && it->is_string() ? it->get<std::string>() : std::string{};
}

const json& part(const json& object, const char* key) {
    static const json kNone;
    if (!object.is_object()) return kNone;
    const auto it = object.find(key);
    return it != object.end() ? *it : kNone;
}

bool all_pass(const json& checks) {
    return checks.is_array() &&
           std::ranges::all_of(checks, [](const json& check) { return text(check, "Status") == "passing"; });
}

}  // namespace

std::optional<std::string> fault_of_service_name(std::string_view name) {
    const bool characters = std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
               c == '_';
    });
    if (characters && name.size() <= kLongestName) return std::nullopt;
    return "expected at most 63 letters, digits, '-' and '_', or nothing, found '" + std::string{name} + "'";
}

std::string registration_of(const SelfService& service, bool passing) {
    json body = {
        {"ID", service.id()},
        {"Name", service.name},
        {"Meta",
         {{std::string{kManagedByKey}, std::string{kManagedByValue}},
          {kVersion, service.version},
          {kRun, service.run},
          {kKvPrefix, service.kv_prefix}}},
        {"Check",
         {{"CheckID", service.check_id()},
          {"Name", "The pipeline is alive"},
          {"TTL", "10s"},
          {"Status", passing ? "passing" : "critical"},
          {"DeregisterCriticalServiceAfter", "72h"}}},
    };
    if (!service.address.empty()) body["Address"] = service.address;
    if (service.port != 0) body["Port"] = service.port;
    return body.dump();
}

std::string update_of(const OwnCheck& check) {
    return json{{"Status", check.passing ? "passing" : "critical"}, {"Output", check.output}}.dump();
}

tl::expected<Holder, std::string> read_holder(const SelfService& service, long http_status,
                                              std::string_view body) {
    if (http_status == kNotFound) return Holder::nobody;
    if (http_status != kOk) return tl::unexpected(refusal_of(service, http_status, body));
    const json held = json::parse(body, nullptr, false);
    const json& meta = part(held, "Meta");
    if (text(meta, std::string{kManagedByKey}.c_str()) != kManagedByValue) return Holder::somebody_else;
    return text(meta, kRun) == service.run ? Holder::this_run : Holder::another_run;
}

tl::expected<bool, std::string> read_others(const SelfService& service, long http_status,
                                            std::string_view body) {
    if (http_status != kOk) return tl::unexpected(refusal_of(service, http_status, body));
    const json instances = json::parse(body, nullptr, false);
    if (!instances.is_array()) return tl::unexpected(std::string{"HTTP 200 without a list of instances"});
    bool own = false;
    bool one_passes = false;
    for (const json& instance : instances) {
        const json& entry = part(instance, "Service");
        if (text(entry, "ID") == service.id()) {
            own = true;
        } else if (text(part(entry, "Meta"), kKvPrefix) == service.kv_prefix) {
            one_passes = one_passes || all_pass(part(instance, "Checks"));
        }
    }
    if (!own) {
        return tl::unexpected(
            std::string{"Consul does not show this bridge: where ACLs are on, the rule node_prefix \"\" "
                        "{ policy = \"read\" } may be missing"});
    }
    return one_passes;
}

std::string refusal_of(const SelfService& service, long http_status, std::string_view body) {
    std::string line = describe(http_status, body);
    if (http_status == kForbidden) {
        line += "; the rule service \"" + service.name + "\" { policy = \"write\" } is missing";
    }
    return line;
}

}  // namespace pgpulse::consul_bridge
