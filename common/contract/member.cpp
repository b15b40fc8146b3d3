#include "common/contract/member.hpp"

#include "common/contract/names.hpp"

#include <nlohmann/json.hpp>

namespace pgpulse::contract {
namespace {

using nlohmann::json;

tl::unexpected<Refusal> refuse(Refusal::Cause cause, std::string detail) {
    return tl::unexpected(Refusal{cause, std::move(detail)});
}

tl::unexpected<Refusal> refuse_field(std::string_view field) {
    return refuse(Refusal::Cause::field, "field '" + std::string{field} + "': missing or mistyped");
}

/// The text of a field; empty where it is missing, null or no text.
std::string_view text(const json& object, const char* key) {
    const auto it = object.find(key);
    if (it == object.end() || !it->is_string()) return {};
    return it->get_ref<const std::string&>();
}

}  // namespace

std::string member_key(MemberKind kind, std::string_view id) {
    return std::string{to_string(kind)} + "." + std::string{id};
}

std::optional<MemberKey> parse_member_key(std::string_view key) {
    const auto dot = key.find('.');
    if (dot == std::string_view::npos) return std::nullopt;
    const auto kind = parse_member_kind(key.substr(0, dot));
    const auto id = key.substr(dot + 1);
    if (!kind || !is_member_id(id)) return std::nullopt;
    return MemberKey{*kind, id};
}

std::string encode(const Member& member) {
    nlohmann::ordered_json json{
        {"v", kVersion},
        {"kind", to_string(member.kind)},
        {"id", member.id},
        {"run", member.run},
    };
    if (!member.site.empty()) json["site"] = member.site;
    json["phase"] = to_string(member.phase);
    return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

tl::expected<Member, Refusal> decode_member(std::string_view key, std::string_view value) {
    const auto parts = parse_member_key(key);
    if (!parts) return refuse(Refusal::Cause::subject, "key is not <kind>.<id>");
    if (value.size() > kMaxPayloadBytes) return refuse(Refusal::Cause::too_large, "value over 64 KiB");
    const json object = json::parse(value, nullptr, false);
    if (object.is_discarded() || !object.is_object())
        return refuse(Refusal::Cause::not_json, "not a JSON object");
    const auto v = object.find("v");
    if (v == object.end() || !v->is_number_integer()) return refuse_field("v");
    if (*v != kVersion) return refuse(Refusal::Cause::version, "field 'v': this program reads version 1");

    const auto kind = parse_member_kind(text(object, "kind"));
    if (!kind) return refuse_field("kind");
    const auto id = text(object, "id");
    if (!is_member_id(id)) return refuse_field("id");
    const auto run = text(object, "run");
    if (!is_run(run)) return refuse_field("run");
    const auto site = object.find("site");
    if (site != object.end() && !site->is_null() && !site->is_string()) return refuse_field("site");
    const auto phase = parse_member_phase(text(object, "phase"));
    if (!phase) return refuse_field("phase");
    if (*kind != parts->kind || id != parts->id)
        return refuse(Refusal::Cause::subject, "fields 'kind' and 'id' disagree with the key");
    return Member{*kind, std::string{id}, std::string{run}, std::string{text(object, "site")}, *phase};
}

}  // namespace pgpulse::contract
