#include "common/nats/server_url.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace pgpulse::nats {
namespace {

constexpr std::string_view kSchemeEnd = "://";

std::vector<std::string_view> split(std::string_view urls) {
    std::vector<std::string_view> parts;
    std::size_t at = 0;
    while (at <= urls.size()) {
        const std::size_t comma = std::min(urls.find(',', at), urls.size());
        parts.push_back(urls.substr(at, comma - at));
        at = comma + 1;
    }
    return parts;
}

bool is_host(std::string_view text) {
    return !text.empty() && std::ranges::all_of(text, [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-' || c == '_';
    });
}

bool is_bracketed_ipv6(std::string_view text) {
    if (text.size() < 4 || text.front() != '[' || text.back() != ']') return false;
    return std::ranges::all_of(text.substr(1, text.size() - 2), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == ':' || c == '.' || c == '%';
    });
}

bool is_port(std::string_view text) {
    int port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    return error == std::errc{} && end == text.data() + text.size() && port >= 1 && port <= 65535;
}

bool is_server_url(std::string_view url) {
    if (const auto scheme = url.find(kSchemeEnd); scheme != std::string_view::npos) {
        const std::string_view name = url.substr(0, scheme);
        if (name != "nats" && name != "tls") return false;
        url.remove_prefix(scheme + kSchemeEnd.size());
    }
    if (const auto at = url.rfind('@'); at != std::string_view::npos) url.remove_prefix(at + 1);
    if (url.ends_with('/')) url.remove_suffix(1);
    const auto colon = url.rfind(':');
    const auto bracket = url.rfind(']');
    const bool has_port =
        colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
    const std::string_view host = has_port ? url.substr(0, colon) : url;
    return (is_host(host) || is_bracketed_ipv6(host)) && (!has_port || is_port(url.substr(colon + 1)));
}

}  // namespace

tl::expected<std::vector<std::string>, std::string> parse_server_urls(std::string_view urls) {
    std::vector<std::string> list;
    for (const std::string_view part : split(urls)) {
        if (!is_server_url(part)) {
            return tl::unexpected(
                "expected nats://HOST:PORT or tls://HOST:PORT, or several separated by commas, found '" +
                without_secrets(urls) + "'");
        }
        list.emplace_back(part);
    }
    return list;
}

std::string without_secrets(std::string_view urls) {
    std::string shown;
    for (const std::string_view part : split(urls)) {
        if (!shown.empty()) shown += ',';
        const auto scheme = part.find(kSchemeEnd);
        const std::size_t from = scheme == std::string_view::npos ? 0 : scheme + kSchemeEnd.size();
        const auto at = part.rfind('@');
        shown += part.substr(0, from);
        shown += part.substr(at == std::string_view::npos || at < from ? from : at + 1);
    }
    return shown;
}

}  // namespace pgpulse::nats
