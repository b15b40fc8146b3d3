#include "common/contract/state.hpp"

#include "common/contract/json_text.hpp"
#include "common/contract/plain_json.hpp"
#include "common/contract/state_reader.hpp"

#include <bitset>
#include <utility>

namespace pgpulse::contract {
namespace {

/// Of what is written, without its evidence and of each piece of that.
constexpr std::size_t kStateBytes = 512;
constexpr std::size_t kEvidenceBytes = 192;

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
    auto reader = read_json<StateReader>(value);
    if (!reader.finish())
        return tl::unexpected(
            reader.refusal.value_or(Refusal{Refusal::Cause::not_json, "not a JSON object"}));
    if (reader.state.target != target)
        return tl::unexpected(Refusal{Refusal::Cause::subject, "field 'target' disagrees with the key"});
    return std::move(reader.state);
}

}  // namespace pgpulse::contract
