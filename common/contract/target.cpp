#include "common/contract/target.hpp"

#include "common/contract/definition_rules.hpp"
#include "common/contract/plain_definition.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <limits>

namespace pgpulse::contract {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 24> kKeys{
    "name",        "address",     "port",        "service",          "user",
    "database",    "mode",        "sslmode",     "sslrootcert",      "sslcert",
    "sslkey",      "credentials", "interval_ms", "timeout_ms",       "fast_interval_ms",
    "rise",        "fall",        "observers",   "quorum",           "listener_interval_ms",
    "expect_role", "tags",        "meta",        "maintenance_until"};

/// What stands in the document, short enough for one line.
std::string found(const json& value) {
    if (value.is_string() || value.is_number() || value.is_boolean() || value.is_null()) {
        std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
        if (text.size() > 60) text = text.substr(0, 57) + "...";
        return text;
    }
    return value.is_array() ? "an array" : "an object";
}

/// A value of a parsed document, as the rules ask for it.
class DomValue {
  public:
    explicit DomValue(const json& value) : value_(value) {}

    [[nodiscard]] bool is_null() const { return value_.is_null(); }
    [[nodiscard]] std::optional<std::string_view> text() const {
        if (!value_.is_string()) return std::nullopt;
        return value_.get_ref<const std::string&>();
    }
    [[nodiscard]] std::optional<std::int64_t> integer() const {
        if (!value_.is_number_integer()) return std::nullopt;
        constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
        if (value_.is_number_unsigned() && value_.get<std::uint64_t>() > kMost) return std::nullopt;
        return value_.get<std::int64_t>();
    }
    [[nodiscard]] std::optional<std::vector<std::string>> strings() const {
        if (!value_.is_array() || !all_strings()) return std::nullopt;
        return value_.get<std::vector<std::string>>();
    }
    [[nodiscard]] std::optional<std::map<std::string, std::string>> pairs() const {
        if (!value_.is_object() || !all_strings()) return std::nullopt;
        return value_.get<std::map<std::string, std::string>>();
    }
    [[nodiscard]] std::string words() const { return found(value_); }

  private:
    const json& value_;

    [[nodiscard]] bool all_strings() const {
        return std::ranges::all_of(value_, [](const json& v) { return v.is_string(); });
    }
};

class DomDocument {
  public:
    explicit DomDocument(const json& object) : object_(object) {}

    [[nodiscard]] std::optional<DomValue> find(std::string_view key) const {
        const auto it = object_.find(key);
        return it == object_.end() ? std::nullopt : std::optional{DomValue{*it}};
    }
    static std::string words_of(const std::string& text) { return found(text); }

  private:
    const json& object_;
};

void check_keys(const json& object, DefinitionRules<DomDocument>& rules) {
    for (const auto& [key, value] : object.items()) {
        if (std::ranges::find(kKeys, key) == kKeys.end()) {
            rules.refuse(key,
                         "unknown key; expected one of name, address, port, service, user, database, mode, "
                         "interval_ms, timeout_ms, ... (docs/contract.md lists them)");
        }
    }
}

}  // namespace

tl::expected<TargetDefinition, std::string> read_definition(const json& object, std::string_view where,
                                                            UnknownKeys unknown_keys) {
    if (!object.is_object()) {
        return tl::unexpected(std::string{where} + ": expected an object, found " + found(object));
    }
    const DomDocument document{object};
    DefinitionRules rules{document, where};
    if (unknown_keys == UnknownKeys::refuse) check_keys(object, rules);
    TargetDefinition target = rules.read();
    if (!rules.error().empty()) return tl::unexpected(rules.error());
    return target;
}

std::string encode(const StoredDefinition& stored) {
    const TargetDefinition& target = stored.definition;
    nlohmann::ordered_json json{
        {"v", kVersion},
        {"name", target.name},
        {"address", target.address},
        {"port", target.port},
        {"service", target.service},
        {"user", target.user},
        {"database", target.database},
        {"mode", to_string(target.mode)},
        {"sslmode", to_string(target.sslmode)},
    };
    if (!target.sslrootcert.empty()) json["sslrootcert"] = target.sslrootcert;
    if (!target.sslcert.empty()) json["sslcert"] = target.sslcert;
    if (!target.sslkey.empty()) json["sslkey"] = target.sslkey;
    if (!target.credentials.empty()) json["credentials"] = target.credentials;
    json["interval_ms"] = target.interval.count();
    json["timeout_ms"] = target.timeout.count();
    json["fast_interval_ms"] = target.fast_interval.count();
    json["rise"] = target.rise;
    json["fall"] = target.fall;
    json["observers"] = target.observers;
    if (target.quorum) json["quorum"] = *target.quorum;
    json["listener_interval_ms"] = target.listener_interval.count();
    if (target.expect_role) json["expect_role"] = to_string(*target.expect_role);
    if (!target.tags.empty()) json["tags"] = target.tags;
    if (!target.meta.empty()) json["meta"] = target.meta;
    if (target.maintenance_until) json["maintenance_until"] = to_rfc3339(*target.maintenance_until);
    json["written_by"] = stored.written_by == WrittenBy::file ? "file" : "operator";
    return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

tl::expected<StoredDefinition, std::string> decode_definition(std::string_view name, std::string_view value) {
    const std::string where{name};
    if (value.size() > kMaxPayloadBytes) return tl::unexpected(where + ": value over 64 KiB");
    if (auto plain = decode_plain_definition(name, value)) return *std::move(plain);
    const json object = json::parse(value, nullptr, false);
    if (object.is_discarded() || !object.is_object()) return tl::unexpected(where + ": not a JSON object");
    if (const auto v = object.find("v"); v != object.end() && *v != kVersion) {
        return tl::unexpected(where + ".v: expected 1, found " + found(*v));
    }
    auto definition = read_definition(object, where, UnknownKeys::ignore);
    if (!definition) return tl::unexpected(definition.error());
    if (definition->name != name) return tl::unexpected(where + ".name: expected the key it is stored under");
    StoredDefinition stored{std::move(*definition), WrittenBy::operator_};
    if (const auto writer = object.find("written_by"); writer != object.end() && *writer == "file") {
        stored.written_by = WrittenBy::file;
    }
    return stored;
}

}  // namespace pgpulse::contract
