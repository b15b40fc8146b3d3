#include "aggregator/history_copier.hpp"
#include "common/nats/subscription.hpp"
#include "tests/support/bucket_author.hpp"
#include "tests/support/certificate_authority.hpp"
#include "tests/support/consul_agent.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/free_port.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/transition_author.hpp"
#include "tests/support/wait_until.hpp"
#include "tests/support/webhook_receiver.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

// What users' endpoints get of the transitions that were stored, whatever happens to them, to bridges and to NATS. A real
// aggregator copies the history.
namespace pgpulse {
namespace {

using nlohmann::json;
using support::Daemon;
using support::wait_until;
using support::WebhookReceiver;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kSecret = "s3cr3t-0f-a-test";

/// Handlers wait here until they are let go.
class Gate {
  public:
    WebhookReceiver::Answer wait() {
        std::unique_lock lock{mutex_};
        ++waiting_;
        opened_.wait(lock, [this] { return open_; });
        --waiting_;
        return {};
    }
    void open() {
        {
            const std::lock_guard lock{mutex_};
            open_ = true;
        }
        opened_.notify_all();
    }
    [[nodiscard]] int waiting() {
        const std::lock_guard lock{mutex_};
        return waiting_;
    }

  private:
    std::mutex mutex_;
    std::condition_variable opened_;
    bool open_ = false;
    int waiting_ = 0;
};

class BridgeWebhook : public testing::Test {
  protected:
    support::NatsServer nats;
    support::TransitionAuthor author{nats.url()};
    Daemon aggregator{"pgpulse-aggregator", "a1", {"--nats", nats.url()}};
    WebhookReceiver receiver;
    std::map<std::string, std::unique_ptr<Daemon>> bridges;

    Daemon& start(const std::string& id, std::vector<std::string> arguments,
                  std::vector<std::pair<std::string, std::string>> environment = {}) {
        // No Consul: it is of no account here.
        arguments.insert(arguments.begin(), {"--nats", nats.url(), "--consul", "http://127.0.0.1:1"});
        environment.emplace_back("no_proxy", "127.0.0.1");
        bridges[id] = std::make_unique<Daemon>("pgpulse-consul-bridge", id, arguments,
                                               support::ProcessOptions{.environment = environment});
        return *bridges[id];
    }
    Daemon& start(const std::string& id = "b1") { return start(id, {"--webhook", receiver.url()}); }

    void start_two() {
        start("b1");
        start("b2");
        ASSERT_TRUE(wait_until([&] {
            return bridges["b1"]->metric("pgpulse_bridge_members") == 2 &&
                   bridges["b2"]->metric("pgpulse_bridge_members") == 2 &&
                   (bridges["b1"]->log() + bridges["b2"]->log()).find(": posts ") != std::string::npos;
        })) << logs();
    }

    [[nodiscard]] static bool says(const Daemon& daemon, const std::string& text) {
        return wait_until([&] { return daemon.log().find(text) != std::string::npos; });
    }
    /// It posts to its endpoint.
    [[nodiscard]] static bool posts(const Daemon& daemon) { return says(daemon, ": posts "); }
    /// Scheme, host and port.
    [[nodiscard]] static std::string place(const WebhookReceiver& at) {
        return at.url().substr(0, at.url().rfind('/'));
    }

    [[nodiscard]] static double counted(const Daemon& daemon, const std::string& outcome) {
        double all = 0;
        std::istringstream lines{daemon.metrics()};
        for (std::string line; std::getline(lines, line);) {
            if (line.starts_with("pgpulse_bridge_webhook_posts_total") &&
                line.find("outcome=\"" + outcome + "\"") != std::string::npos)
                all += std::stod(line.substr(line.rfind(' ')));
        }
        return all;
    }

    /// `count` transitions of ten targets in turn.
    void write(int count) {
        for (int i = 0; i < count; ++i) author.transition("db" + std::to_string(written_++ % 10));
    }

    void expect_complete(const WebhookReceiver& at) {
        EXPECT_TRUE(wait_until([&] { return at.stories() == author.stories(); }, std::chrono::seconds{120}))
            << logs();
        EXPECT_EQ(at.stories(), author.stories());
    }
    void expect_complete() { expect_complete(receiver); }

    [[nodiscard]] std::string logs() const {
        std::string all = aggregator.log();
        for (const auto& [id, bridge] : bridges) all += "--- " + id + "\n" + bridge->log();
        return all;
    }

