#include "tests/support/bucket_author.hpp"
#include "tests/support/certificate_authority.hpp"
#include "tests/support/consul_agent.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/free_port.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

// The bridge's way to a real Consul: TLS with and without what it takes, and a socket.
namespace pgpulse {
namespace {

using contract::Health;
using nlohmann::json;
using support::a_definition;
using support::a_state;
using support::wait_until;
using Arguments = std::vector<std::string>;
using Environment = std::vector<std::pair<std::string, std::string>>;

class BridgeTls : public testing::Test {
  protected:
    const support::CertificateAuthority authority;
    const std::uint16_t port = support::free_port();
    const std::string url = "https://127.0.0.1:" + std::to_string(port);
    support::NatsServer nats;
    support::BucketAuthor bucket{nats.url()};
    std::unique_ptr<support::ConsulAgent> consul;
    std::unique_ptr<support::Daemon> bridge;

    /// With a certificate for these names ("IP:127.0.0.1").
    void start_consul(const std::string& names, bool asks_for_certificates = false) {
        const auto issued = authority.issue("consul", names);
        consul = std::make_unique<support::ConsulAgent>(
            support::ConsulAgentOptions{.extra_config = json{{"ports", {{"https", port}}},
                                                             {"cert_file", issued.certificate.string()},
                                                             {"key_file", issued.key.string()},
                                                             {"ca_file", authority.root().string()},
                                                             {"verify_incoming_https", asks_for_certificates}}
                                                            .dump()});
        bucket.define(a_definition("db1"));
        bucket.state(a_state("db1", Health::up));
    }

    void start_bridge(const std::string& address, const Arguments& more, Environment environment = {}) {
        Arguments arguments{"--nats", nats.url(), "--consul", address};
        arguments.insert(arguments.end(), more.begin(), more.end());
        support::ProcessOptions options;
        options.environment = std::move(environment);
        bridge = std::make_unique<support::Daemon>("pgpulse-consul-bridge", "bridge-1", arguments, options);
    }

    [[nodiscard]] bool works() const {
        return wait_until([&] { return consul->check_status("db1-isready") == "passing"; });
    }

    [[nodiscard]] bool logs(const std::string& line) const {
        return wait_until([&] { return bridge->log().find(line) != std::string::npos; });
    }

