#include "common/nats/subscription.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/deployed_nats.hpp"
#include "tests/support/free_port.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

// The configurations of deploy/nats on real servers: what each of their users can do, and what the server denies it.
namespace pgpulse {
namespace {

using support::Daemon;
using support::DeployedNats;
using support::wait_until;
using testing::HasSubstr;
using testing::Not;

/// A cluster's elections take up to nine seconds each, and each bucket has one.
constexpr std::chrono::seconds kElections{120};
constexpr std::chrono::seconds kFlush{10};

/// The servers of one configuration.
class DeployedHub {
  public:
    static constexpr std::size_t kOfACluster = 3;

    explicit DeployedHub(const std::string& config) {
        if (config == "single.conf") {
            servers_.push_back(std::make_unique<DeployedNats>(authority_, config));
            return;
        }
        std::vector<std::uint16_t> ports(kOfACluster);
        std::string routes;
        for (auto& port : ports) {
            port = support::free_port();
            routes += (routes.empty() ? "[" : ", ") + std::string{"\"nats-route://cluster:"} +
                      DeployedNats::password_of("nats-server-cluster") +
                      "@localhost:" + std::to_string(port) + '"';
        }
        // Each is ready before it knows the others.
        for (std::size_t i = 0; i < kOfACluster; ++i) {
            servers_.push_back(std::make_unique<DeployedNats>(
                authority_, config,
                support::NatsVariables{
                    {"NATS_SERVER_NAME", "nats-" + std::to_string(i + 1)},
                    {"NATS_SERVER_CLUSTER_LISTEN", "127.0.0.1:" + std::to_string(ports[i])},
                    {"NATS_SERVER_ROUTES", routes + "]"}}));
        }
    }

    [[nodiscard]] const support::CertificateAuthority& authority() const { return authority_; }
    [[nodiscard]] std::string url() const {
        std::string all;
        for (const auto& server : servers_) all += (all.empty() ? "" : ",") + server->url();
        return all;
    }
    [[nodiscard]] std::string log() const {
        std::string all;
        for (const auto& server : servers_) all += server->log();
        return all;
    }
    [[nodiscard]] std::string replicas() const { return std::to_string(servers_.size()); }
    [[nodiscard]] support::ProcessOptions as(const std::string& user) const {
        return support::as_nats_user(user, url(), authority_);
    }

    support::CommandResult pgpulse(const std::string& user, std::vector<std::string> arguments) const {
        arguments.insert(arguments.begin(), support::built_program("pgpulse"));
        return support::run_to_end(arguments, as(user));
    }

