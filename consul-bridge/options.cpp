#include "consul-bridge/options.hpp"

#include "consul-bridge/self_service.hpp"
#include "consul-bridge/tls_files.hpp"
#include "consul-bridge/token_file.hpp"
#include "consul-bridge/webhook/options.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>

namespace pgpulse::consul_bridge {
namespace {

constexpr std::string_view kProgram = "pgpulse-consul-bridge";
constexpr std::string_view kSocket = "unix://";
constexpr int kMaxReconcileSeconds = 86'400;
constexpr int kMaxStaleSeconds = 86'400;

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

/// Fills what is a secret or no flag of Consul's programs; the variable that is at fault, with what was expected.
std::optional<std::string> read_consul_environment(ConsulOptions& options) {
    if (const std::string token = environment("CONSUL_HTTP_TOKEN"); !token.empty()) {
        auto parsed = parse_token(token);
        if (!parsed) return "CONSUL_HTTP_TOKEN: " + parsed.error();
        options.token = std::move(*parsed);
    }
    const auto read_truth = [](const char* name, bool& to) -> std::optional<std::string> {
        const std::string text = environment(name);
        if (text.empty()) return std::nullopt;
        const auto value = truth(text);
        if (!value) return std::string{name} + ": expected true or false, found '" + text + "'";
        to = *value;
        return std::nullopt;
    };
    if (auto fault = read_truth("CONSUL_HTTP_SSL", options.tls)) return fault;
    return read_truth("CONSUL_HTTP_SSL_VERIFY", options.verify);
}

/// What goes into a header or a host's name as it is.
std::optional<std::string> fault_of_name(const char* option, const std::string& name) {
    const bool plain = std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
               c == '-' || c == '_';
    });
    if (plain) return std::nullopt;
    return std::string{option} + ": expected letters, digits, '.', '-' and '_'";
}

/// Never the token itself: every user of the machine can read a command line.
void add_security_options(runtime::CommandLine& line, ConsulOptions& options, std::string& token_file) {
    line.text("--consul-token-file", token_file, "FILE", "Consul's token; read again when it changes",
              "CONSUL_HTTP_TOKEN_FILE");
    line.text("--consul-ca-file", options.ca_file, "FILE", "Whose certificates Consul may have",
              "CONSUL_CACERT");
    line.text("--consul-ca-path", options.ca_path, "DIRECTORY", "The same as a folder of files",
              "CONSUL_CAPATH");
    line.text("--consul-client-cert", options.certificate_file, "FILE", "Certificate to show to Consul",
              "CONSUL_CLIENT_CERT");
    line.text("--consul-client-key", options.key_file, "FILE", "Its key", "CONSUL_CLIENT_KEY");
    line.text("--consul-tls-server-name", options.server_name, "NAME",
              "The name that Consul's certificate has, where the address has another",
              "CONSUL_TLS_SERVER_NAME");
    line.text("--consul-namespace", options.name_space, "NAME", "Of Consul Enterprise", "CONSUL_NAMESPACE");
    line.reads_environment(
        {"CONSUL_HTTP_TOKEN", "CONSUL_HTTP_SSL", "CONSUL_HTTP_SSL_VERIFY"},
        "CONSUL_HTTP_TOKEN is Consul's token itself; CONSUL_HTTP_SSL and CONSUL_HTTP_SSL_VERIFY,\n"
        "true or false, whether it is reached by TLS and its certificate is verified.");
}

/// What is at fault, as one line.
std::optional<std::string> finish_security_options(ConsulOptions& options, const std::string& token_file) {
    if (auto fault = read_consul_environment(options)) return fault;
    if (!token_file.empty()) {
        auto file = TokenFile::open(token_file);
        if (!file) return "--consul-token-file (CONSUL_HTTP_TOKEN_FILE): " + file.error();
        options.token_file = std::move(*file);
    }
    if (auto fault = fault_of_name("--consul-tls-server-name", options.server_name)) return fault;
    if (auto fault = fault_of_name("--consul-namespace", options.name_space)) return fault;
    return fault_of_tls_files(options);
}

}  // namespace

tl::expected<std::string, std::string> to_consul_url(const std::string& address, bool tls) {
    if (address.starts_with(kSocket)) {
        // As long as the kernel takes: sockaddr_un has 108 bytes with the zero at the end.
        const std::size_t path = address.size() - kSocket.size();
        if (path > 1 && path < 108 && address[kSocket.size()] == '/') return address;
        return tl::unexpected("expected unix:///PATH of at most 107 characters, found '" + address + "'");
    }
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
        return tl::unexpected("expected HOST:PORT, http://HOST:PORT, https://HOST:PORT or unix:///PATH" +
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
    std::string token_file;
    line.text("--consul", options.consul.url, "URL", "Consul's HTTP interface", "CONSUL_HTTP_ADDR");
    add_security_options(line, options.consul, token_file);
    line.text("--kv-prefix", options.kv_prefix, "PREFIX", "Where the KV values are; ends with '/'");
    line.integer("--reconcile-interval", reconcile_seconds, 1, kMaxReconcileSeconds, "SECONDS",
                 "Compare Consul with the bucket this often");
    std::string compat;
    line.text("--compat", compat, "WORD",
              "Also write the keys of an older pipeline for its readers: consul-postgres");
    line.flag("--keep-removed", options.keep_removed,
              "Leave a removed target in Consul as it was last written");
    webhook::Options webhooks;
    line.list("--webhook", webhooks.urls, "URL", "Post each transition there as a CloudEvent",
              "PGPULSE_WEBHOOK");
    line.list("--webhook-header-file", webhooks.header_files, "FILE",
              "Headers to send along, one \"Name: value\" a line, read anew for each post");
    line.text("--webhook-ca-file", webhooks.ca_file, "FILE", "Certificates that vouch for webhooks");
    int stale_seconds = static_cast<int>(options.stale_after.count());
    line.text("--self-service", options.self_service, "NAME",
              "The bridge's own service in Consul; empty: none");
    line.integer("--stale-after", stale_seconds, 0, kMaxStaleSeconds, "SECONDS",
                 "Targets' checks warn once nothing new could be known for so long; 0: never");
    if (const auto code = line.parse(argc, argv)) return code;

    if (const auto fault = finish_security_options(options.consul, token_file)) return line.fault(*fault);
    const auto url = to_consul_url(options.consul.url, options.consul.tls);
    if (!url) return line.fault("--consul: " + url.error());
    options.consul.url = *url;
    if (const auto fault = fault_of_prefix(options.kv_prefix)) return line.fault("--kv-prefix: " + *fault);
    const auto compat_word = to_compat(compat);
    if (!compat_word) return line.fault("--compat: " + compat_word.error());
    options.compat = *compat_word;
    options.reconcile_interval = std::chrono::seconds{reconcile_seconds};
    auto endpoints = webhook::to_endpoints(webhooks);
    if (!endpoints) return line.fault(endpoints.error());
    options.webhooks = std::move(*endpoints);
    if (const auto fault = fault_of_service_name(options.self_service)) {
        return line.fault("--self-service: " + *fault);
    }
    if (stale_seconds > 0 && options.self_service.empty()) {
        return line.fault(
            "--stale-after: expected a --self-service, by which the bridges know of each other");
    }
    options.stale_after = std::chrono::seconds{stale_seconds};
    return runtime::finish_common_options(line, options.common, kProgram);
}

}  // namespace pgpulse::consul_bridge