    /// Refused with this line, which stands there once, and nothing was written.
    void expect_refused(const std::string& line) const {
        EXPECT_TRUE(logs(line)) << line << "\n" << bridge->log();
        EXPECT_EQ(bridge->readiness(), 503);
        const std::string log = bridge->log();
        EXPECT_EQ(log.find("cannot be reached", log.find("cannot be reached") + 1), std::string::npos) << log;
        EXPECT_EQ(consul->check_status("db1-isready"), std::nullopt);
    }
};

TEST_F(BridgeTls, ACertificateOfTheNamedAuthorityIsTaken) {
    start_consul("IP:127.0.0.1");
    start_bridge(url, {"--consul-ca-file", authority.root().string()});
    EXPECT_TRUE(works()) << bridge->log();
}

TEST_F(BridgeTls, TheAuthorityMayBeAFolderAndTheVariablesSayTheSameAsTheFlags) {
    start_consul("IP:127.0.0.1");
    const support::TempDir folder;
    const support::CertificateAuthority other;
    std::filesystem::copy_file(other.root(), folder / "a.pem");
    std::filesystem::copy_file(authority.root(), folder / "b.pem");
    start_bridge("127.0.0.1:" + std::to_string(port), {},
                 {{"CONSUL_HTTP_SSL", "true"}, {"CONSUL_CAPATH", folder.path().string()}});
    EXPECT_TRUE(works()) << bridge->log();
}

TEST_F(BridgeTls, ACertificateOfAnotherAuthorityIsRefused) {
    start_consul("IP:127.0.0.1");
    const support::CertificateAuthority other;
    start_bridge(url, {"--consul-ca-file", other.root().string()});
    expect_refused("cannot be reached: SSL certificate problem: ");
    EXPECT_TRUE(logs("(--consul-ca-file or --consul-ca-path says whose certificates to trust)"));
}

TEST_F(BridgeTls, ACertificateIsVerifiedWithoutBeingAskedTo) {
    start_consul("IP:127.0.0.1");
    start_bridge(url, {});
    expect_refused("cannot be reached: SSL certificate problem: ");
}

TEST_F(BridgeTls, ACertificateOfAnotherNameIsRefusedUnlessThatNameIsGiven) {
    start_consul("DNS:server.dc1.consul");
    start_bridge(url, {"--consul-ca-file", authority.root().string()});
    expect_refused("(--consul-tls-server-name says which name its certificate has)");
    start_bridge(
        url, {"--consul-ca-file", authority.root().string(), "--consul-tls-server-name", "other.dc1.consul"});
    expect_refused("(--consul-tls-server-name says which name its certificate has)");
    start_bridge(url, {"--consul-ca-file", authority.root().string()},
                 {{"CONSUL_TLS_SERVER_NAME", "server.dc1.consul"}});
    EXPECT_TRUE(works()) << bridge->log();
}

TEST_F(BridgeTls, AClientsCertificateIsShownWhereItIsAskedFor) {
    start_consul("IP:127.0.0.1", true);
    const std::string root = authority.root().string();
    const auto mine = authority.issue("bridge");
    const support::CertificateAuthority other;
    const auto unknown = other.issue("bridge");
    const std::string refused =
        "cannot be reached: it ends the connection (where it asks for a certificate that it trusts: "
        "--consul-client-cert and --consul-client-key): trying again";
    start_bridge(url, {"--consul-ca-file", root});
    expect_refused(refused);
    start_bridge(url, {"--consul-ca-file", root, "--consul-client-cert", unknown.certificate.string(),
                       "--consul-client-key", unknown.key.string()});
    expect_refused(refused);
    start_bridge(
        url, {"--consul-ca-file", root},
        {{"CONSUL_CLIENT_CERT", mine.certificate.string()}, {"CONSUL_CLIENT_KEY", mine.key.string()}});
    EXPECT_TRUE(works()) << bridge->log();
}

TEST_F(BridgeTls, VerificationThatIsSwitchedOffIsSaidOnce) {
    start_consul("DNS:server.dc1.consul");
    start_bridge(url, {}, {{"CONSUL_HTTP_SSL_VERIFY", "false"}});
    EXPECT_TRUE(works()) << bridge->log();
    const std::string log = bridge->log();
    const std::string line = "Consul's certificate is not verified, as CONSUL_HTTP_SSL_VERIFY says";
    const auto at = log.find(line);
    ASSERT_NE(at, std::string::npos) << log;
    EXPECT_EQ(log.find(line, at + 1), std::string::npos) << log;
}

TEST_F(BridgeTls, TheWrongSchemeIsSaid) {
    start_consul("IP:127.0.0.1");
    start_bridge("http://127.0.0.1:" + std::to_string(port), {});
    EXPECT_TRUE(logs("HTTP 400: Client sent an HTTP request to an HTTPS server.: --consul needs https://"))
        << bridge->log();
    start_bridge("https://127.0.0.1:" + std::to_string(consul->http_port()), {});
    EXPECT_TRUE(logs("(it seems to speak http, not https)")) << bridge->log();
}

TEST_F(BridgeTls, ASocketIsAnAddressToo) {
    const support::TempDir folder;
    const std::string socket = "unix://" + (folder / "consul.sock").string();
    consul = std::make_unique<support::ConsulAgent>(support::ConsulAgentOptions{
        .extra_config = json{{"addresses", {{"http", "127.0.0.1 " + socket}}}}.dump()});
    bucket.define(a_definition("db1"));
    bucket.state(a_state("db1", Health::up));
    start_bridge(socket, {});
    EXPECT_TRUE(works()) << bridge->log();
    EXPECT_TRUE(logs("carrying states to Consul at " + socket));
}

}  // namespace
}  // namespace pgpulse
