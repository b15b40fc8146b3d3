#include "consul-bridge/desired.hpp"

#include "common/contract/json_text.hpp"
#include "common/contract/vocabulary.hpp"
#include "consul-bridge/root_value.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace pgpulse::consul_bridge {
namespace {

using contract::Health;

/// Of most values.
constexpr std::size_t kValueBytes = 512;

constexpr std::string_view kPassing = "passing";
constexpr std::string_view kWarning = "warning";
constexpr std::string_view kCritical = "critical";

std::string_view status_of(Health health) {
    switch (health) {
        case Health::up:
            return kPassing;
        case Health::down:
            return kCritical;
        case Health::unknown:
            break;
    }
    return kWarning;
}

/// A second's precision is enough for a person: "2026-01-02T14:03:11Z".
std::string seconds_only(contract::WallTime time) {
    return contract::to_rfc3339(time).substr(0, std::string_view{"2026-01-02T14:03:11"}.size()) + "Z";
}

std::string_view observation(const contract::State& state) {
    if (state.state == Health::unknown && state.reason == contract::Reason::ok) return "not known";
    return contract::in_words(state.reason);
}

/// "down since 2026-01-02T14:03:11Z: connection refused, seen by 3 of 3 observers"
std::string readiness(const contract::State& state) {
    std::string text{to_string(state.state)};
    text += " since " + seconds_only(state.since) + ": ";
    text += observation(state);
    if (state.state == Health::unknown || state.evidence.empty()) return text;
    const auto opinion = state.state == Health::up ? contract::Opinion::up : contract::Opinion::down;
    const auto agree = std::ranges::count(state.evidence, opinion, &contract::Evidence::opinion);
    const std::size_t all = state.evidence.size();
    text += ", seen by " + std::to_string(agree) + " of " + std::to_string(all);
    text += all == 1 ? " observer" : " observers";
    return text;
}

std::string listed(const std::vector<std::string>& names) {
    std::string text;
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (i > 0) text += i + 1 < names.size() ? ", " : " and ";
        text += names[i];
    }
    return text;
}

/// "is primary, and db2 claims to be as well; expected replica"
std::string role_in_words(contract::Role role, contract::Role expected, const contract::State& state) {
    std::string text = "is " + std::string{to_string(role)};
    if (!state.conflicts_with.empty()) {
        text += ", and " + listed(state.conflicts_with) +
                (state.conflicts_with.size() == 1 ? " claims to be as well" : " claim to be as well");
    }
    if (role != expected) text += "; expected " + std::string{to_string(expected)};
    return text;
}

Check role_check(const contract::TargetDefinition& definition, contract::Role expected_role,
                 const contract::State& state) {
    const std::string_view expected = to_string(expected_role);
    Check check;
    check.id = definition.name + "-is" + std::string{expected};
    check.name = "PG is " + std::string{expected};
    check.service_name = definition.service;
    if (state.state != Health::up) {
        check.status = status_of(state.state);
        check.output = readiness(state);
    } else if (!state.role) {
        check.status = kWarning;
        check.output = "the role is not known; expected " + std::string{expected};
    } else {
        check.status = *state.role == expected_role ? kPassing : kCritical;
        check.output = role_in_words(*state.role, expected_role, state);
    }
    return check;
}

std::string maintenance_in_words(const contract::State& state) {
    std::string text = "under maintenance";
    if (state.maintenance_until) text += " until " + seconds_only(*state.maintenance_until);
    return text;
}

/// The check as the last word of a pipeline that has fallen silent.
void make_stale(Check& check, const Stale& stale) {
    check.status = kWarning;
    check.output =
        "stale since " + seconds_only(stale.since) + ": " + stale.why + "; last known: " + check.output;
}

/// A role that is known is the only one among the tags, so that `primary.<service>.service.consul` names no
/// replica whatever the definition says.
std::vector<std::string> tags_of(const contract::TargetDefinition& definition, const contract::State& state) {
    std::vector<std::string> tags = definition.tags;
    if (!state.role) return tags;
    const std::string role{to_string(*state.role)};
    std::erase_if(tags, [&role](const std::string& tag) { return tag != role && contract::parse_role(tag); });
    if (std::ranges::find(tags, role) == tags.end()) tags.push_back(role);
    return tags;
}

