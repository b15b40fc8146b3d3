#include "common/contract/names.hpp"
#include "common/nats/bucket_writer.hpp"
#include "common/nats/stream_facts.hpp"
#include "common/nats/subscription.hpp"
#include "tests/support/bucket_author.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/deployed_nats.hpp"
#include "tests/support/free_port.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/tcp_relay.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

// A hub and a site behind a leaf node, with the configurations of deploy/nats on real servers, and `pgpulse replicate` in
// between.
namespace pgpulse {
namespace {

using contract::Health;
using support::a_state;
using support::DeployedNats;
using support::wait_until;
using testing::HasSubstr;
using testing::Not;

constexpr std::chrono::seconds kLinkPatience{60};

std::string hub_as_site_a(std::uint16_t port) {
    return "[\"tls://site-a:" + DeployedNats::password_of("site-a") + "@localhost:" + std::to_string(port) +
           "\"]";
}

class CtlReplicate : public testing::Test {
  protected:
    support::CertificateAuthority authority;
    DeployedNats hub{authority, "single.conf"};
    support::TcpRelay link{hub.leaf_port()};
    DeployedNats site{authority, "leaf.conf", {{"NATS_SERVER_HUB", hub_as_site_a(link.port())}}};
    std::unique_ptr<support::BucketAuthor> author = an_author();

    std::unique_ptr<support::BucketAuthor> an_author() {
        return std::make_unique<support::BucketAuthor>(
            support::connect_as("aggregator-a1", hub.url(), authority));
    }

    /// `pgpulse replicate` at the site.
    struct Replicate {
        std::string address = "127.0.0.1:" + std::to_string(support::free_port());
        support::Process process;

        explicit Replicate(support::ProcessOptions options, const std::string& domain = "hub")
            : process({support::built_program("pgpulse"), "replicate", "--from-domain", domain, "--http",
                       address},
                      options) {}

        [[nodiscard]] support::HttpAnswer readiness() const {
            return support::http_get("http://" + address + "/readyz");
        }
        [[nodiscard]] bool ready() const { return readiness().status == 200; }
        [[nodiscard]] bool says(const std::string& text) const {
            return process.err().find(text) != std::string::npos;
        }
    };

    support::ProcessOptions as_replicator() const {
        auto options = support::as_nats_user("replicator", site.url(), authority);
        for (auto& [name, value] : options.environment) {
            if (name == "NATS_INBOX_PREFIX") value = "_INBOX_site-a";
        }
        return options;
    }

    /// What `pgpulse status` at the site says of a target.
    std::string at_site(const std::string& target) const {
        const auto result =
            support::run_to_end({support::built_program("pgpulse"), "status", "--json", target},
                                support::as_nats_user("reader", site.url(), authority));
        for (const char* state : {"up", "down", "unknown"}) {
            if (result.out.find("\"state\":\"" + std::string{state} + '"') != std::string::npos) return state;
        }
        return result.err.find("has no state") != std::string::npos ? "none" : result.err;
    }

    bool arrives(const std::string& target, const std::string& state) const {
        return wait_until([&] { return at_site(target) == state; }, kLinkPatience);
    }

    std::string logs(const Replicate& replicate) const {
        return replicate.process.err() + "\nhub:\n" + hub.log() + "\nsite:\n" + site.log();
    }
};

/// One text, of which gtest shows all.
std::string joined(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words) text += word + '\n';
    return text;
}

/// What a subscriber of `health.state.>` hears, in order: "db1 3", "db1 removed".
class Heard {
  public:
    explicit Heard(std::unique_ptr<nats::Connection> connection)
        : connection_(std::move(connection)),
          subscription_(nats::Subscription::open(*connection_, std::string{contract::kAllStates},
                                                 [this](const nats::Message& message) { take(message); })
                            .value()) {
        if (!connection_->flush(std::chrono::seconds{10})) throw std::runtime_error("does not listen");
    }

    [[nodiscard]] std::vector<std::string> all() const {
        const std::lock_guard lock{mutex_};
        return heard_;
    }

    /// In the order of the bucket's revisions.
    [[nodiscard]] std::vector<std::string> by_revision() const {
        const std::lock_guard lock{mutex_};
        std::vector<std::string> words;
        for (const auto& [revision, word] : revisions_) words.push_back(word);
        return words;
    }

  private:
    mutable std::mutex mutex_;
    std::vector<std::string> heard_;
    std::multimap<std::uint64_t, std::string> revisions_;
    std::unique_ptr<nats::Connection> connection_;
    std::unique_ptr<nats::Subscription> subscription_;

