#include "common/contract/target.hpp"

#include "common/contract/names.hpp"

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

bool is_address(std::string_view text) {
    if (text.empty() || text.size() > 253) return false;
    // 0.0.0.0 and ::, however they are written, are nobody's address; Consul refuses them.
    if (text.find_first_not_of("0.:") == std::string_view::npos) return false;
    return std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
               c == '-' || c == '_' || c == ':' || c == '%';
    });
}

/// The name of the service that Consul's servers themselves are.
constexpr std::string_view kConsulsOwnService = "consul";

// What Consul takes as the meta of a service instance.
constexpr std::size_t kMetaPairs = 64;
constexpr std::size_t kMetaKeyBytes = 128;
constexpr std::size_t kMetaValueBytes = 512;
constexpr std::string_view kMetaReservedPrefix = "consul-";

bool is_meta_key(std::string_view key) {
    if (key.empty() || key.size() > kMetaKeyBytes || key.starts_with(kMetaReservedPrefix)) return false;
    return std::ranges::all_of(key, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
               c == '_';
    });
}

/// What stands in the document, short enough for one line.
std::string found(const json& value) {
    if (value.is_string() || value.is_number() || value.is_boolean() || value.is_null()) {
        std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
        if (text.size() > 60) text = text.substr(0, 57) + "...";
        return text;
    }
    return value.is_array() ? "an array" : "an object";
}

/// Reads the keys of one object and keeps the first fault.
class ObjectReader {
  public:
    ObjectReader(const json& object, std::string_view where) : object_(object), where_(where) {}

    void text(const char* key, std::string& to) {
        read(key, "a string without control characters", [&](const json& value) {
            if (!value.is_string()) return false;
            const auto& text = value.get_ref<const std::string&>();
            if (text.size() > 1024 || std::ranges::any_of(text, [](char c) { return c >= 0 && c < ' '; }))
                return false;
            to = text;
            return true;
        });
    }

    template <typename Valid>
    void text(const char* key, std::string& to, std::string_view expected, Valid valid) {
        read(key, expected, [&](const json& value) {
            if (!value.is_string() || !valid(value.get_ref<const std::string&>())) return false;
            to = value.get<std::string>();
            return true;
        });
    }

    template <typename T>
    void integer(const char* key, T& to, std::int64_t low, std::int64_t high) {
        read(key, "an integer from " + std::to_string(low) + " to " + std::to_string(high),
             [&](const json& value) {
                 if (!value.is_number_integer()) return false;
                 if (value.is_number_unsigned() &&
                     value.get<std::uint64_t>() >
                         static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
                     return false;
                 }
                 const auto number = value.get<std::int64_t>();
                 if (number < low || number > high) return false;
                 to = static_cast<T>(number);
                 return true;
             });
    }

    void milliseconds(const char* key, std::chrono::milliseconds& to, std::int64_t low, std::int64_t high) {
        std::int64_t number = to.count();
        integer(key, number, low, high);
        to = std::chrono::milliseconds{number};
    }

    template <typename T, typename Parse>
    void word(const char* key, T& to, std::string_view expected, Parse parse) {
        read(key, expected, [&](const json& value) {
            if (!value.is_string()) return false;
            const auto parsed = parse(value.get_ref<const std::string&>());
            if (!parsed) return false;
            to = *parsed;
            return true;
        });
    }

    void strings(const char* key, std::vector<std::string>& to) {
        read(key, "an array of strings", [&](const json& value) {
            if (!value.is_array() || !std::ranges::all_of(value, [](const json& v) { return v.is_string(); }))
                return false;
            to = value.get<std::vector<std::string>>();
            return true;
        });
    }

    /// What Consul would refuse is refused here, where the key can be named.
    void meta(const char* key, std::map<std::string, std::string>& to) {
        read(key, "an object of strings", [&](const json& value) {
            if (!value.is_object() ||
                !std::ranges::all_of(value, [](const json& v) { return v.is_string(); }))
                return false;
            to = value.get<std::map<std::string, std::string>>();
            return true;
        });
        if (to.size() > kMetaPairs) {
            refuse(key, "expected at most " + std::to_string(kMetaPairs) + " pairs, found " +
                            std::to_string(to.size()));
        }
        for (const auto& [name, value] : to) {
            if (!is_meta_key(name)) {
                refuse(key,
                       "expected keys of 1 to 128 letters, digits, '-' and '_' that do not begin with "
                       "'consul-', found " +
                           found(name));
            }
            if (value.size() > kMetaValueBytes) {
                refuse(key, "expected values of at most " + std::to_string(kMetaValueBytes) +
                                " bytes, found " + std::to_string(value.size()) + " under " + found(name));
            }
        }
    }