    /// The value of the only key of the bucket of cursors; an empty object where it is not there yet.
    [[nodiscard]] json cursor() {
        const std::string stream = "KV_health_webhooks";
        natsMsg* raw = nullptr;
        const auto info = author.stream_info(stream);
        if (!info || info->State.Msgs == 0) return json::object();
        if (js_GetMsg(&raw, author.js(), stream.c_str(), info->State.LastSeq, nullptr, nullptr) != NATS_OK)
            return json::object();
        const nats::Message message{raw};
        return json::parse(nats::payload_of(message));
    }

  private:
    int written_ = 0;
};

TEST_F(BridgeWebhook, GetsEachTransitionOnceInTheOrderOfItsTarget) {
    ASSERT_TRUE(posts(start())) << logs();
    write(200);
    author.remove("db3");
    author.transition("db3");
    expect_complete();
    const auto events = receiver.events();
    EXPECT_EQ(events.size(), 202U);
    // The endpoint has an event before the bridge has the answer.
    EXPECT_TRUE(wait_until([&] { return counted(*bridges["b1"], "delivered") == 202; })) << logs();

    const auto told = author.told();
    std::map<std::string, std::string> bodies;  // by id
    for (const auto& each : told) {
        bodies[each.target + "/" + each.headers.at("Pgpulse-Revision") + "/" +
               each.headers.at("Pgpulse-Stored-At")] = each.body;
    }
    for (const auto& event : events) {
        EXPECT_EQ(event.path, "/hook");
        EXPECT_EQ(event.headers.at("content-type"), "application/cloudevents+json; charset=utf-8");
        const json body = json::parse(event.body);
        EXPECT_EQ(body.at("specversion"), "1.0");
        EXPECT_EQ(body.at("source"), "/pgpulse/health");
        ASSERT_TRUE(bodies.contains(event.id)) << event.id;
        if (event.transition == 0) {
            EXPECT_EQ(body.at("type"), "io.pgpulse.health.removed");
            EXPECT_FALSE(body.contains("data"));
        } else {
            EXPECT_EQ(body.at("type"), "io.pgpulse.health.transition");
            EXPECT_EQ(body.at("data"), json::parse(bodies.at(event.id)));
            EXPECT_EQ(body.at("time"), body.at("data").at("decided_at"));
        }
    }
    EXPECT_TRUE(wait_until([&] { return cursor().value("sequence", 0) == 202; })) << cursor();
}

TEST_F(BridgeWebhook, BeginsWithWhatComesNextAndGoesOnWhereItWas) {
    write(20);
    ASSERT_TRUE(author.history_is_complete()) << logs();
    ASSERT_TRUE(says(start(), "posts transitions from now on")) << logs();
    ASSERT_TRUE(wait_until([&] { return cursor().value("sequence", 0) == 20; })) << cursor();
    write(10);
    ASSERT_TRUE(wait_until([&] { return receiver.count() == 10; })) << logs();
    ASSERT_TRUE(wait_until([&] { return cursor().value("sequence", 0) == 30; })) << cursor();
    EXPECT_EQ(bridges["b1"]->stop(), 0);
    write(15);
    bridges["b1"]->start();
    ASSERT_TRUE(wait_until([&] { return receiver.count() == 25; })) << logs();
    std::map<std::string, std::vector<std::uint64_t>> expected;
    for (const auto& [target, story] : author.stories()) expected[target] = {story.begin() + 2, story.end()};
    EXPECT_EQ(receiver.stories(), expected);
}

TEST_F(BridgeWebhook, ThatIsAwayGetsAllWhenItIsBack) {
    ASSERT_TRUE(posts(start())) << logs();
    write(20);
    expect_complete();
    receiver.stop();
    write(100);
    ASSERT_TRUE(says(*bridges["b1"], "keeping events until it takes them")) << logs();
    const std::string pending = "pgpulse_bridge_webhook_pending{endpoint=\"" + place(receiver) + "\"}";
    ASSERT_TRUE(wait_until([&] { return bridges["b1"]->metric(pending) == 100; }))
        << bridges["b1"]->metrics();
    receiver.start();
    expect_complete();
    EXPECT_EQ(receiver.count(), 120U);
    EXPECT_TRUE(says(*bridges["b1"], "takes events again after")) << logs();
}

TEST_F(BridgeWebhook, ThatIsSlowDelaysNoOther) {
    Gate gate;
    receiver.answer_with([&](const auto&) { return gate.wait(); });
    WebhookReceiver fast;
    Daemon& bridge = start("b1", {"--webhook", receiver.url(), "--webhook", fast.url()});
    for (const WebhookReceiver* each : {&receiver, &fast})
        ASSERT_TRUE(says(bridge, place(*each) + ": posts")) << logs();
    write(200);
    expect_complete(fast);
    EXPECT_EQ(receiver.count(), 0U);
    EXPECT_TRUE(wait_until([&] { return gate.waiting() > 1; })) << "several targets at once";
    gate.open();
    expect_complete();
}

TEST_F(BridgeWebhook, ThatAsksForTimeGetsIt) {
    std::mutex mutex;
    std::vector<std::chrono::steady_clock::time_point> asked;
    std::atomic<int> refused{0};
    receiver.answer_with([&](const auto&) -> WebhookReceiver::Answer {
        const std::lock_guard lock{mutex};
        asked.push_back(std::chrono::steady_clock::now());
        if (refused.fetch_add(1) == 0) return {429, {{"Retry-After", "3"}}};
        return {};
    });
    ASSERT_TRUE(posts(start())) << logs();
    author.transition("db1");
    ASSERT_TRUE(wait_until([&] { return refused > 0; })) << logs();
    write(10);
    expect_complete();
    const std::lock_guard lock{mutex};
    EXPECT_GE(asked.at(1) - asked.at(0), std::chrono::seconds{3});
}

TEST_F(BridgeWebhook, WhatItRefusesIsDroppedAndWhatItCannotTakeIsTriedAgain) {
    std::atomic<int> broken{0};
    receiver.answer_with([&](const auto& event) -> WebhookReceiver::Answer {
        if (event.subject == "db1" && event.transition == 2) return {400, {}};
        if (event.subject == "db2" && event.transition == 2 && broken.fetch_add(1) < 3) return {500, {}};
        return {};
    });
    ASSERT_TRUE(posts(start())) << logs();
    write(30);
    auto expected = author.stories();
    expected["db1"] = {1, 3};
    EXPECT_TRUE(wait_until([&] { return receiver.stories() == expected; })) << logs();
    EXPECT_EQ(counted(*bridges["b1"], "dropped"), 1);
    EXPECT_EQ(counted(*bridges["b1"], "retried"), 3);
    EXPECT_TRUE(says(*bridges["b1"], "HTTP 400 for an event of 'db1', which is dropped")) << logs();
    EXPECT_TRUE(says(*bridges["b1"], "HTTP 500 for an event of 'db2': it is tried again")) << logs();
    EXPECT_TRUE(wait_until([&] { return cursor().value("sequence", 0) == 30; })) << cursor();
}

TEST_F(BridgeWebhook, IsPostedToByOneOfTwoBridges) {
    start_two();
    write(200);
    expect_complete();
    EXPECT_EQ(receiver.count(), 200U);
    double one = 0;
    double other = 0;
    EXPECT_TRUE(wait_until([&] {
        one = counted(*bridges["b1"], "delivered");
        other = counted(*bridges["b2"], "delivered");
        return one + other == 200;
    })) << logs();
    EXPECT_EQ(std::min(one, other), 0) << logs();
}

TEST_F(BridgeWebhook, IsTakenOverFromABridgeThatIsKilled) {
    start_two();
    write(50);
    expect_complete();
    const std::string poster = counted(*bridges["b1"], "delivered") > 0 ? "b1" : "b2";
    const std::string other = poster == "b1" ? "b2" : "b1";
    write(50);
    bridges[poster]->kill9();
    write(100);
    expect_complete();
    EXPECT_GT(counted(*bridges[other], "delivered"), 0);
    // Whoever comes back goes on behind what the other one did meanwhile.
    bridges[poster]->start();
    ASSERT_TRUE(wait_until([&] { return bridges[poster]->metric("pgpulse_bridge_members") == 2; })) << logs();
    write(50);
    expect_complete();
}

TEST_F(BridgeWebhook, IsTakenOverFromABridgeThatIsStopped) {
    start_two();
    write(50);
    expect_complete();
    const std::string poster = counted(*bridges["b1"], "delivered") > 0 ? "b1" : "b2";
    Daemon& other = *bridges[poster == "b1" ? "b2" : "b1"];
    write(50);
    bridges[poster]->process().stop();
    write(50);
    expect_complete();
    EXPECT_GT(counted(other, "delivered"), 0);
    bridges[poster]->process().cont();
    write(50);
    expect_complete();
    EXPECT_TRUE(wait_until([&] { return other.metric("pgpulse_bridge_members") == 2; })) << logs();
    write(50);
    expect_complete();
}

TEST_F(BridgeWebhook, IsHandedOverInOrderAtTheEndOfABridge) {
    start_two();
    write(50);
    expect_complete();
    const std::string poster = counted(*bridges["b1"], "delivered") > 0 ? "b1" : "b2";
    // Where it cannot store it in time at its end, the next one posts what came since it did last.
    ASSERT_TRUE(wait_until([&] { return cursor().value("sequence", 0) == 50; })) << cursor();
    EXPECT_EQ(bridges[poster]->stop(), 0);
    write(50);
    expect_complete();
    EXPECT_EQ(receiver.count(), 100U) << "nothing twice";
}

TEST_F(BridgeWebhook, GetsAllWhileNatsIsKilledAndComesBack) {
    ASSERT_TRUE(posts(start())) << logs();
    write(50);
    expect_complete();
    nats.kill9();
    nats.start();
    write(100);
    expect_complete();
}

TEST_F(BridgeWebhook, GetsNothingTwiceOfAHistoryThatWasMadeAnew) {
    ASSERT_TRUE(posts(start())) << logs();
    write(30);
    expect_complete();
    ASSERT_TRUE(wait_until([&] { return cursor().value("sequence", 0) == 30; })) << cursor();
    ASSERT_EQ(js_DeleteStream(author.js(), "HEALTH_TRANSITIONS", nullptr, nullptr), NATS_OK);
    write(30);
    expect_complete();
    EXPECT_EQ(receiver.count(), 60U);
    EXPECT_TRUE(says(*bridges["b1"], "is another one than before")) << logs();
}

TEST_F(BridgeWebhook, ThatIsAwayForLongCostsBoundedMemory) {
    receiver.stop();
    ASSERT_TRUE(posts(start())) << logs();
    std::vector<std::string> targets;
    for (int i = 0; i < 6'000; ++i) targets.push_back("t" + std::to_string(i));
    author.transitions(targets);
    author.transitions(targets);
    ASSERT_TRUE(says(*bridges["b1"], "does not keep up")) << logs();
    EXPECT_TRUE(wait_until([&] { return bridges["b1"]->metrics().find("} 12000\n") != std::string::npos; }))
        << bridges["b1"]->metrics();
    receiver.start();
    expect_complete();
    EXPECT_EQ(receiver.count(), 12'000U);
}

TEST_F(BridgeWebhook, ABridgeEndsInOrderWhileAnEndpointHangs) {
    Gate gate;
    receiver.answer_with([&](const auto&) { return gate.wait(); });
    ASSERT_TRUE(posts(start())) << logs();
    author.transition("db1");
    ASSERT_TRUE(wait_until([&] { return gate.waiting() == 1; })) << logs();
    EXPECT_EQ(bridges["b1"]->stop(), 0);
    EXPECT_THAT(bridges["b1"]->log(), HasSubstr("stopped"));
    gate.open();
    EXPECT_EQ(cursor().value("sequence", 0), 0) << "it was not taken";
}

TEST_F(BridgeWebhook, NothingThatMayBeASecretIsShown) {
    const support::CertificateAuthority authority;
    const auto certificate = authority.issue("hooks", "IP:127.0.0.1");
    WebhookReceiver secure{{certificate.certificate, certificate.key}};
    const support::TempDir folder;
    const std::string headers = folder / "headers";
    std::ofstream{headers} << "Authorization: Bearer " << kSecret << "-1\n";
    const std::string url = "https://user:" + std::string{kSecret} + "@" + secure.url().substr(8) + "/" +
                            kSecret + "?token=" + kSecret;
    Daemon& bridge = start(
        "b1",
        {"--webhook-ca-file", authority.root(), "--webhook-header-file", headers, "--log-level", "trace"},
        {{"PGPULSE_WEBHOOK", url}});
    ASSERT_TRUE(posts(bridge)) << logs();
    author.transition("db1");
    ASSERT_TRUE(wait_until([&] { return secure.count() == 1; })) << logs();
    auto events = secure.events();
    EXPECT_EQ(events[0].path, "/hook/" + std::string{kSecret} + "?token=" + kSecret);
    EXPECT_EQ(events[0].headers.at("authorization"), "Bearer " + std::string{kSecret} + "-1");

    // The file is read again, and kept where it cannot be.
    std::ofstream{headers} << "Authorization: Bearer " << kSecret << "-2\n";
    author.transition("db1");
    ASSERT_TRUE(wait_until([&] { return secure.count() == 2; })) << logs();
    EXPECT_EQ(secure.events()[1].headers.at("authorization"), "Bearer " + std::string{kSecret} + "-2");
    std::filesystem::remove(headers);
    author.transition("db1");
    ASSERT_TRUE(wait_until([&] { return secure.count() == 3; })) << logs();
    EXPECT_EQ(secure.events()[2].headers.at("authorization"), "Bearer " + std::string{kSecret} + "-2");
    EXPECT_TRUE(says(bridge, "cannot read '" + headers + "'")) << logs();

    secure.stop();
    author.transition("db1");
    ASSERT_TRUE(says(bridge, "keeping events")) << logs();
    EXPECT_THAT(bridge.log(), Not(HasSubstr(kSecret)));
    EXPECT_THAT(bridge.metrics(), Not(HasSubstr(kSecret)));
    EXPECT_THAT(cursor().dump(), Not(HasSubstr(kSecret)));
    EXPECT_THAT(cursor().dump(), HasSubstr("https://127.0.0.1"));
    std::ifstream arguments{"/proc/" + std::to_string(bridge.process().pid()) + "/cmdline"};
    EXPECT_THAT((std::string{std::istreambuf_iterator<char>{arguments}, {}}), Not(HasSubstr(kSecret)));
}

TEST_F(BridgeWebhook, ACertificateThatNobodyVouchesForIsNotTrusted) {
    const support::CertificateAuthority authority;
    const auto certificate = authority.issue("hooks", "IP:127.0.0.1");
    const WebhookReceiver secure{{certificate.certificate, certificate.key}};
    Daemon& bridge = start("b1", {"--webhook", secure.url()});
    ASSERT_TRUE(posts(bridge)) << logs();
    author.transition("db1");
    EXPECT_TRUE(says(bridge, "certificate")) << logs();
    EXPECT_EQ(secure.count(), 0U);
}

/// The test writes states and definitions of targets in Consul, and copies the history itself.
TEST(BridgeWebhookBesideConsul, ADeadOneAndAHangingOneDelayNoWriteToConsul) {
    const support::NatsServer nats;
    support::BucketAuthor bucket{nats.url()};
    const support::ConsulAgent consul;
    aggregator::Metrics metrics;
    aggregator::HistoryCopier copier{bucket.connection(), "a1", {}, metrics, [] { return std::size_t{0}; }};
    copier.serving({"a1"});
    Gate gate;
    WebhookReceiver hanging;
    hanging.answer_with([&](const auto&) { return gate.wait(); });
    Daemon bridge{"pgpulse-consul-bridge",
                  "b1",
                  {"--nats", nats.url(), "--consul", consul.http_url(), "--webhook", hanging.url(),
                   "--webhook", "http://127.0.0.1:" + std::to_string(support::free_port()) + "/dead"},
                  {.environment = {{"no_proxy", "127.0.0.1"}}}};
    ASSERT_TRUE(wait_until([&] { return bridge.log().find(": posts ") != std::string::npos; }))
        << bridge.log();
    constexpr int kTargets = 20;
    for (int i = 0; i < kTargets; ++i) bucket.define(support::a_definition("db" + std::to_string(i)));
    std::uint64_t transition = 0;
    for (const auto& [health, status] : {std::pair{contract::Health::up, "passing"},
                                         {contract::Health::down, "critical"},
                                         {contract::Health::up, "passing"}}) {
        ++transition;
        for (int i = 0; i < kTargets; ++i)
            bucket.state(support::a_state("db" + std::to_string(i), health, transition));
        for (int i = 0; i < kTargets; ++i) {
            EXPECT_TRUE(wait_until([&] {
                return consul.check_status("db" + std::to_string(i) + "-isready") == status;
            })) << bridge.log();
        }
    }
    gate.open();
}

}  // namespace
}  // namespace pgpulse
