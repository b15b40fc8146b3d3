#include "tests/support/daemons.hpp"
#include "tests/support/nats_cluster.hpp"
#include "tests/support/process.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

// What the command says while one NATS server of three is away: such a cluster makes one in three consumers on the server
// that is away, and never answers whoever asked for it.
namespace pgpulse {
namespace {

using support::wait_until;

constexpr int kRuns = 8;
constexpr std::chrono::seconds kElected{90};

TEST(CtlOnACluster, ReadsAllWhileOneServerIsAway) {
    support::NatsCluster cluster;
    support::Daemon aggregator{"pgpulse-aggregator", "a1", {"--nats", cluster.url(), "--replicas", "3"}};
    ASSERT_TRUE(wait_until([&] { return aggregator.readiness() == 200; }, kElected))
        << aggregator.log() << cluster.log();
    ASSERT_TRUE(wait_until([&] { return cluster.whole("KV_health") && cluster.whole("KV_health_members"); },
                           kElected))
        << cluster.log();
    cluster.kill(0);
    ASSERT_TRUE(wait_until(
        [&] { return cluster.leader_of("KV_health") && cluster.leader_of("KV_health_members"); }, kElected))
        << cluster.log();
    // Its key ran out while nobody led; it is stored again a refresh after somebody does.
    ASSERT_TRUE(wait_until(
        [&] {
            const auto members = support::run_to_end(
                {support::built_program("pgpulse"), "members", "--nats", cluster.url(), "--timeout", "25"});
            return members.out.find("a1") != std::string::npos;
        },
        kElected))
        << aggregator.log();
    for (int run = 0; run < kRuns; ++run) {
        const auto status = support::run_to_end(
            {support::built_program("pgpulse"), "status", "--nats", cluster.url(), "--timeout", "25"});
        EXPECT_EQ(status.exit_code, 0) << run << ": " << status.err;
        const auto members = support::run_to_end(
            {support::built_program("pgpulse"), "members", "--nats", cluster.url(), "--timeout", "25"});
        EXPECT_EQ(members.exit_code, 0) << run << ": " << members.err;
        EXPECT_NE(members.out.find("a1"), std::string::npos) << members.out;
    }
}

}  // namespace
}  // namespace pgpulse