    void require(const char* key, std::string_view expected) {
        if (error_.empty() && !object_.contains(key)) {
            error_ = where_ + ": key '" + key + "' is missing: expected " + std::string{expected};
        }
    }

    void refuse(std::string_view key, std::string_view what) {
        if (error_.empty()) error_ = where_ + "." + std::string{key} + ": " + std::string{what};
    }

    [[nodiscard]] const std::string& error() const { return error_; }

  private:
    const json& object_;
    std::string where_;
    std::string error_;

    template <typename Take>
    void read(const char* key, std::string_view expected, Take take) {
        const auto it = object_.find(key);
        if (it == object_.end() || it->is_null() || take(*it)) return;
        refuse(key, "expected " + std::string{expected} + ", found " + found(*it));
    }
};

void check_keys(const json& object, ObjectReader& reader) {
    for (const auto& [key, value] : object.items()) {
        if (std::ranges::find(kKeys, key) == kKeys.end()) {
            reader.refuse(key,
                          "unknown key; expected one of name, address, port, service, user, database, mode, "
                          "interval_ms, timeout_ms, ... (docs/contract.md lists them)");
        }
    }
}

constexpr std::string_view kAddressExpected = "a host name or an IP address, not 0.0.0.0 or ::";
constexpr std::string_view kNameExpected =
    "a DNS label in lower case (a-z, 0-9, inner '-', 1 to 63 characters)";

}  // namespace

tl::expected<TargetDefinition, std::string> read_definition(const json& object, std::string_view where,
                                                            UnknownKeys unknown_keys) {
    if (!object.is_object()) {
        return tl::unexpected(std::string{where} + ": expected an object, found " + found(object));
    }
    TargetDefinition target;
    ObjectReader reader{object, where};
    if (unknown_keys == UnknownKeys::refuse) check_keys(object, reader);
    reader.require("name", kNameExpected);
    reader.require("address", kAddressExpected);
    reader.text("name", target.name, kNameExpected, is_target_name);
    reader.text("address", target.address, kAddressExpected, is_address);
    reader.integer("port", target.port, 1, 65535);
    target.service = target.name;
    reader.text("service", target.service, kNameExpected, is_target_name);
    if (target.service == kConsulsOwnService) {
        reader.refuse("service", "expected another name than 'consul', which Consul's servers have");
    }
    reader.text("user", target.user);
    reader.text("database", target.database);
    reader.word("mode", target.mode, "'ping' or 'session'", parse_mode);
    if (target.mode == Mode::session) target.sslmode = SslMode::prefer;
    reader.word("sslmode", target.sslmode, "one of libpq's sslmodes, disable to verify-full", parse_ssl_mode);
    reader.text("sslrootcert", target.sslrootcert);
    reader.text("sslcert", target.sslcert);
    reader.text("sslkey", target.sslkey);
    reader.text("credentials", target.credentials);
    reader.milliseconds("interval_ms", target.interval, 50, 86'400'000);
    reader.milliseconds("timeout_ms", target.timeout, 10, 60'000);
    reader.milliseconds("fast_interval_ms", target.fast_interval, 10, 86'400'000);
    reader.integer("rise", target.rise, 1, 100);
    reader.integer("fall", target.fall, 1, 100);
    reader.integer("observers", target.observers, 1, 63);
    std::uint32_t quorum = 0;
    reader.integer("quorum", quorum, 1, 63);
    if (quorum != 0) target.quorum = quorum;
    reader.milliseconds("listener_interval_ms", target.listener_interval, 100, 86'400'000);
    reader.word("expect_role", target.expect_role, "'primary' or 'replica'", parse_role);
    reader.strings("tags", target.tags);
    reader.meta("meta", target.meta);
    reader.word("maintenance_until", target.maintenance_until,
                "an RFC 3339 time in UTC such as 2026-01-02T03:04:05Z", parse_rfc3339);
    if (target.quorum && *target.quorum > target.observers) {
        reader.refuse("quorum", "expected at most observers (" + std::to_string(target.observers) +
                                    "), found " + std::to_string(*target.quorum));
    }
    if (!reader.error().empty()) return tl::unexpected(reader.error());
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
