#pragma once

#include "common/contract/names.hpp"
#include "common/contract/target.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// What a definition may say, whatever its JSON was read by.
namespace pgpulse::contract {

/// Reads the keys of a definition and keeps the first fault.
/// `Document::find(key)`: an optional value, of which text(), integer(), strings() and pairs() are empty where it is
/// none of these, is_null() tells of `null`, and words() are for a message.
template <typename Document>
class DefinitionRules {
  public:
    DefinitionRules(const Document& document, std::string_view where) : document_(document), where_(where) {}

    TargetDefinition read() {
        TargetDefinition target;
        require("name", kNameExpected);
        require("address", kAddressExpected);
        text("name", target.name, kNameExpected, is_target_name);
        text("address", target.address, kAddressExpected, is_address);
        integer("port", target.port, 1, 65535);
        target.service = target.name;
        text("service", target.service, kNameExpected, is_target_name);
        if (target.service == kConsulsOwnService)
            refuse("service", "expected another name than 'consul', which Consul's servers have");
        plain_text("user", target.user);
        plain_text("database", target.database);
        word("mode", target.mode, "'ping' or 'session'", parse_mode);
        if (target.mode == Mode::session) target.sslmode = SslMode::prefer;
        word("sslmode", target.sslmode, "one of libpq's sslmodes, disable to verify-full", parse_ssl_mode);
        plain_text("sslrootcert", target.sslrootcert);
        plain_text("sslcert", target.sslcert);
        plain_text("sslkey", target.sslkey);
        plain_text("credentials", target.credentials);
        milliseconds("interval_ms", target.interval, 50, 86'400'000);
        milliseconds("timeout_ms", target.timeout, 10, 60'000);
        milliseconds("fast_interval_ms", target.fast_interval, 10, 86'400'000);
        integer("rise", target.rise, 1, 100);
        integer("fall", target.fall, 1, 100);
        integer("observers", target.observers, 1, 63);
        std::uint32_t quorum = 0;
        integer("quorum", quorum, 1, 63);
        if (quorum != 0) target.quorum = quorum;
        milliseconds("listener_interval_ms", target.listener_interval, 100, 86'400'000);
        word("expect_role", target.expect_role, "'primary' or 'replica'", parse_role);
        take("tags", target.tags, [](const auto& value) { return value.strings(); }, "an array of strings");
        meta(target.meta);
        word("maintenance_until", target.maintenance_until,
             "an RFC 3339 time in UTC such as 2026-01-02T03:04:05Z", parse_rfc3339);
        if (target.quorum && *target.quorum > target.observers) {
            refuse("quorum", "expected at most observers (" + std::to_string(target.observers) + "), found " +
                                 std::to_string(*target.quorum));
        }
        return target;
    }

    void refuse(std::string_view key, std::string_view what) {
        if (error_.empty()) error_ = where_ + "." + std::string{key} + ": " + std::string{what};
    }

    /// Empty: none.
    [[nodiscard]] const std::string& error() const { return error_; }

  private:
    static constexpr std::string_view kAddressExpected = "a host name or an IP address, not 0.0.0.0 or ::";
    static constexpr std::string_view kNameExpected =
        "a DNS label in lower case (a-z, 0-9, inner '-', 1 to 63 characters)";
    /// The name of the service that Consul's servers themselves are.
    static constexpr std::string_view kConsulsOwnService = "consul";
    static constexpr std::size_t kMostTextBytes = 1024;

    // What Consul takes as the meta of a service instance.
    static constexpr std::size_t kMetaPairs = 64;
    static constexpr std::size_t kMetaKeyBytes = 128;
    static constexpr std::size_t kMetaValueBytes = 512;
    static constexpr std::string_view kMetaReservedPrefix = "consul-";

    const Document& document_;
    const std::string where_;
    std::string error_;

    static bool is_address(std::string_view text) {
        if (text.empty() || text.size() > 253) return false;
        // 0.0.0.0 and ::, however they are written, are nobody's address; Consul refuses them.
        if (text.find_first_not_of("0.:") == std::string_view::npos) return false;
        return std::ranges::all_of(text, [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                   c == '-' || c == '_' || c == ':' || c == '%';
        });
    }

    static bool is_meta_key(std::string_view key) {
        if (key.empty() || key.size() > kMetaKeyBytes || key.starts_with(kMetaReservedPrefix)) return false;
        return std::ranges::all_of(key, [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                   c == '_';
        });
    }

    void require(std::string_view key, std::string_view expected) {
        if (error_.empty() && !document_.find(key)) {
            error_ =
                where_ + ": key '" + std::string{key} + "' is missing: expected " + std::string{expected};
        }
    }

    /// `read`: of the value, empty where it is none that is expected.
    template <typename T, typename Read, typename Expected>
    void take(std::string_view key, T& to, Read read, const Expected& expected) {
        const auto value = document_.find(key);
        if (!value || value->is_null()) return;
        if (auto taken = read(*value))
            to = static_cast<T>(*std::move(taken));
        else
            refuse(key, "expected " + in_words(expected) + ", found " + value->words());
    }
    static std::string in_words(std::string_view expected) { return std::string{expected}; }
    struct Range {
        std::int64_t low;
        std::int64_t high;
    };
    static std::string in_words(const Range& range) {
        return "an integer from " + std::to_string(range.low) + " to " + std::to_string(range.high);
    }

    template <typename Valid>
    void text(std::string_view key, std::string& to, std::string_view expected, Valid valid) {
        take(
            key, to,
            [&](const auto& value) {
                auto text = value.text();
                if (text && !valid(*text)) text.reset();
                return text;
            },
            expected);
    }

    void plain_text(std::string_view key, std::string& to) {
        text(key, to, "a string without control characters", [](std::string_view text) {
            return text.size() <= kMostTextBytes &&
                   std::ranges::none_of(text, [](char c) { return c >= 0 && c < ' '; });
        });
    }

    template <typename T, typename Parse>
    void word(std::string_view key, T& to, std::string_view expected, Parse parse) {
        take(
            key, to,
            [&](const auto& value) {
                const auto text = value.text();
                return text ? parse(*text) : std::nullopt;
            },
            expected);
    }

    template <typename T>
    void integer(std::string_view key, T& to, std::int64_t low, std::int64_t high) {
        const Range range{low, high};
        take(
            key, to,
            [&](const auto& value) {
                std::optional<std::int64_t> number = value.integer();
                if (number && (*number < range.low || *number > range.high)) number.reset();
                return number;
            },
            range);
    }

    void milliseconds(std::string_view key, std::chrono::milliseconds& to, std::int64_t low,
                      std::int64_t high) {
        std::int64_t number = to.count();
        integer(key, number, low, high);
        to = std::chrono::milliseconds{number};
    }

    /// What Consul would refuse is refused here, where the key can be named.
    void meta(std::map<std::string, std::string>& to) {
        take("meta", to, [](const auto& value) { return value.pairs(); }, "an object of strings");
        if (to.size() > kMetaPairs) {
            refuse("meta", "expected at most " + std::to_string(kMetaPairs) + " pairs, found " +
                               std::to_string(to.size()));
        }
        for (const auto& [name, value] : to) {
            if (!is_meta_key(name)) {
                refuse("meta",
                       "expected keys of 1 to 128 letters, digits, '-' and '_' that do not begin with "
                       "'consul-', found " +
                           Document::words_of(name));
            }
            if (value.size() > kMetaValueBytes) {
                refuse("meta", "expected values of at most " + std::to_string(kMetaValueBytes) +
                                   " bytes, found " + std::to_string(value.size()) + " under " +
                                   Document::words_of(name));
            }
        }
    }
};

}  // namespace pgpulse::contract
