#include "ctl/connection_string.hpp"

#include <libpq-fe.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <memory>
#include <string_view>

namespace pgpulse::ctl {
namespace {

struct ConninfoDeleter {
    void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};
using ConninfoHandle = std::unique_ptr<PQconninfoOption, ConninfoDeleter>;

/// What a ping without a login has use for.
constexpr std::array<std::string_view, 9> kUsed{"host",    "hostaddr",    "port",    "user",  "dbname",
                                                "sslmode", "sslrootcert", "sslcert", "sslkey"};

using Settings = std::map<std::string, std::string, std::less<>>;

void take_settings(const PQconninfoOption* options, Settings& values) {
    for (const PQconninfoOption* option = options; option != nullptr && option->keyword != nullptr;
         ++option) {
        const bool used = std::ranges::find(kUsed, option->keyword) != kUsed.end();
        if (used && option->val != nullptr && *option->val != '\0') values[option->keyword] = option->val;
    }
}

std::string setting_of(const Settings& values, std::string_view keyword, const std::string& otherwise = {}) {
    const auto found = values.find(keyword);
    return found == values.end() ? otherwise : found->second;
}

tl::unexpected<std::string> fault(std::string_view keyword, std::string_view expected,
                                  const std::string& found) {
    return tl::unexpected(std::string{keyword} + ": expected " + std::string{expected} + ", found '" + found +
                          "'");
}

}  // namespace

tl::expected<contract::TargetDefinition, std::string> target_of(const std::string& connection_string) {
    Settings values;
    take_settings(ConninfoHandle{PQconndefaults()}.get(), values);
    char* error = nullptr;
    const ConninfoHandle parsed{PQconninfoParse(connection_string.c_str(), &error)};
    if (!parsed) {
        std::string text = error == nullptr ? "out of memory" : error;
        PQfreemem(error);
        text.erase(text.find_last_not_of('\n') + 1);
        std::ranges::replace(text, '\n', ' ');
        return tl::unexpected("CONNINFO: " + text);
    }
    take_settings(parsed.get(), values);

    contract::TargetDefinition target;
    target.address = setting_of(values, "hostaddr", setting_of(values, "host", "localhost"));
    target.name = target.service = "here";
    if (target.address.starts_with('/') || target.address.starts_with('@'))
        return fault("host", "a host name or an address (a probe pings by TCP)", target.address);
    if (target.address.find(',') != std::string::npos) return fault("host", "one host", target.address);
    const std::string port = setting_of(values, "port", "5432");
    const auto [end, status] = std::from_chars(port.data(), port.data() + port.size(), target.port);
    if (status != std::errc{} || end != port.data() + port.size() || target.port == 0)
        return fault("port", "a number from 1 to 65535", port);
    target.user = setting_of(values, "user", target.user);
    target.database = setting_of(values, "dbname", target.user);
    const std::string mode = setting_of(values, "sslmode", "prefer");
    const auto ssl_mode = contract::parse_ssl_mode(mode);
    if (!ssl_mode) return fault("sslmode", "disable, allow, prefer, require, verify-ca or verify-full", mode);
    target.sslmode = *ssl_mode;
    target.sslrootcert = setting_of(values, "sslrootcert");
    target.sslcert = setting_of(values, "sslcert");
    target.sslkey = setting_of(values, "sslkey");
    return target;
}

}  // namespace pgpulse::ctl
