#include "common/contract/state.hpp"

#include "common/contract/names.hpp"

#include <nlohmann/json.hpp>

#include <limits>

namespace pgpulse::contract {
namespace {

using nlohmann::json;

/// Thrown inside this file only, where it unwinds nested reads; `decode_state` turns it into a value.
struct FieldFault {
    std::string field;
};

const json* find(const json& object, const char* key) {
    const auto it = object.find(key);
    return it == object.end() || it->is_null() ? nullptr : &*it;
}

const json& need(const json& object, const char* key) {
    const json* value = find(object, key);
    if (value == nullptr) throw FieldFault{key};
    return *value;
}

std::string text_of(const json& object, const char* key) {
    const json& value = need(object, key);
    if (!value.is_string()) throw FieldFault{key};
    return value.get<std::string>();
}

std::string optional_text(const json& object, const char* key) {
    return find(object, key) == nullptr ? std::string{} : text_of(object, key);
}

std::uint64_t count(const json& object, const char* key) {
    const json& value = need(object, key);
    if (!value.is_number_unsigned()) throw FieldFault{key};
    return value.get<std::uint64_t>();
}

bool truth(const json& object, const char* key) {
    const json& value = need(object, key);
    if (!value.is_boolean()) throw FieldFault{key};
    return value.get<bool>();
}

template <typename Parse>
auto word(const json& object, const char* key, Parse parse) {
    const auto value = parse(text_of(object, key));
    if (!value) throw FieldFault{key};
    return *value;
}

template <typename Parse>
auto optional_word(const json& object, const char* key, Parse parse) {
    using Value = decltype(parse(std::string_view{}));
    return find(object, key) == nullptr ? Value{} : Value{word(object, key, parse)};
}

Evidence read_evidence(const json& object) {
    if (!object.is_object()) throw FieldFault{"evidence"};
    Evidence evidence;
    evidence.worker = text_of(object, "worker");
    if (!is_member_id(evidence.worker)) throw FieldFault{"worker"};
    evidence.site = optional_text(object, "site");
    evidence.opinion = word(object, "opinion", parse_opinion);
    evidence.verdict = word(object, "verdict", parse_verdict);
    evidence.reason = word(object, "reason", parse_reason);
    evidence.sqlstate = optional_text(object, "sqlstate");
    if (find(object, "rtt_us") != nullptr) {
        const std::uint64_t rtt_us = count(object, "rtt_us");
        if (rtt_us > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
            throw FieldFault{"rtt_us"};
        evidence.rtt_us = static_cast<std::int64_t>(rtt_us);
    }
    evidence.at = word(object, "at", parse_rfc3339);
    return evidence;
}

State read_state(const json& object) {
    State state;
    state.target = text_of(object, "target");
    state.state = word(object, "state", parse_health);
    state.since = word(object, "since", parse_rfc3339);
    state.transition = count(object, "transition");
    if (state.transition == 0) throw FieldFault{"transition"};
    state.previous = optional_word(object, "previous", parse_health);
    state.reason = word(object, "reason", parse_reason);
    state.role = optional_word(object, "role", parse_role);
    if (find(object, "writable") != nullptr) state.writable = truth(object, "writable");
    state.started_at = optional_word(object, "started_at", parse_rfc3339);
    state.crashed_at = optional_word(object, "crashed_at", parse_rfc3339);
    state.restarts = count(object, "restarts");
    state.maintenance = truth(object, "maintenance");
    state.maintenance_until = optional_word(object, "maintenance_until", parse_rfc3339);
    if (const json* names = find(object, "conflicts_with")) {
        if (!names->is_array()) throw FieldFault{"conflicts_with"};
        for (const json& name : *names) {
            if (!name.is_string() || !is_target_name(name.get_ref<const std::string&>()))
                throw FieldFault{"conflicts_with"};
            state.conflicts_with.push_back(name.get<std::string>());
        }
    }
    if (find(object, "role_unexpected") != nullptr) state.role_unexpected = truth(object, "role_unexpected");
    if (const json* words = find(object, "changed")) {
        if (!words->is_array()) throw FieldFault{"changed"};
        for (const json& entry : *words) {
            const auto change =
                entry.is_string() ? parse_change(entry.get_ref<const std::string&>()) : std::nullopt;
            if (!change) throw FieldFault{"changed"};
            state.changed.set(static_cast<std::size_t>(*change));
        }
    }
    const json& evidence = need(object, "evidence");
    if (!evidence.is_array()) throw FieldFault{"evidence"};
    for (const json& entry : evidence) state.evidence.push_back(read_evidence(entry));
    state.decided_by = text_of(object, "decided_by");
    state.decided_at = word(object, "decided_at", parse_rfc3339);
    return state;
}

nlohmann::ordered_json to_json(const Evidence& evidence) {
    nlohmann::ordered_json json{{"worker", evidence.worker}};
    if (!evidence.site.empty()) json["site"] = evidence.site;
    json["opinion"] = to_string(evidence.opinion);
    json["verdict"] = to_string(evidence.verdict);
    json["reason"] = to_string(evidence.reason);
    if (!evidence.sqlstate.empty()) json["sqlstate"] = evidence.sqlstate;
    if (evidence.rtt_us) json["rtt_us"] = *evidence.rtt_us;
    json["at"] = to_rfc3339(evidence.at);
    return json;
}

}  // namespace

std::string encode(const State& state) {
    nlohmann::ordered_json json{
        {"v", kVersion},
        {"target", state.target},
        {"state", to_string(state.state)},
        {"since", to_rfc3339(state.since)},
        {"transition", state.transition},
    };
    if (state.previous) json["previous"] = to_string(*state.previous);
    json["reason"] = to_string(state.reason);
    if (state.role) json["role"] = to_string(*state.role);
    if (state.writable) json["writable"] = *state.writable;
    if (state.started_at) json["started_at"] = to_rfc3339(*state.started_at);
    if (state.crashed_at) json["crashed_at"] = to_rfc3339(*state.crashed_at);
    json["restarts"] = state.restarts;
    json["maintenance"] = state.maintenance;
    if (state.maintenance_until) json["maintenance_until"] = to_rfc3339(*state.maintenance_until);
    json["conflicts_with"] = state.conflicts_with;
    if (state.role_unexpected) json["role_unexpected"] = true;
    json["changed"] = nlohmann::ordered_json::array();
    for (std::size_t i = 0; i < kChanges; ++i) {
        if (state.changed.test(i)) json["changed"].push_back(to_string(static_cast<Change>(i)));
    }
    json["evidence"] = nlohmann::ordered_json::array();
    for (const Evidence& evidence : state.evidence) json["evidence"].push_back(to_json(evidence));
    json["decided_by"] = state.decided_by;
    json["decided_at"] = to_rfc3339(state.decided_at);
    return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

tl::expected<State, Refusal> decode_state(std::string_view target, std::string_view value) {
    if (value.size() > kMaxPayloadBytes)
        return tl::unexpected(Refusal{Refusal::Cause::too_large, "value over 64 KiB"});
    const json object = json::parse(value, nullptr, false);
    if (object.is_discarded() || !object.is_object()) {
        return tl::unexpected(Refusal{Refusal::Cause::not_json, "not a JSON object"});
    }
    const auto v = object.find("v");
    if (v == object.end() || !v->is_number_integer()) {
        return tl::unexpected(Refusal{Refusal::Cause::field, "field 'v': missing or mistyped"});
    }
    if (*v != kVersion) {
        return tl::unexpected(Refusal{Refusal::Cause::version, "field 'v': this program reads version 1"});
    }
    try {
        State state = read_state(object);
        if (state.target != target) {
            return tl::unexpected(Refusal{Refusal::Cause::subject, "field 'target' disagrees with the key"});
        }
        return state;
    } catch (const FieldFault& fault) {
        return tl::unexpected(
            Refusal{Refusal::Cause::field, "field '" + fault.field + "': missing or mistyped"});
    }
}

}  // namespace pgpulse::contract
