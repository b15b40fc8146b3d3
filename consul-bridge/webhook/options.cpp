#include "consul-bridge/webhook/options.hpp"

#include <unistd.h>

#include <algorithm>
#include <set>

namespace pgpulse::consul_bridge::webhook {
namespace {

/// "--webhook", with its number where there are several: a URL may be a secret and is not repeated.
std::string flag(const char* name, std::size_t index, std::size_t count) {
    return count == 1 ? std::string{name} : std::string{name} + " (number " + std::to_string(index + 1) + ")";
}

}  // namespace

tl::expected<std::vector<Endpoint>, std::string> to_endpoints(const Options& options) {
    const std::size_t count = options.urls.size();
    std::vector<Endpoint> endpoints;
    std::set<std::string> keys;
    for (std::size_t i = 0; i < count; ++i) {
        auto url = parse_url(options.urls[i]);
        if (!url) return tl::unexpected(flag("--webhook", i, count) + ": " + url.error());
        if (!keys.insert(url->key).second)
            return tl::unexpected(flag("--webhook", i, count) + ": expected each URL once");
        const std::string name = url->shown;
        endpoints.push_back({std::move(*url), {}, options.ca_file, name});
    }
    for (Endpoint& endpoint : endpoints) {
        // Two paths of one host.
        if (std::ranges::count(endpoints, endpoint.url.shown,
                               [](const Endpoint& each) { return each.url.shown; }) > 1)
            endpoint.name += " " + endpoint.url.key.substr(0, 8);
    }
    if (!options.ca_file.empty() && access(options.ca_file.c_str(), R_OK) != 0)
        return tl::unexpected("--webhook-ca-file: cannot read '" + options.ca_file + "'");
    if (options.header_files.empty()) return endpoints;
    if (options.header_files.size() != count) {
        return tl::unexpected(std::string{
            "--webhook-header-file: expected one for each --webhook, in the same order, or none at all; "
            "'none' where one of several has none"});
    }
    for (std::size_t i = 0; i < count; ++i) {
        const std::string& file = options.header_files[i];
        if (file == "none") continue;
        if (const auto lines = read_header_file(file); !lines)
            return tl::unexpected("--webhook-header-file: " + lines.error());
        endpoints[i].header_file = file;
    }
    return endpoints;
}

}  // namespace pgpulse::consul_bridge::webhook
