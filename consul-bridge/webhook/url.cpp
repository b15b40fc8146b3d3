#include "consul-bridge/webhook/url.hpp"

#include "common/contract/hash.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>

namespace pgpulse::consul_bridge::webhook {
namespace {

constexpr const char* kExpected = "expected http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH";

std::string lower_case(std::string_view text) {
    std::string lower{text};
    std::ranges::transform(lower, lower.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return lower;
}

bool is_port(std::string_view text) {
    int port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    return error == std::errc{} && end == text.data() + text.size() && port >= 1 && port <= 65535;
}

bool is_host(std::string_view host) {
    if (host.starts_with('[')) {
        return host.size() > 2 && host.ends_with(']') &&
               host.find_first_not_of("0123456789abcdef:.", 1) == host.size() - 1;
    }
    return !host.empty() && std::ranges::all_of(host, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
    });
}

/// "host:80", "[::1]:80", "host".
bool is_authority(std::string_view text) {
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos || text.ends_with(']')) return is_host(text);
    return is_host(text.substr(0, colon)) && is_port(text.substr(colon + 1));
}

/// What may stand in a URL; what follows a '#' is never sent, and whoever writes one means something else.
bool may_stand(char c) {
    return c > ' ' && c <= '~' && std::string_view{R"(#"<>\^`{|})"}.find(c) == std::string_view::npos;
}

}  // namespace

tl::expected<Url, std::string> parse_url(const std::string& text) {
    const auto colon = text.find("://");
    if (colon == std::string::npos) return tl::unexpected(kExpected);
    const std::string scheme = lower_case(std::string_view{text}.substr(0, colon));
    if (scheme != "http" && scheme != "https") return tl::unexpected(kExpected);
    if (!std::ranges::all_of(text, may_stand)) {
        return tl::unexpected(std::string{kExpected} +
                              " without spaces, '#' and what else has to be encoded");
    }
    const std::string_view rest = std::string_view{text}.substr(colon + 3);
    const auto end = std::min(rest.find_first_of("/?"), rest.size());
    std::string_view authority = rest.substr(0, end);
    if (const auto at = authority.rfind('@'); at != std::string_view::npos) authority.remove_prefix(at + 1);
    const std::string place = lower_case(authority);
    if (!is_authority(place)) return tl::unexpected(kExpected);
    Url url{text, scheme + "://" + place, {}};
    url.key = fmt::format("{:016x}", contract::fnv1a(url.shown + std::string{rest.substr(end)}));
    return url;
}

}  // namespace pgpulse::consul_bridge::webhook
