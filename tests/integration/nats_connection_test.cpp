#include "common/nats/connection.hpp"
#include "common/nats/subscription.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/free_port.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/tcp_peer.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace pgpulse::nats {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using support::wait_until;

/// A connection, the changes it told and the messages it received on `things.>`.
class Client {
  public:
    explicit Client(const std::string& url) : connection_(open(url)), subscription_(subscribe()) {}

    Connection& operator*() { return *connection_; }
    Connection* operator->() { return connection_.get(); }

    std::vector<bool> changes() {
        const std::lock_guard lock{mutex_};
        return changes_;
    }
    std::vector<std::string> payloads() {
        const std::lock_guard lock{mutex_};
        return payloads_;
    }
    bool wait_until_connected(bool connected) {
        return wait_until([&] { return connection_->connected() == connected; });
    }

  private:
    std::mutex mutex_;
    std::vector<bool> changes_;
    std::vector<std::string> payloads_;
    std::unique_ptr<Connection> connection_;
    std::unique_ptr<Subscription> subscription_;

    std::unique_ptr<Connection> open(const std::string& url) {
        ConnectOptions options;
        options.url = url;
        auto opened = Connection::open(options, [this](bool connected) {
            const std::lock_guard lock{mutex_};
            changes_.push_back(connected);
        });
        if (!opened) throw std::runtime_error{opened.error().text};
        return std::move(*opened);
    }

    std::unique_ptr<Subscription> subscribe() {
        auto opened = Subscription::open(*connection_, "things.>", [this](const Message& message) {
            const std::lock_guard lock{mutex_};
            payloads_.emplace_back(payload_of(message));
        });
        if (!opened) throw std::runtime_error{opened.error().text};
        return std::move(*opened);
    }
};

TEST(Connection, TellsThatItIsConnected) {
    const support::NatsServer server;
    Client client{server.url()};
    EXPECT_TRUE(client->connected());
    EXPECT_EQ(client.changes(), std::vector<bool>{true});
    ASSERT_TRUE(client->publish("things.a", "hello"));
    EXPECT_TRUE(wait_until([&] { return client.payloads() == std::vector<std::string>{"hello"}; }));
}

TEST(Connection, MayBeStartedBeforeTheServer) {
    support::NatsServer server;
    server.stop();
    Client client{server.url()};
    EXPECT_FALSE(client->connected());
    EXPECT_TRUE(client.changes().empty());
    server.start();
    ASSERT_TRUE(client.wait_until_connected(true));
    EXPECT_TRUE(wait_until([&] { return client.changes() == std::vector<bool>{true}; }));
    ASSERT_TRUE(client->publish("things.a", "hello"));
    EXPECT_TRUE(wait_until([&] { return client.payloads() == std::vector<std::string>{"hello"}; }));
}

TEST(Connection, SendsWhatWasPublishedBeforeTheServerCame) {
    support::NatsServer server;
    server.stop();
    Client client{server.url()};
    ASSERT_TRUE(client->publish("things.a", "early"));
    server.start();
    EXPECT_TRUE(wait_until([&] { return client.payloads() == std::vector<std::string>{"early"}; }));
}

TEST(Connection, ComesBackWithItsSubscriptionsAfterTheServerWasKilled) {
    support::NatsServer server;
    Client client{server.url()};
    server.kill9();
    ASSERT_TRUE(client.wait_until_connected(false));
    server.start();
    ASSERT_TRUE(client.wait_until_connected(true));
    EXPECT_TRUE(wait_until([&] { return client.changes() == std::vector<bool>{true, false, true}; }));
    ASSERT_TRUE(client->publish("things.a", "again"));
    EXPECT_TRUE(wait_until([&] { return client.payloads() == std::vector<std::string>{"again"}; }));
}

TEST(Connection, NamesTheServerThatItIsConnectedToWithoutItsPassword) {
    support::NatsServer one;
    support::NatsServer other;
    const auto place = [](const support::NatsServer& server) {
        return "127.0.0.1:" + std::to_string(server.port());
    };
    const std::string secret = "s3cret";
    const support::Daemon daemon{
        "pgpulse-probe",
        "w1",
        {"--nats", "nats://w1:" + secret + "@" + place(one) + ",nats://w1:" + secret + "@" + place(other)}};
    const auto said = [&](const std::string& line) {
        return daemon.log().find(line + "\n") != std::string::npos;
    };
    const auto connected = [&](const support::NatsServer& server) {
        return said("connected to NATS at nats://" + place(server));
    };
    ASSERT_TRUE(wait_until([&] { return connected(one) || connected(other); })) << daemon.log();
    support::NatsServer& first = connected(one) ? one : other;
    support::NatsServer& second = &first == &one ? other : one;
    first.kill9();
    EXPECT_TRUE(wait_until([&] {
        return said("lost NATS at nats://" + place(first) + ": reconnecting") && connected(second);
    })) << daemon.log();
    EXPECT_EQ(daemon.log().find(secret), std::string::npos) << daemon.log();
}

TEST(Connection, SendsWhatWasPublishedWhileTheServerWasAway) {
    support::NatsServer server;
    Client client{server.url()};
    server.kill9();
    ASSERT_TRUE(client.wait_until_connected(false));
    ASSERT_TRUE(client->publish("things.a", "away"));
    server.start();
    ASSERT_TRUE(client.wait_until_connected(true));
    ASSERT_TRUE(client->publish("things.a", "back"));
    EXPECT_TRUE(wait_until([&] { return client.payloads() == std::vector<std::string>{"away", "back"}; }));
}