  private:
    support::CertificateAuthority authority_;
    std::vector<std::unique_ptr<DeployedNats>> servers_;
};

class NatsRoles : public testing::TestWithParam<const char*> {
  protected:
    DeployedHub hub{GetParam()};
};

TEST_P(NatsRoles, AreEnoughForTheWorkOfEach) {
    Daemon aggregator{"pgpulse-aggregator", "a1", {"--replicas", hub.replicas()}, hub.as("aggregator-a1")};
    ASSERT_TRUE(wait_until([&] { return aggregator.readiness() == 200; }, kElections))
        << aggregator.log() << hub.log();
    Daemon probe{"pgpulse-probe", "w1", {}, hub.as("probe-w1")};
    support::Process watch{{support::built_program("pgpulse"), "watch"}, hub.as("reader")};
    ASSERT_TRUE(wait_until([&] { return watch.err().find("listening") != std::string::npos; }))
        << watch.err();

    // Nobody listens there: a real refusal.
    const support::TempDir folder;
    const std::string file = folder / "targets.json";
    std::ofstream{file} << R"({"targets": [{"name": "db1", "address": "127.0.0.1", "port": )"
                        << support::free_port() << "}]}";
    const auto applied = hub.pgpulse("operator", {"apply", "-f", file});
    ASSERT_EQ(applied.exit_code, 0) << applied.err;
    EXPECT_TRUE(wait_until([&] { return watch.out().find("db1  - → down") != std::string::npos; }))
        << watch.output() << aggregator.log() << probe.log() << hub.log();

    const auto status = hub.pgpulse("reader", {"status", "db1"});
    EXPECT_EQ(status.exit_code, 1) << status.err;
    EXPECT_THAT(status.out, HasSubstr("down"));
    for (const char* command : {"status", "get"}) {
        const auto read = hub.pgpulse("operator", {command, "db1"});
        EXPECT_THAT(read.out, HasSubstr("db1")) << command << read.err;
    }
    EXPECT_THAT(hub.pgpulse("operator", {"members"}).out, HasSubstr("w1"));
    EXPECT_TRUE(wait_until([&] {
        return hub.pgpulse("operator", {"history", "db1"}).out.find("down") != std::string::npos;
    })) << hub.pgpulse("operator", {"history", "db1"}).err;
    const auto paused = hub.pgpulse("operator", {"maintenance", "on", "db1"});
    EXPECT_EQ(paused.exit_code, 0) << paused.err;
    EXPECT_TRUE(wait_until([&] { return watch.out().find("maintenance begins") != std::string::npos; }))
        << watch.output();

    const auto untold = hub.pgpulse("reader", {"status", "--service", "db1"});
    EXPECT_EQ(untold.exit_code, 3) << untold.out;
    EXPECT_THAT(untold.err,
                HasSubstr("needs the right to publish on '$JS.API.STREAM.INFO.KV_health_targets'"));
    EXPECT_THAT(untold.err,
                HasSubstr("bucket 'health_targets' may not be read by this user, who lacks the right "
                          "above (docs/nats-rights.md)\n"));

    EXPECT_EQ(watch.terminate(), 0);
    EXPECT_EQ(watch.err().find("may not"), std::string::npos) << watch.err();
    for (Daemon* daemon : {&probe, &aggregator}) {
        EXPECT_EQ(daemon->stop(), 0);
        EXPECT_THAT(daemon->log(), Not(HasSubstr("may not")));
    }
    EXPECT_THAT(hub.log(), Not(testing::ContainsRegex("Violation - User \"(probe|aggregator|operator)")));
}

enum class Verb { publish, subscribe };

/// What the server's log has where it denied this to the user.
std::string denial(const std::string& user, Verb verb, const std::string& subject) {
    return std::string{verb == Verb::publish ? "Publish" : "Subscription"} + " Violation - User \"" + user +
           "\", Subject \"" + subject + '"';
}

/// Tries everything as this user and returns what was denied, each as its subject.
std::vector<std::string> denied_to(const DeployedHub& hub, const std::string& user, Verb verb,
                                   const std::vector<std::string>& subjects) {
    const auto connection = support::connect_as(user, hub.url(), hub.authority());
    std::vector<std::unique_ptr<nats::Subscription>> subscriptions;
    for (const std::string& subject : subjects) {
        if (verb == Verb::publish) {
            EXPECT_TRUE(connection->publish(subject, "{}"));
            continue;
        }
        auto opened = nats::Subscription::open(*connection, subject, [](const nats::Message&) {});
        if (!opened) throw std::runtime_error(opened.error().text);
        subscriptions.push_back(std::move(*opened));
    }
    // The server has judged, and logged, all that came before what this waits for.
    EXPECT_TRUE(connection->flush(kFlush));
    std::vector<std::string> denied;
    const std::string log = hub.log();
    for (const std::string& subject : subjects) {
        if (log.find(denial(user, verb, subject)) != std::string::npos) denied.push_back(subject);
    }
    return denied;
}

struct Role {
    std::string user;
    std::vector<std::string> may_publish, may_not_publish, may_subscribe, may_not_subscribe;
};

std::vector<Role> roles() {
    return {
        {"probe-w1",
         {"health.ping.07.w1.db1", "health.check.db1", "$KV.health_members.probe.w1"},
         // Another worker's word and key, a state, a definition, the history, the end of another's watch.
         {"health.ping.07.w2.db1", "$KV.health_members.probe.w2", "$KV.health_members.aggregator.a1",
          "$KV.health.db1", "$KV.health_targets.db1", "health.state.db1", "health.history.db1",
          "_INBOX_aggregator-a1.pgpulse.0123", "$JS.API.CONSUMER.CREATE.KV_health",
          "$JS.API.CONSUMER.DELETE.KV_health_targets.x"},
         {"health.check.*"},
         {"health.ping.>", "health.state.>"}},
        {"aggregator-a1",
         {"health.history.db1", "$KV.health_members.aggregator.a1"},
         // A ping, another's key.
         {"health.ping.07.w1.db1", "$KV.health_members.aggregator.a2", "$KV.health_members.probe.w1",
          "health.state.db1", "$KV.health_webhooks.x", "$JS.API.CONSUMER.DELETE.KV_health.x"},
         {"health.ping.>"},
         {"health.state.>", "health.check.*"}},
        {"bridge-b1",
         {"$KV.health_members.bridge.b1"},
         {"health.ping.07.w1.db1", "$KV.health_members.bridge.b2", "$KV.health.db1", "$KV.health_targets.db1",
          "health.state.db1", "health.history.db1", "health.check.db1", "$JS.API.STREAM.CREATE.KV_health",
          "$JS.API.CONSUMER.DELETE.KV_health.x"},
         {},
         {"health.ping.>", "health.state.>"}},
        {"operator",
         {"$KV.health_targets.db1", "health.check.db1", "$JS.API.DIRECT.GET.KV_health.$KV.health.db1"},
         {"health.ping.07.w1.db1", "$KV.health.db1", "$KV.health_members.probe.w1", "$KV.health_webhooks.x",
          "health.state.db1", "health.history.db1", "$JS.API.STREAM.CREATE.KV_health_targets"},
         {"health.state.>", "health.ping.>"},
         {"$KV.>"}},
        {"reader",
         {"$JS.API.DIRECT.GET.KV_health.$KV.health.db1", "$JS.API.STREAM.MSG.GET.KV_health"},
         {"$KV.health.db1", "$KV.health_targets.db1", "$KV.health_members.probe.w1", "health.state.db1",
          "health.check.db1", "health.ping.07.w1.db1", "$JS.API.STREAM.INFO.KV_health_targets",
          "$JS.API.CONSUMER.CREATE.KV_health_targets",
          "$JS.API.DIRECT.GET.KV_health_targets.$KV.health_targets.db1",
          "$JS.API.STREAM.MSG.GET.KV_health_targets", "$JS.API.CONSUMER.CREATE.HEALTH_TRANSITIONS",
          "$JS.API.CONSUMER.DELETE.KV_health_members.x"},
         {"health.state.>"},
         {"health.ping.>", "health.check.*"}},
        {"site-a",
         {"$JS.FC.KV_health.x"},
         {"$KV.health.db1", "$KV.health_targets.db1", "health.state.db1", "health.ping.07.w1.db1"},
         {},
         {"health.state.>", "health.ping.>"}},
    };
}

/// What would reach beyond pgpulse's own streams, or take something from them.
std::vector<std::string> for_nobody_to_publish() {
    std::vector<std::string> subjects{"$JS.API.STREAM.NAMES",
                                      "$JS.API.STREAM.LIST",
                                      "$JS.API.STREAM.CREATE.mine",
                                      "$JS.API.META.LEADER.STEPDOWN",
                                      "$JS.API.ACCOUNT.PURGE.$G",
                                      "$SYS.REQ.SERVER.PING",
                                      "_INBOX.somebody",
                                      "orders.new"};
    for (const std::string stream : {"KV_health", "KV_health_targets", "KV_health_members",
                                     "KV_health_webhooks", "HEALTH_TRANSITIONS"}) {
        for (const std::string request :
             {"STREAM.UPDATE.", "STREAM.DELETE.", "STREAM.PURGE.", "STREAM.MSG.DELETE.", "STREAM.SNAPSHOT.",
              "STREAM.RESTORE.", "STREAM.LEADER.STEPDOWN.", "CONSUMER.NAMES.", "CONSUMER.LIST.",
              "CONSUMER.DURABLE.CREATE."}) {
            std::string& subject = subjects.emplace_back("$JS.API.");
            subject.append(request).append(stream);
            if (request == "CONSUMER.DURABLE.CREATE.") subject += ".mine";
        }
    }
    return subjects;
}

TEST_P(NatsRoles, MayNothingBeyondTheirWork) {
    for (const Role& role : roles()) {
        const std::string& user = role.user;
        EXPECT_THAT(denied_to(hub, user, Verb::publish, role.may_publish), testing::IsEmpty()) << user;
        EXPECT_THAT(denied_to(hub, user, Verb::subscribe, role.may_subscribe), testing::IsEmpty()) << user;
        std::vector<std::string> publish = role.may_not_publish;
        for (std::string& subject : for_nobody_to_publish()) publish.push_back(std::move(subject));
        EXPECT_EQ(denied_to(hub, user, Verb::publish, publish), publish) << user;
        std::vector<std::string> subscribe = role.may_not_subscribe;
        // Everything, another's answers, what the server tells of others.
        for (const char* subject : {">", "_INBOX.>", "$JS.>", "$SYS.>", "health.>", "$KV.health.>"})
            subscribe.emplace_back(subject);
        for (const Role& other : roles()) {
            if (other.user != user) subscribe.push_back("_INBOX_" + other.user + ".>");
        }
        EXPECT_EQ(denied_to(hub, user, Verb::subscribe, subscribe), subscribe) << user;
    }
}

INSTANTIATE_TEST_SUITE_P(Of, NatsRoles, testing::Values("single.conf", "cluster.conf"),
                         [](const auto& config) {
                             return config.param == std::string{"single.conf"} ? "ASingleServer" : "ACluster";
                         });

TEST(NatsTls, IsSpokenWithVerifiedServersAlone) {
    const support::CertificateAuthority authority;
    const DeployedNats server{authority, "single.conf"};
    EXPECT_NO_THROW(support::connect_as("reader", server.url(), authority));
    const support::CertificateAuthority another;
    EXPECT_THROW(support::connect_as("reader", server.url(), another), std::runtime_error);
    nats::ConnectOptions options;
    options.user = "reader";
    options.password = DeployedNats::password_of("reader");
    // The system's authorities do not know the test's.
    for (const std::string scheme : {"tls", "nats"}) {
        options.url = scheme + server.url().substr(server.url().find(':'));
        EXPECT_FALSE(nats::Connection::open(options)) << options.url;
    }
    EXPECT_TRUE(wait_until([&] { return server.log().find("TLS handshake error") != std::string::npos; }));
}

TEST(NatsTls, RefusesAnotherPassword) {
    const support::CertificateAuthority authority;
    const DeployedNats server{authority, "single.conf"};
    auto as = support::as_nats_user("reader", server.url(), authority);
    for (auto& [name, value] : as.environment) {
        if (name == "NATS_PASSWORD") value = DeployedNats::password_of("operator");
    }
    const auto refused = support::run_to_end({support::built_program("pgpulse"), "status"}, as);
    EXPECT_EQ(refused.exit_code, 3);
    EXPECT_THAT(refused.err, HasSubstr("Authorization Violation"));
    EXPECT_THAT(refused.err, Not(HasSubstr("secret")));
}

}  // namespace
}  // namespace pgpulse