std::vector<Check> checks_of(const contract::TargetDefinition& definition, const contract::State& state,
                             const std::vector<std::string>& tags, const std::optional<Stale>& stale) {
    std::vector<Check> checks;
    checks.push_back({definition.name + "-isready",
                      "PG is ready",
                      std::string{status_of(state.state)},
                      readiness(state),
                      definition.service,
                      {}});
    if (definition.expect_role) checks.push_back(role_check(definition, *definition.expect_role, state));
    if (stale) {
        for (Check& check : checks) make_stale(check, *stale);
    }
    if (state.maintenance) {
        // The id and name by which Consul's own programs know a service under maintenance.
        checks.push_back({"_service_maintenance:" + definition.name,
                          "Service Maintenance Mode",
                          std::string{kCritical},
                          maintenance_in_words(state),
                          definition.service,
                          {}});
    }
    for (Check& check : checks) check.service_tags = tags;
    std::ranges::sort(checks, {}, &Check::id);
    return checks;
}

std::string value_of(const contract::TargetDefinition& definition, const contract::State& state,
                     const Stamp& stamp, const std::optional<Stale>& stale) {
    namespace json_text = contract::json_text;
    json_text::Object json{kValueBytes};
    json.number("v", contract::kVersion);
    json.text("target", definition.name);
    json.text("state", to_string(state.state));
    json.text("reason", to_string(state.reason));
    json.text("since", contract::to_rfc3339(state.since));
    json.number("transition", state.transition);
    if (state.previous) json.text("previous", to_string(*state.previous));
    if (state.role) json.text("role", to_string(*state.role));
    if (state.role_unexpected) json.truth("role_unexpected", true);
    if (state.writable) json.truth("writable", *state.writable);
    if (!state.conflicts_with.empty()) json.json("conflicts_with", json_text::value(state.conflicts_with));
    if (state.restarts > 0) json.number("restarts", state.restarts);
    if (state.maintenance) json.truth("maintenance", true);
    if (stale) json.text("stale_since", contract::to_rfc3339(stale->since));
    json.text("service", definition.service);
    json.text("address", definition.address);
    json.number("port", definition.port);
    json.text("updated_at", contract::to_rfc3339(state.decided_at));
    json.text("epoch", contract::to_rfc3339(stamp.epoch));
    json.number("revision", stamp.revision);
    return std::move(json).finish();
}

}  // namespace

std::vector<std::string> check_ids_of(std::string_view target) {
    const std::string name{target};
    return {"_service_maintenance:" + name, name + "-isprimary", name + "-isready", name + "-isreplica"};
}

bool is_check_of(std::string_view target, std::string_view check_id) {
    const auto ids = check_ids_of(target);
    return std::ranges::find(ids, check_id) != ids.end();
}

Documents desired(const contract::TargetDefinition& definition, const contract::State& state,
                  const Stamp& stamp, const std::optional<Stale>& stale, Compat compat) {
    Documents documents;
    documents.node.address = definition.address;
    documents.node.meta = {{"external-node", "true"},
                           {"external-probe", "false"},
                           {std::string{kManagedByKey}, std::string{kManagedByValue}}};
    documents.service.name = definition.service;
    documents.service.address = definition.address;
    documents.service.port = definition.port;
    documents.service.tags = tags_of(definition, state);
    documents.service.meta = definition.meta;
    documents.checks = checks_of(definition, state, documents.service.tags, stale);
    documents.value = value_of(definition, state, stamp, stale);
    documents.stamp = stamp;
    if (compat == Compat::consul_postgres) {
        documents.root_value = root_value(definition.name, state.decided_at, documents.checks);
    }
    return documents;
}

std::optional<Stamp> stamp_of(std::string_view target, std::string_view value) {
    const auto json = nlohmann::json::parse(value, nullptr, false);
    if (!json.is_object()) return std::nullopt;
    const auto is = [&json](const char* key, auto&& test) {
        const auto it = json.find(key);
        return it != json.end() && test(*it);
    };
    const bool ours =
        is("v", [](const auto& v) { return v == contract::kVersion; }) &&
        is("target", [target](const auto& name) { return name.is_string() && name == target; }) &&
        is("epoch", [](const auto& epoch) { return epoch.is_string(); }) &&
        is("revision", [](const auto& revision) { return revision.is_number_unsigned(); });
    if (!ours) return std::nullopt;
    const auto epoch = contract::parse_rfc3339(json["epoch"].get_ref<const std::string&>());
    if (!epoch) return std::nullopt;
    return Stamp{*epoch, json["revision"].get<std::uint64_t>()};
}

}  // namespace pgpulse::consul_bridge