TEST(Connection, RefusesToBufferWithoutEnd) {
    support::NatsServer server;
    Client client{server.url()};
    server.kill9();
    ASSERT_TRUE(client.wait_until_connected(false));
    const std::string payload(1000, 'x');
    constexpr int kFarOverTheBuffer = 2000;
    int taken = 0;
    while (taken < kFarOverTheBuffer && client->publish("things.a", payload)) ++taken;
    EXPECT_GT(taken, 100);
    EXPECT_LT(taken, kFarOverTheBuffer);
}

TEST(Connection, NoticesAFrozenServer) {
    support::NatsServer server;
    Client client{server.url()};
    server.process().stop();
    EXPECT_TRUE(client.wait_until_connected(false));
    server.process().cont();
    EXPECT_TRUE(client.wait_until_connected(true));
}

TEST(Connection, FlushFailsWhileTheServerIsAway) {
    support::NatsServer server;
    Client client{server.url()};
    ASSERT_TRUE(client->flush(seconds{5}));
    server.kill9();
    ASSERT_TRUE(client.wait_until_connected(false));
    EXPECT_FALSE(client->flush(milliseconds{200}));
}

TEST(Connection, ThatIsClosedLetsNobodyWaitForAFrozenServer) {
    support::NatsServer server;
    Client client{server.url()};
    ASSERT_TRUE(client->flush(seconds{5}));
    server.process().stop();
    std::atomic<bool> asks{false};
    Result<void> answer;
    std::thread asking{[&] {
        asks.store(true);
        asks.notify_one();
        answer = client->flush(std::chrono::hours{1});
    }};
    asks.wait(false);
    client->close(milliseconds{50});
    asking.join();
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().status, NATS_CONNECTION_CLOSED);
    EXPECT_FALSE(client->connected());
    EXPECT_FALSE(client->publish("things.1", "late"));
    server.process().cont();
}

TEST(Connection, ThatIsClosedHasSentWhatWasBuffered) {
    const support::NatsServer server;
    Client reader{server.url()};
    ASSERT_TRUE(reader->flush(seconds{5}));
    Client client{server.url()};
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(client->publish("things.1", std::to_string(i)));
    client->close(seconds{30});
    EXPECT_TRUE(wait_until([&] { return reader.payloads().size() == 100; }));
}

TEST(Connection, WithRefusedCredentialsIsAnErrorThatSaysSo) {
    const support::NatsServer server{
        {.port = 0, .extra_config = "authorization { user: pulse, password: right }\n"}};
    ConnectOptions options;
    options.url = server.url();
    options.user = "pulse";
    options.password = "wrong-secret";
    const auto refused = Connection::open(options);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().status, NATS_CONNECTION_AUTH_FAILED);
    EXPECT_NE(refused.error().text.find("Authorization Violation"), std::string::npos)
        << refused.error().text;
    EXPECT_EQ(refused.error().text.find("wrong-secret"), std::string::npos);
    options.password = "right";
    EXPECT_TRUE(Connection::open(options));
}

TEST(Connection, WithAFileThatCannotBeReadIsAnErrorThatNamesIt) {
    const support::NatsServer guarded{
        {.port = 0, .extra_config = "authorization { user: pulse, password: right }\n"}};
    const support::TempDir folder;
    const std::string absent = (folder / "absent").string();
    ConnectOptions options;
    options.url = guarded.url();
    options.ca_file = absent;
    const auto without_ca = Connection::open(options);
    ASSERT_FALSE(without_ca);
    EXPECT_NE(without_ca.error().text.find("NATS_CA"), std::string::npos) << without_ca.error().text;
    options.ca_file.clear();
    options.credentials_file = absent;
    const auto without_credentials = Connection::open(options);
    ASSERT_FALSE(without_credentials);
    EXPECT_NE(without_credentials.error().text.find(absent), std::string::npos)
        << without_credentials.error().text;
}

TEST(Connection, WithAMalformedUrlIsAnError) {
    for (const char* url : {"", "foo://x", "nats://host:99999"}) {
        ConnectOptions options;
        options.url = url;
        const auto refused = Connection::open(options);
        ASSERT_FALSE(refused) << url;
        EXPECT_EQ(refused.error().status, NATS_INVALID_ARG) << url;
    }
}

TEST(Connection, DoesNotSpeakInTheClearToATlsUrl) {
    const support::NatsServer server;
    ConnectOptions options;
    options.url = "tls://127.0.0.1:" + std::to_string(server.port());
    const auto refused = Connection::open(options);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().status, NATS_SECURE_CONNECTION_WANTED) << refused.error().text;
}

TEST(Connection, WaitsForAServerThatTakesTheConnectionAndClosesIt) {
    const auto port = support::free_port();
    auto peer = std::make_unique<support::TcpPeer>(
        support::TcpScript{.greeting = {}, .reply = {}, .end = support::TcpScript::End::close}, port);
    std::unique_ptr<support::NatsServer> server;
    std::atomic<bool> opened{false};
    std::thread opener{[&] {
        const Client client{"nats://127.0.0.1:" + std::to_string(port)};
        opened = true;
    }};
    EXPECT_TRUE(wait_until([&] { return peer->accepted() >= 2; }));
    EXPECT_FALSE(opened);
    peer.reset();
    server =
        std::make_unique<support::NatsServer>(support::NatsServerOptions{.port = port, .extra_config = {}});
    EXPECT_TRUE(wait_until([&] { return opened.load(); }));
    opener.join();
}

TEST(Connection, GivesUpOnASilentServerWhereToldTo) {
    const support::TcpPeer silent;
    ConnectOptions options;
    options.url = "nats://127.0.0.1:" + std::to_string(silent.port());
    options.first_handshake_patience = milliseconds{1};
    const auto gave_up = Connection::open(options);
    ASSERT_FALSE(gave_up);
    EXPECT_EQ(gave_up.error().status, NATS_TIMEOUT) << gave_up.error().text;
}

}  // namespace
}  // namespace pgpulse::nats