    void take(const nats::Message& message) {
        const std::string target{nats::subject_of(message).substr(contract::kAllStates.size() - 1)};
        const auto state = contract::decode_state(target, nats::payload_of(message));
        const char* revision = nullptr;
        if (natsMsgHeader_Get(message.get(), "Nats-Sequence", &revision) != NATS_OK) return;
        const std::lock_guard lock{mutex_};
        heard_.push_back(target + ' ' + (state ? std::to_string(state->transition) : "removed"));
        revisions_.emplace(std::stoull(revision), heard_.back());
    }
};

TEST_F(CtlReplicate, ASiteReadsStatesWhileTheLinkIsCutAndGetsWhatItMissedInOrder) {
    author->state(a_state("db1", Health::up, 1));
    author->state(a_state("db2", Health::up, 1));
    Replicate replicate{as_replicator()};
    ASSERT_TRUE(wait_until([&] { return replicate.ready(); }, kLinkPatience)) << logs(replicate);
    EXPECT_EQ(at_site("db1"), "up");
    EXPECT_EQ(at_site("db2"), "up");
    const Heard at_the_site{support::connect_as("reader", site.url(), authority)};
    const Heard at_the_hub{support::connect_as("reader", hub.url(), authority)};
    const auto revision = author->state(a_state("db1", Health::down, 2));
    EXPECT_TRUE(arrives("db1", "down")) << logs(replicate);

    link.cut();
    ASSERT_TRUE(wait_until([&] { return replicate.says("domain 'hub' does not answer"); }, kLinkPatience))
        << logs(replicate);
    EXPECT_EQ(replicate.readiness().status, 503);
    EXPECT_THAT(replicate.readiness().body, HasSubstr("domain 'hub' does not answer"));
    // As aggregators write: by compare-and-set, with the headers that a copy must not have.
    std::vector<nats::WriteOutcome::Kind> outcomes;
    std::mutex mutex;
    const auto writer =
        nats::BucketWriter::open(author->connection(), "health", [&](const nats::WriteOutcome& outcome) {
            const std::lock_guard lock{mutex};
            outcomes.push_back(outcome.kind);
        });
    ASSERT_TRUE(writer);
    ASSERT_TRUE((*writer)->put("db1", encode(a_state("db1", Health::unknown, 3)), revision));
    ASSERT_TRUE((*writer)->drain(std::chrono::seconds{10}));
    EXPECT_THAT(outcomes, testing::ElementsAre(nats::WriteOutcome::Kind::stored));
    author->state(a_state("db1", Health::up, 4));
    author->remove_state("db2");
    // Past the link there is no way, however often the site looks for one.
    EXPECT_FALSE(wait_until([&] { return at_site("db1") != "down" || at_site("db2") != "up"; },
                            std::chrono::seconds{5}))
        << at_site("db1") << ", " << at_site("db2") << logs(replicate);

    link.mend();
    EXPECT_TRUE(arrives("db1", "up")) << logs(replicate);
    EXPECT_TRUE(arrives("db2", "none")) << logs(replicate);
    EXPECT_TRUE(wait_until([&] { return replicate.ready(); }));
    // Each once, at the site and at the hub, whatever way it took.
    const std::vector<std::string> expected{"db1 2", "db1 3", "db1 4", "db2 removed"};
    EXPECT_TRUE(wait_until([&] { return at_the_site.all().size() >= expected.size(); }));
    EXPECT_EQ(at_the_site.all(), expected);
    EXPECT_EQ(at_the_hub.all(), expected);
    EXPECT_EQ(replicate.process.terminate(), 0);
    EXPECT_FALSE(replicate.says("may not")) << replicate.process.err();
    EXPECT_THAT(hub.log() + site.log(), Not(HasSubstr("Violation")));
}

TEST_F(CtlReplicate, TheSiteKeepsWhatAHubLostUntilTheHubSaysOtherwise) {
    author->state(a_state("db1", Health::up, 1));
    author->state(a_state("db2", Health::down, 2));
    const Replicate replicate{as_replicator()};
    ASSERT_TRUE(wait_until([&] { return replicate.ready(); }, kLinkPatience)) << logs(replicate);
    author.reset();
    hub.kill9();
    ASSERT_TRUE(wait_until([&] { return !replicate.ready(); }, kLinkPatience)) << logs(replicate);
    EXPECT_EQ(at_site("db1"), "up");
    hub.wipe_store();
    hub.start();
    // The bucket is there again, and empty.
    author = an_author();
    ASSERT_TRUE(wait_until([&] { return replicate.ready(); }, kLinkPatience)) << logs(replicate);
    EXPECT_EQ(at_site("db1"), "up");
    EXPECT_EQ(at_site("db2"), "down");
    author->state(a_state("db1", Health::down, 2));
    EXPECT_TRUE(arrives("db1", "down")) << logs(replicate);
    EXPECT_EQ(at_site("db2"), "down");
    // Read whole and followed for a while, the new bucket is believed.
    EXPECT_TRUE(arrives("db2", "none")) << logs(replicate);
    EXPECT_TRUE(replicate.says("removes them"));
    EXPECT_EQ(at_site("db1"), "down");
}

TEST_F(CtlReplicate, OfTwoAtOnceEachTransitionIsCopiedOnceInOrder) {
    author->state(a_state("db1", Health::up, 1));
    auto first = std::make_unique<Replicate>(as_replicator());
    const Replicate second{as_replicator()};
    ASSERT_TRUE(wait_until([&] { return first->ready() && second.ready(); }, kLinkPatience)) << logs(second);
    const Heard heard{support::connect_as("reader", site.url(), authority)};
    std::vector<std::string> expected;
    constexpr std::uint64_t kTransitions = 200;
    for (std::uint64_t transition = 2; transition <= kTransitions; ++transition) {
        author->state(a_state("db1", transition % 2 == 0 ? Health::down : Health::up, transition));
        expected.push_back("db1 " + std::to_string(transition));
        // What a killed one sent the other has copied, or copies.
        if (transition == kTransitions / 2) first->process.kill9();
    }
    EXPECT_TRUE(wait_until([&] { return heard.all().size() >= expected.size(); }, kLinkPatience))
        << logs(second);
    // A server may tell what two clients wrote right after each other in another order than it stores them.
    EXPECT_EQ(joined(heard.by_revision()), joined(expected)) << logs(second);
    EXPECT_TRUE(arrives("db1", "down"));
}

TEST_F(CtlReplicate, WhatSomebodyWroteIntoTheCopyIsPutRight) {
    author->state(a_state("db1", Health::up, 1));
    const Replicate replicate{as_replicator()};
    ASSERT_TRUE(wait_until([&] { return replicate.ready(); }, kLinkPatience)) << logs(replicate);
    const auto intruder = support::connect_as("replicator", site.url(), authority);
    ASSERT_TRUE(intruder->publish("$KV.health.db1", encode(a_state("db1", Health::down, 9))));
    ASSERT_TRUE(intruder->flush(std::chrono::seconds{10}));
    EXPECT_TRUE(arrives("db1", "up")) << logs(replicate);
}

TEST_F(CtlReplicate, RefusesToCopyABucketOntoItself) {
    Replicate replicate{as_replicator(), "site-a"};
    EXPECT_EQ(replicate.process.wait_exit(), 2) << logs(replicate);
    EXPECT_TRUE(replicate.says("--from-domain: 'site-a' is the domain of the NATS server itself"))
        << replicate.process.err();
    const auto bad = support::run_to_end(
        {support::built_program("pgpulse"), "replicate", "--from-domain", "a.b"}, as_replicator());
    EXPECT_EQ(bad.exit_code, 2);
    EXPECT_THAT(bad.err, HasSubstr("--from-domain: expected"));
}

TEST_F(CtlReplicate, ASiteThatIsNotWhatItShouldBeGetsNothingButTheBucket) {
    author->state(a_state("db1", Health::up, 1));
    // The site's password, and no limits of its own.
    const auto own = authority.issue("rogue", "DNS:localhost");
    const support::NatsServer rogue{
        {.extra_config = "leafnodes { remotes: [ { urls: " + hub_as_site_a(hub.leaf_port()) +
                         ", tls { cert_file: \"" + own.certificate.string() + "\", key_file: \"" +
                         own.key.string() + "\", ca_file: \"" + authority.root().string() + "\" } } ] }\n"}};
    nats::ConnectOptions options;
    options.url = rogue.url();
    options.inbox_prefix = "_INBOX_site-a";
    const auto connection = nats::Connection::open(options);
    ASSERT_TRUE(connection);
    // What is granted goes through, so what does not is denied.
    ASSERT_TRUE(wait_until([&] { return nats::look_at_stream(**connection, "KV_health", "hub").has_value(); },
                           kLinkPatience))
        << hub.log() << rogue.log();
    const Heard at_the_hub{support::connect_as("reader", hub.url(), authority)};
    for (const char* subject :
         {"$JS.hub.API.STREAM.PURGE.KV_health", "$JS.hub.API.STREAM.DELETE.KV_health",
          "$JS.API.STREAM.DELETE.KV_health", "$JS.hub.API.STREAM.DELETE.KV_health_targets", "$KV.health.db1",
          "health.state.db1", "$KV.health_targets.db1"}) {
        ASSERT_TRUE((*connection)->publish(subject, {}));
    }
    EXPECT_FALSE(nats::look_at_stream(**connection, "KV_health_targets", "hub"));
    // On one connection what comes later is handled later.
    auto facts = nats::look_at_stream(**connection, "KV_health", "hub");
    EXPECT_TRUE(wait_until([&] {
        if (!facts) facts = nats::look_at_stream(**connection, "KV_health", "hub");
        return facts.has_value();
    }));
    ASSERT_TRUE(facts);
    EXPECT_EQ(facts->messages, 1U);
    EXPECT_EQ(facts->last, 1U);
    auto defined = nats::look_at_stream(author->connection(), "KV_health_targets");
    EXPECT_TRUE(wait_until([&] {
        if (!defined) defined = nats::look_at_stream(author->connection(), "KV_health_targets");
        return defined.has_value();
    }));
    ASSERT_TRUE(defined);
    EXPECT_EQ(defined->created, author->epoch("health_targets"));
    EXPECT_THAT(at_the_hub.all(), testing::IsEmpty());
}

}  // namespace
}  // namespace pgpulse
