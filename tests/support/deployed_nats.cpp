#include "tests/support/deployed_nats.hpp"

#include "tests/support/folders.hpp"
#include "tests/support/free_port.hpp"
#include "tests/support/nats_server.hpp"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace pgpulse::support {
namespace {

constexpr std::string_view kPasswordEnd = "_PASSWORD";

std::filesystem::path nats_folder() { return std::filesystem::path{source_folder()} / "deploy" / "nats"; }

/// NAME=VALUE, NAME='VALUE'.
NatsVariables read_example(const std::filesystem::path& path) {
    std::ifstream file{path};
    if (!file) throw std::runtime_error(path.string() + " cannot be read");
    NatsVariables variables;
    for (std::string line; std::getline(file, line);) {
        const auto equals = line.find('=');
        if (line.starts_with('#') || equals == std::string::npos) continue;
        std::string value = line.substr(equals + 1);
        if (value.size() > 1 && value.front() == '\'') value = value.substr(1, value.size() - 2);
        variables[line.substr(0, equals)] = value;
    }
    return variables;
}

std::string at_loopback(std::uint16_t port) { return "127.0.0.1:" + std::to_string(port); }

nats::ConnectOptions options_of(const std::string& user, const std::string& url,
                                const CertificateAuthority& authority) {
    nats::ConnectOptions options;
    options.url = url;
    options.user = user;
    options.password = DeployedNats::password_of(user);
    options.ca_file = authority.root();
    options.inbox_prefix = "_INBOX_" + user;
    return options;
}

}  // namespace

std::string DeployedNats::password_of(std::string_view user) { return "secret-of-" + std::string{user}; }

DeployedNats::DeployedNats(const CertificateAuthority& authority, std::string config, NatsVariables variables)
    : config_(std::move(config)), port_(free_port()), leaf_port_(free_port()) {
    variables_ =
        read_example(nats_folder() / (config_ == "leaf.conf" ? "site.env.example" : "hub.env.example"));
    for (auto& [name, value] : variables_) {
        if (!name.ends_with(kPasswordEnd)) continue;
        std::string user = name.substr(0, name.size() - kPasswordEnd.size());
        std::ranges::transform(user, user.begin(),
                               [](unsigned char c) { return c == '_' ? '-' : std::tolower(c); });
        value = password_of(user);
    }
    const std::string name = variables.contains("NATS_SERVER_NAME") ? variables["NATS_SERVER_NAME"] : config_;
    const auto issued = authority.issue(name, "DNS:localhost,IP:127.0.0.1");
    NatsVariables own{{"NATS_SERVER_NAME", name},
                      {"NATS_SERVER_LISTEN", at_loopback(port_)},
                      {"NATS_SERVER_LEAF_LISTEN", at_loopback(leaf_port_)},
                      // Leads nowhere: a site would go past the relay that stands for its link.
                      {"NATS_SERVER_LEAF_ADVERTISE", "127.0.0.1:1"},
                      {"NATS_SERVER_STORE", (folder_ / "store").string()},
                      {"NATS_SERVER_CERT", issued.certificate.string()},
                      {"NATS_SERVER_KEY", issued.key.string()},
                      {"NATS_SERVER_CA", authority.root().string()}};
    own.merge(variables_);
    variables.merge(own);
    variables_ = std::move(variables);
    start();
}

void DeployedNats::start() {
    if (process_) return;
    ProcessOptions options{.working_directory = folder_.path(), .log_file = folder_ / "nats.log"};
    options.environment.assign(variables_.begin(), variables_.end());
    process_ = std::make_unique<Process>(
        std::vector<std::string>{"nats-server", "--config", (nats_folder() / config_).string()}, options);
    wait_ready(*process_, "nats-server", [this] {
        const auto line = nats_greeting(port_);
        return line.starts_with("INFO ") && line.find("\"jetstream\":true") != std::string::npos;
    });
}

void DeployedNats::kill9() {
    process_->kill9();
    process_.reset();
}

void DeployedNats::wipe_store() {
    if (process_) throw std::logic_error("wipe_store() while nats-server runs");
    std::filesystem::remove_all(folder_ / "store");
}

std::string DeployedNats::url() const { return "tls://localhost:" + std::to_string(port_); }

std::string DeployedNats::log() const {
    std::ostringstream text;
    text << std::ifstream{folder_ / "nats.log"}.rdbuf();
    return text.str();
}

ProcessOptions as_nats_user(const std::string& user, const std::string& url,
                            const CertificateAuthority& authority) {
    const nats::ConnectOptions options = options_of(user, url, authority);
    return {.environment = {{"NATS_URL", options.url},
                            {"NATS_USER", options.user},
                            {"NATS_PASSWORD", options.password},
                            {"NATS_CA", options.ca_file},
                            {"NATS_INBOX_PREFIX", options.inbox_prefix}}};
}

std::unique_ptr<nats::Connection> connect_as(const std::string& user, const std::string& url,
                                             const CertificateAuthority& authority) {
    auto connection = nats::Connection::open(options_of(user, url, authority));
    if (!connection) throw std::runtime_error(connection.error().text);
    return std::move(*connection);
}

}  // namespace pgpulse::support
