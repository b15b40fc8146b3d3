#include "consul-bridge/options.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>

namespace pgpulse::consul_bridge {
namespace {

constexpr std::string_view kProgram = "pgpulse-consul-bridge";
constexpr int kMaxReconcileSeconds = 86'400;

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? std::string{} : std::string{value};
}

/// The words that Consul's own programs take for a truth value.
std::optional<bool> truth(const std::string& text) {
    for (const char* yes : {"1", "t", "T", "true", "TRUE", "True"}) {
        if (text == yes) return true;
    }
    for (const char* no : {"0", "f", "F", "false", "FALSE", "False"}) {
        if (text == no) return false;
    }
    return std::nullopt;
}

bool is_port(std::string_view text) {
    int port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    return error == std::errc{} && end == text.data() + text.size() && port >= 1 && port <= 65535;
}

bool is_host_and_port(std::string_view text) {
    std::string_view host = text;
    if (text.starts_with('[')) {
        const auto end = text.find(']');
        if (end == std::string_view::npos) return false;
        const auto rest = text.substr(end + 1);
        if (!rest.empty() && (!rest.starts_with(':') || !is_port(rest.substr(1)))) return false;
        host = text.substr(1, end - 1);
        return !host.empty() && host.find_first_not_of("0123456789abcdefABCDEF:.%") == std::string_view::npos;
    }
    if (const auto colon = text.find(':'); colon != std::string_view::npos) {
        if (!is_port(text.substr(colon + 1))) return false;
        host = text.substr(0, colon);
    }
    return !host.empty() && std::ranges::all_of(host, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
               c == '-' || c == '_';
    });
}

/// Fills what is a secret or rarely used; the variable that is at fault, with what was expected.
std::optional<std::string> read_consul_environment(ConsulOptions& options, bool& tls) {
    options.token = environment("CONSUL_HTTP_TOKEN");
    options.token_file = environment("CONSUL_HTTP_TOKEN_FILE");
    options.ca_file = environment("CONSUL_CACERT");
    options.certificate_file = environment("CONSUL_CLIENT_CERT");
    options.key_file = environment("CONSUL_CLIENT_KEY");
    options.server_name = environment("CONSUL_TLS_SERVER_NAME");
    options.name_space = environment("CONSUL_NAMESPACE");
    const auto read_truth = [](const char* name, bool& to) -> std::optional<std::string> {
        const std::string text = environment(name);
        if (text.empty()) return std::nullopt;
        const auto value = truth(text);
        if (!value) return std::string{name} + ": expected true or false, found '" + text + "'";
        to = *value;
        return std::nullopt;
    };
    if (auto fault = read_truth("CONSUL_HTTP_SSL", tls)) return fault;
    if (auto fault = read_truth("CONSUL_HTTP_SSL_VERIFY", options.verify)) return fault;
    const std::pair<const char*, const std::string&> files[] = {
        {"CONSUL_HTTP_TOKEN_FILE", options.token_file},
        {"CONSUL_CACERT", options.ca_file},
        {"CONSUL_CLIENT_CERT", options.certificate_file},
        {"CONSUL_CLIENT_KEY", options.key_file},
    };
    for (const auto& [name, file] : files) {
        if (!file.empty() && access(file.c_str(), R_OK) != 0) {
            return std::string{name} + ": cannot read '" + file + "'";
        }
    }
    return std::nullopt;
}

}  // namespace

tl::expected<std::string, std::string> to_consul_url(const std::string& address, bool tls) {
    std::string scheme = tls ? "https://" : "http://";
    std::string rest = address;
    for (const char* given : {"http://", "https://"}) {
        if (address.starts_with(given)) {
            scheme = tls ? "https://" : given;
            rest = address.substr(std::string_view{given}.size());
        }
    }
    if (rest.ends_with('/')) rest.pop_back();
    if (!is_host_and_port(rest)) {
        // A password in the address is not repeated.
        const bool shown = address.find('@') == std::string::npos;
        return tl::unexpected("expected HOST:PORT, http://HOST:PORT or https://HOST:PORT" +
                              (shown ? ", found '" + address + "'" : std::string{}));
    }
    return scheme + rest;
}

std::optional<std::string> fault_of_prefix(const std::string& prefix) {
    const bool characters = std::ranges::all_of(prefix, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' ||
               c == '.' || c == '-' || c == '_';
    });
    if (characters && prefix.ends_with('/') && !prefix.starts_with('/') &&
        prefix.find("//") == std::string::npos) {
        return std::nullopt;
    }
    return "expected letters, digits, '.', '-', '_' and '/' with no leading and one trailing '/', found '" +
           prefix + "'";
}

tl::expected<Compat, std::string> to_compat(const std::string& word) {
    if (word.empty()) return Compat::none;
    if (word == "consul-postgres") return Compat::consul_postgres;
    return tl::unexpected("expected consul-postgres, found '" + word + "'");
}

std::optional<int> read_options(int argc, char** argv, Options& options) {
    runtime::CommandLine line{std::string{kProgram}, "Makes Consul say what the bucket of states says"};
    runtime::add_common_options(line, options.common);
    int reconcile_seconds = static_cast<int>(
        std::chrono::duration_cast<std::chrono::seconds>(options.reconcile_interval).count());
    line.text("--consul", options.consul.url, "URL", "Consul's HTTP interface", "CONSUL_HTTP_ADDR");
    line.text("--kv-prefix", options.kv_prefix, "PREFIX", "Where the KV values are; ends with '/'");
    line.integer("--reconcile-interval", reconcile_seconds, 1, kMaxReconcileSeconds, "SECONDS",
                 "Compare Consul with the bucket this often");
    std::string compat;
    line.text("--compat", compat, "WORD",
              "Also write the keys of an older pipeline for its readers: consul-postgres");
    line.flag("--keep-removed", options.keep_removed,
              "Leave a removed target in Consul as it was last written");
    if (const auto code = line.parse(argc, argv)) return code;

    bool tls = false;
    if (const auto fault = read_consul_environment(options.consul, tls)) return line.fault(*fault);
    const auto url = to_consul_url(options.consul.url, tls);
    if (!url) return line.fault("--consul: " + url.error());
    options.consul.url = *url;
    if (const auto fault = fault_of_prefix(options.kv_prefix)) return line.fault("--kv-prefix: " + *fault);
    const auto compat_word = to_compat(compat);
    if (!compat_word) return line.fault("--compat: " + compat_word.error());
    options.compat = *compat_word;
    options.reconcile_interval = std::chrono::seconds{reconcile_seconds};
    return runtime::finish_common_options(line, options.common, kProgram);
}

}  // namespace pgpulse::consul_bridge
