#include "common/contract/names.hpp"
#include "common/nats/bucket.hpp"
#include "tests/support/bucket_events.hpp"
#include "tests/support/connect.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/nats_cluster.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/times.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

// --replicas of the daemons: what they create, and what they say where they cannot or need not.
namespace pgpulse {
namespace {

using support::Daemon;
using support::wait_until;

/// Nullopt: there is no such bucket, or nobody answers.
std::optional<std::int64_t> replicas_of(nats::Connection& connection, std::string_view bucket) {
    jsCtx* js = nullptr;
    if (natsConnection_JetStream(&js, connection.handle(), nullptr) != NATS_OK) return std::nullopt;
    const nats::JetStreamHandle js_owner{js};
    jsStreamInfo* info = nullptr;
    const std::string stream = "KV_" + std::string{bucket};
    if (js_GetStreamInfo(&info, js, stream.c_str(), nullptr, nullptr) != NATS_OK) return std::nullopt;
    const nats::StreamInfoHandle owner{info};
    return info->Config->Replicas;
}

void make(nats::Connection& connection, std::string_view bucket) {
    nats::BucketConfig config;
    config.name = bucket;
    ASSERT_TRUE(nats::ensure_bucket(connection, config));
}

class ReplicasOf : public testing::TestWithParam<const char*> {
  protected:
    support::NatsServer server;
    std::unique_ptr<nats::Connection> connection = support::connect(server.url());

    Daemon start() { return {GetParam(), "one", {"--nats", server.url(), "--replicas", "3"}}; }
};

TEST_P(ReplicasOf, TooFewServersAreNamedWithTheFlag) {
    const Daemon daemon = start();
    EXPECT_TRUE(wait_until([&] {
        return daemon.log().find("create bucket 'health_members' with --replicas 3: ") != std::string::npos;
    })) << daemon.log();
}

TEST_P(ReplicasOf, ABucketThatIsThereWithFewerIsSaidOnceAndLeftAsItIs) {
    for (const auto bucket : {contract::kStateBucket, contract::kTargetsBucket, contract::kMembersBucket})
        make(*connection, bucket);
    Daemon daemon = start();
    const std::string line =
        "bucket 'health_members' has 1 of the 3 replicas that --replicas asks for: `nats stream edit "
        "KV_health_members --replicas 3` changes that";
    ASSERT_TRUE(wait_until([&] { return daemon.log().find(line) != std::string::npos; })) << daemon.log();
    // It has looked again meanwhile.
    support::BucketEvents members;
    const nats::BucketWatch watch{*connection, std::string{contract::kMembersBucket},
                                  [&](nats::BucketEvent event) { members.take(std::move(event)); }};
    ASSERT_TRUE(wait_until([&] {
        const auto held = members.held();
        return std::ranges::any_of(
            held, [](const auto& member) { return member.second.find("serving") != std::string::npos; });
    })) << daemon.log();
    EXPECT_EQ(daemon.stop(), 0);
    EXPECT_EQ(support::times(line, daemon.log()), 1) << daemon.log();
    for (const auto bucket : {contract::kStateBucket, contract::kTargetsBucket, contract::kMembersBucket})
        EXPECT_EQ(replicas_of(*connection, bucket), 1);
}

INSTANTIATE_TEST_SUITE_P(EveryDaemon, ReplicasOf,
                         testing::Values("pgpulse-probe", "pgpulse-aggregator", "pgpulse-consul-bridge"),
                         [](const auto& info) {
                             const std::string name = info.param;
                             return name.substr(name.rfind('-') + 1);
                         });

TEST(ReplicasOnACluster, AreThoseThatADaemonWasAskedFor) {
    const support::NatsCluster cluster;
    const auto connection = support::connect(cluster.url());
    const auto start = [&](const char* program, const char* replicas) {
        return Daemon{program, "one", {"--nats", cluster.url(), "--replicas", replicas}};
    };
    const auto created = [&](std::string_view bucket, std::int64_t replicas) {
        return wait_until([&] { return replicas_of(*connection, bucket) == replicas; });
    };
    {
        // Nobody else would make a bucket before it.
        const Daemon aggregator = start("pgpulse-aggregator", "5");
        EXPECT_TRUE(wait_until([&] {
            return aggregator.log().find("create bucket 'health' with --replicas 5: ") != std::string::npos;
        })) << aggregator.log();
    }
    const Daemon bridge = start("pgpulse-consul-bridge", "3");
    EXPECT_TRUE(created(contract::kMembersBucket, 3)) << bridge.log();
    const Daemon probe = start("pgpulse-probe", "2");
    EXPECT_TRUE(created(contract::kTargetsBucket, 2)) << probe.log();
    const Daemon aggregator = start("pgpulse-aggregator", "3");
    EXPECT_TRUE(created(contract::kStateBucket, 3)) << aggregator.log();
}

}  // namespace
}  // namespace pgpulse
