#include "common/contract/names.hpp"
#include "common/nats/bucket.hpp"
#include "tests/support/bucket_author.hpp"
#include "tests/support/bucket_ledger.hpp"
#include "tests/support/consul_agent.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/folders.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/ping_ledger.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/times.hpp"
#include "tests/support/wait_until.hpp"
#include "tests/support/webhook_receiver.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <sstream>

// The daemons beside a nats-server that restricts its users: with the rights of deploy/nats/users.conf, and with one of
// them missing.
namespace pgpulse {
namespace {

using support::Daemon;
using support::wait_until;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kNatsSecret = "a-secret-of-a-test";
constexpr int kRightsTargets = 20;

/// deploy/nats/users.conf with passwords, and with a user for the test who may do everything.
std::string rights_of_the_file() {
    const auto path = std::filesystem::path{support::source_folder()} / "deploy" / "nats" / "users.conf";
    std::ifstream file{path};
    std::string block{std::istreambuf_iterator<char>{file}, {}};
    block = std::regex_replace(block, std::regex{R"(\$\w+_PASSWORD)"}, std::string{'"'} + kNatsSecret + '"');
    const std::string users = "users: [\n";
    const auto at = block.find(users);
    if (at == std::string::npos) throw std::runtime_error("no users in " + path.string());
    block.insert(at + users.size(),
                 std::string{"    { user: \"test\", password: \""} + kNatsSecret + "\" }\n");
    return block;
}

/// The block without one line of the probe's part, or without one subject of such a line.
std::string without(std::string block, const std::string& text) {
    const auto probe = block.find("\"probe-w1\"");
    const auto at = block.find(text, probe);
    const auto end = block.find("\"aggregator-a1\"", probe);
    if (at == std::string::npos || at > end) throw std::runtime_error(text + " is no right of the probe");
    return block.erase(at, text.size());
}

support::ProcessOptions as(const std::string& user) {
    return {.environment = {{"NATS_USER", user},
                            {"NATS_PASSWORD", kNatsSecret},
                            {"NATS_INBOX_PREFIX", "_INBOX_" + user}}};
}

std::unique_ptr<nats::Connection> connect_as_test(const support::NatsServer& server) {
    nats::ConnectOptions options;
    options.url = server.url();
    options.user = "test";
    options.password = kNatsSecret;
    auto connection = nats::Connection::open(options);
    if (!connection) throw std::runtime_error(connection.error().text);
    return std::move(*connection);
}

/// A server with restricted users, and a probe that is one of them.
class NatsRights : public testing::Test {
  protected:
    std::unique_ptr<support::NatsServer> server;
    std::unique_ptr<nats::Connection> connection;
    std::unique_ptr<support::PingLedger> pings;
    std::unique_ptr<Daemon> probe;

    void start_server(const std::string& rights) {
        server = std::make_unique<support::NatsServer>(support::NatsServerOptions{.extra_config = rights});
        connection = connect_as_test(*server);
        pings = std::make_unique<support::PingLedger>(*connection);
    }

    void start_probe() {
        probe = std::make_unique<Daemon>("pgpulse-probe", "w1",
                                         std::vector<std::string>{"--nats", server->url()}, as("probe-w1"));
    }

    void define(const std::string& name, std::uint16_t port) const {
        contract::StoredDefinition stored;
        stored.definition = support::a_definition(name);
        stored.definition.port = port;
        stored.definition.interval = std::chrono::milliseconds{200};
        stored.definition.timeout = std::chrono::seconds{10};
        ASSERT_TRUE(connection->publish("$KV.health_targets." + name, encode(stored)));
        ASSERT_TRUE(connection->flush(std::chrono::seconds{5}));
    }

    /// Targets at a port where nobody listens.
    void define_dead() const {
        for (int i = 0; i < kRightsTargets; ++i) define("db" + std::to_string(i), 1);
    }

    void make_buckets() {
        for (const auto& [name, ttl] :
             {std::pair{contract::kTargetsBucket, 0}, std::pair{contract::kMembersBucket, 2}}) {
            nats::BucketConfig config;
            config.name = name;
            config.ttl = std::chrono::seconds{ttl};
            ASSERT_TRUE(nats::ensure_bucket(*connection, config));
        }
    }

    /// The probe with all its rights but one, with targets to ping.
    void start_probe_without(const std::string& right) {
        start_server(without(rights_of_the_file(), right));
        make_buckets();
        define_dead();
        start_probe();
    }

