#include "consul-bridge/root_value.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace pgpulse::consul_bridge {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

/// `date '+%d/%m/%Y %H:%M:%S'`
std::string old_date(contract::WallTime time) {
    const std::string rfc3339 = contract::to_rfc3339(time);  // 2026-01-02T14:03:11.500000Z
    return rfc3339.substr(8, 2) + "/" + rfc3339.substr(5, 2) + "/" + rfc3339.substr(0, 4) + " " +
           rfc3339.substr(11, 8);
}

bool is_old_date(std::string_view text) {
    constexpr std::string_view kForm = "00/00/0000 00:00:00";
    return text.size() == kForm.size() && std::ranges::equal(text, kForm, [](char c, char form) {
               return form == '0' ? c >= '0' && c <= '9' : c == form;
           });
}

/// What Consul's API gives for a check of which only the status is known.
ordered_json no_definition() {
    return {{"Interval", "0s"}, {"Timeout", "0s"},        {"DeregisterCriticalServiceAfter", "0s"},
            {"HTTP", ""},       {"Header", nullptr},      {"Method", ""},
            {"Body", ""},       {"TLSSkipVerify", false}, {"TCP", ""}};
}

ordered_json to_json(std::string_view target, const Check& check) {
    return {{"Node", target},
            {"CheckID", check.id},
            {"Name", check.name},
            {"Status", check.status},
            {"Notes", ""},
            {"Output", check.output},
            {"ServiceID", target},
            {"ServiceName", check.service_name},
            {"ServiceTags", check.service_tags},
            {"Type", ""},
            {"Definition", no_definition()}};
}

/// True where all checks are objects of which `test` holds.
template <typename Test>
bool all_checks(const json& payload, Test test) {
    return std::ranges::all_of(payload, [&](const json& check) { return check.is_object() && test(check); });
}

bool says(const json& check, const char* key, std::string_view text) {
    const auto it = check.find(key);
    return it != check.end() && it->is_string() && *it == text;
}

/// The handler's text around a payload that has lost its backslashes, and so mostly is no JSON.
bool is_handlers_text(std::string_view target, std::string_view value) {
    constexpr std::string_view kBefore = R"({ "updated_at": ")";
    constexpr std::string_view kBetween = R"(", "payload": )";
    constexpr std::string_view kAfter = " }";
    constexpr std::size_t kDate = 19;
    if (!value.starts_with(kBefore)) return false;
    value.remove_prefix(kBefore.size());
    if (value.size() < kDate || !is_old_date(value.substr(0, kDate))) return false;
    value.remove_prefix(kDate);
    if (!value.starts_with(kBetween) || !value.ends_with(kAfter)) return false;
    value.remove_prefix(kBetween.size());
    if (value.size() < kAfter.size()) return false;
    value.remove_suffix(kAfter.size());
    if (!value.starts_with('[') || !value.ends_with(']')) return false;
    const std::string service = R"("ServiceName":")" + std::string{target} + '"';
    return value == "[]" || value.find(service) != std::string_view::npos;
}

}  // namespace

std::string root_value(std::string_view target, contract::WallTime decided_at,
                       const std::vector<Check>& checks) {
    ordered_json payload = ordered_json::array();
    for (const Check& check : checks) payload.push_back(to_json(target, check));
    const ordered_json value{{"updated_at", old_date(decided_at)}, {"payload", std::move(payload)}};
    return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

RootAuthor author_of_root_value(std::string_view target, std::string_view value) {
    if (is_handlers_text(target, value)) return RootAuthor::old_pipeline;
    const json parsed = json::parse(value, nullptr, false);
    if (!parsed.is_object() || parsed.size() != 2) return RootAuthor::other;
    const auto updated_at = parsed.find("updated_at");
    const auto payload = parsed.find("payload");
    const bool form = updated_at != parsed.end() && updated_at->is_string() &&
                      is_old_date(updated_at->get_ref<const std::string&>()) && payload != parsed.end() &&
                      payload->is_array() && !payload->empty();
    if (!form) return RootAuthor::other;
    if (all_checks(*payload, [&](const json& check) {
            return says(check, "Node", target) && says(check, "ServiceID", target);
        })) {
        return RootAuthor::bridge;
    }
    return all_checks(*payload, [&](const json& check) { return says(check, "ServiceName", target); })
               ? RootAuthor::old_pipeline
               : RootAuthor::other;
}

}  // namespace pgpulse::consul_bridge
