#include "common/contract/state.hpp"

#include "common/contract/json_text.hpp"
#include "common/contract/names.hpp"

#include <nlohmann/json.hpp>

#include <bitset>
#include <limits>
#include <utility>

namespace pgpulse::contract {
namespace {

using nlohmann::json;

/// Of what is written, without its evidence and of each piece of that.
constexpr std::size_t kStateBytes = 512;
constexpr std::size_t kEvidenceBytes = 192;

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

std::string to_json(const Evidence& evidence) {
    json_text::Object json{kEvidenceBytes};
    json.text("worker", evidence.worker);
    if (!evidence.site.empty()) json.text("site", evidence.site);
    json.text("opinion", to_string(evidence.opinion));
    json.text("verdict", to_string(evidence.verdict));
    json.text("reason", to_string(evidence.reason));
    if (!evidence.sqlstate.empty()) json.text("sqlstate", evidence.sqlstate);
    if (evidence.rtt_us) json.number("rtt_us", *evidence.rtt_us);
    json.text("at", to_rfc3339(evidence.at));
    return std::move(json).finish();
}

std::string to_json(const std::vector<Evidence>& evidence) {
    std::string json = "[";
    for (const Evidence& one : evidence) {
        if (json.size() > 1) json += ',';
        json += to_json(one);
    }
    json += ']';
    return json;
}

std::string words(const std::bitset<kChanges>& changed) {
    std::vector<std::string> words;
    for (std::size_t i = 0; i < kChanges; ++i) {
        if (changed.test(i)) words.emplace_back(to_string(static_cast<Change>(i)));
    }
    return json_text::value(words);
}

}  // namespace

std::string encode(const State& state) {
    json_text::Object json{kStateBytes + state.evidence.size() * kEvidenceBytes};
    json.number("v", kVersion);
    json.text("target", state.target);
    json.text("state", to_string(state.state));
    json.text("since", to_rfc3339(state.since));
    json.number("transition", state.transition);
    if (state.previous) json.text("previous", to_string(*state.previous));
    json.text("reason", to_string(state.reason));
    if (state.role) json.text("role", to_string(*state.role));
    if (state.writable) json.truth("writable", *state.writable);
    if (state.started_at) json.text("started_at", to_rfc3339(*state.started_at));
    if (state.crashed_at) json.text("crashed_at", to_rfc3339(*state.crashed_at));
    json.number("restarts", state.restarts);
    json.truth("maintenance", state.maintenance);
    if (state.maintenance_until) json.text("maintenance_until", to_rfc3339(*state.maintenance_until));
    json.json("conflicts_with", json_text::value(state.conflicts_with));
    if (state.role_unexpected) json.truth("role_unexpected", true);
    json.json("changed", words(state.changed));
    json.json("evidence", to_json(state.evidence));
    json.text("decided_by", state.decided_by);
    json.text("decided_at", to_rfc3339(state.decided_at));
    return std::move(json).finish();
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