    bool said(const std::string& text) const {
        return wait_until([&] { return probe->log().find(text) != std::string::npos; });
    }
};

TEST_F(NatsRights, OfTheFileAreEnoughForEveryDaemon) {
    start_server(rights_of_the_file());
    const support::ConsulAgent consul;
    Daemon aggregator{"pgpulse-aggregator", "a1", {"--nats", server->url()}, as("aggregator-a1")};
    // It alone may create the buckets.
    ASSERT_TRUE(wait_until([&] { return aggregator.readiness() == 200; })) << aggregator.log();
    start_probe();
    const support::WebhookReceiver receiver;
    support::ProcessOptions as_bridge = as("bridge-b1");
    as_bridge.environment.emplace_back("no_proxy", "127.0.0.1");
    Daemon bridge{"pgpulse-consul-bridge",
                  "b1",
                  {"--nats", server->url(), "--consul", consul.http_url(), "--webhook", receiver.url()},
                  as_bridge};
    const auto all_ready = [&] {
        return probe->readiness() == 200 && aggregator.readiness() == 200 && bridge.readiness() == 200;
    };
    const auto logs = [&] { return probe->log() + aggregator.log() + bridge.log() + server->log(); };
    ASSERT_TRUE(wait_until(all_ready)) << logs();
    support::PostgresServer live;
    define("live", live.port());
    define_dead();
    const auto check_is = [&](const std::string& target, const std::string& status) {
        return wait_until([&] { return consul.check_status(target + "-isready", target) == status; });
    };
    ASSERT_TRUE(check_is("live", "passing")) << logs();
    ASSERT_TRUE(check_is("db0", "critical")) << logs();
    // It posts, and stores up to where, from a moment after its start on.
    ASSERT_TRUE(wait_until([&] { return bridge.log().find(": posts ") != std::string::npos; })) << logs();
    // A first failure of one that is held up calls its other observers.
    live.kill9();
    ASSERT_TRUE(check_is("live", "critical")) << logs();
    EXPECT_GE(probe->metric("pgpulse_probe_calls_total"), 1);
    // Of 21 targets the first transition at least.
    const auto copied = [&] {
        return aggregator.metric("pgpulse_aggregator_history_copied_total").value_or(0);
    };
    ASSERT_TRUE(wait_until([&] {
        return copied() > kRightsTargets && aggregator.metric("pgpulse_aggregator_history_behind") == 0;
    })) << logs();
    // The buckets are read anew by a connection that comes back.
    const int connected = support::times("connected to NATS", probe->log());
    server->restart();
    ASSERT_TRUE(wait_until([&] { return support::times("connected to NATS", probe->log()) > connected; }))
        << logs();
    ASSERT_TRUE(wait_until(all_ready)) << logs();
    // So is the end of the history, before it is gone on with.
    const double before = copied();
    const std::size_t posted = receiver.count();
    live.start();
    ASSERT_TRUE(check_is("live", "passing")) << logs();
    ASSERT_TRUE(wait_until([&] { return copied() > before; })) << logs();
    ASSERT_TRUE(wait_until([&] { return receiver.count() > posted; })) << logs();
    for (Daemon* daemon : {probe.get(), &aggregator, &bridge}) {
        EXPECT_EQ(daemon->stop(), 0);
        EXPECT_THAT(daemon->log(), Not(HasSubstr("may not")));
        EXPECT_THAT(daemon->log(), Not(HasSubstr("error")));
    }
    EXPECT_THAT(server->log(), Not(HasSubstr("Permissions Violation")));
}

TEST_F(NatsRights, ToPublishPingsThatAreMissingAreSaidOnceForAllTargets) {
    start_probe_without("\"health.ping.*.w1.>\"");
    ASSERT_TRUE(said("may not publish on 'health.ping.")) << probe->log();
    EXPECT_THAT(probe->log(), HasSubstr("its user needs the right to publish on 'health.ping.*.w1.>'"));
    const auto made = [&] {
        double all = 0;
        for (const char* reason : {"refused", "timeout"}) {
            all += probe
                       ->metric(R"(pgpulse_probe_pings_total{reason=")" + std::string{reason} +
                                R"(",verdict="no_response",via="fresh"})")
                       .value_or(0);
        }
        return all;
    };
    // It goes on pinging, and most of what the server says of it is kept back.
    ASSERT_TRUE(wait_until([&] { return made() > 200; })) << probe->log();
    EXPECT_LT(support::times("may not publish on 'health.ping.", probe->log()), 20) << probe->log();
    EXPECT_EQ(probe->stop(), 0);
}

TEST_F(NatsRights, ToHearCallsThatAreMissingAreSaidAndPingsGoOn) {
    start_probe_without("\"health.check.*\", ");
    ASSERT_TRUE(
        said("NATS: this client may not subscribe to 'health.check.*': its user needs the right to "
             "subscribe to 'health.check.*'"))
        << probe->log();
    EXPECT_TRUE(wait_until([&] { return pings->of("db0").size() > 2; })) << probe->log();
    EXPECT_EQ(probe->stop(), 0);
}

TEST_F(NatsRights, ToWriteItsMembershipThatAreMissingAreSaidAndItOwnsNothing) {
    start_probe_without("\"$KV.health_members.probe.w1\"");
    ASSERT_TRUE(
        said("NATS: this client may not publish on '$KV.health_members.probe.w1': its user needs the "
             "right to publish on '$KV.health_members.probe.w1'"))
        << probe->log();
    EXPECT_EQ(probe->readiness(), 503);
    EXPECT_THAT(pings->of("db0"), testing::IsEmpty());
    EXPECT_EQ(probe->stop(), 0);
}

TEST_F(NatsRights, ToReadABucketThatAreMissingAreSaid) {
    start_probe_without("\"$JS.API.CONSUMER.CREATE.KV_health_targets\"");
    ASSERT_TRUE(
        said("NATS: this client may not publish on '$JS.API.CONSUMER.CREATE.KV_health_targets': its "
             "user needs the right"))
        << probe->log();
    EXPECT_EQ(probe->readiness(), 503);
    EXPECT_EQ(probe->stop(), 0);
}

}  // namespace
}  // namespace pgpulse
