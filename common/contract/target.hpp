#pragma once

#include "common/contract/vocabulary.hpp"
#include "common/contract/wall_time.hpp"

#include <nlohmann/json_fwd.hpp>
#include <tl/expected.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgpulse::contract {

/// What is to be observed and how: one entry of the bucket `health_targets` or of a targets file.
struct TargetDefinition {
    std::string name;     // is_target_name
    std::string address;  // host name, IPv4 or IPv6 address
    std::uint16_t port = 5432;
    std::string service;  // Consul service name; is_target_name
    std::string user = "postgres";
    std::string database = "postgres";
    Mode mode = Mode::ping;
    SslMode sslmode = SslMode::disable;
    std::string sslrootcert;  // paths on the worker's machine; empty: libpq's default
    std::string sslcert;
    std::string sslkey;
    std::string credentials;  // a file on the worker's machine that holds the secret, never the secret itself
    std::chrono::milliseconds interval{1000};
    std::chrono::milliseconds timeout{500};
    std::chrono::milliseconds fast_interval{100};
    std::uint32_t rise = 2;
    std::uint32_t fall = 3;
    std::uint32_t observers = 3;
    std::optional<std::uint32_t> quorum;  // empty: a majority of the voters
    std::chrono::milliseconds listener_interval{5000};
    std::optional<Role> expect_role;
    std::vector<std::string> tags;
    std::map<std::string, std::string> meta;
    std::optional<WallTime> maintenance_until;

    bool operator==(const TargetDefinition&) const = default;
};

/// Who wrote a definition into the bucket. A targets file never overrules an operator; a value that does not
/// say is an operator's (`nats kv put`).
enum class WrittenBy { operator_, file };

/// A definition as the bucket holds it.
struct StoredDefinition {
    TargetDefinition definition;
    WrittenBy written_by = WrittenBy::operator_;

    bool operator==(const StoredDefinition&) const = default;
};

enum class UnknownKeys { refuse, ignore };

/// Reads one definition from a JSON object. `where` names the object in messages ("targets[2]"). An error is
/// one line that names the key and what was expected: `targets[2].port: expected an integer from 1 to 65535,
/// found 70000`.
tl::expected<TargetDefinition, std::string> read_definition(const nlohmann::json& object,
                                                            std::string_view where, UnknownKeys unknown_keys);

/// The value of a key of `health_targets`.
std::string encode(const StoredDefinition& stored);

/// Reads the value of the key `name` of `health_targets`; unknown fields are ignored, another version or
/// another name is refused.
tl::expected<StoredDefinition, std::string> decode_definition(std::string_view name, std::string_view value);

}  // namespace pgpulse::contract
