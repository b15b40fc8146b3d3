#include "tests/support/bucket_author.hpp"
#include "tests/support/consul_agent.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/process.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>
#include <string>

namespace pgpulse {
namespace {

using contract::Health;
using contract::Role;
using support::wait_until;
using Answers = std::set<std::string>;

/// What applications that know DNS alone see: `db1` and `db2` of the service `orders`, at addresses of their
/// own.
class BridgeDns : public testing::Test {
  protected:
    support::NatsServer nats;
    support::ConsulAgent consul;
    support::BucketAuthor bucket{nats.url()};
    support::Daemon bridge{
        "pgpulse-consul-bridge", "bridge-1", {"--nats", nats.url(), "--consul", consul.http_url()}};
    std::map<std::string, std::uint64_t> transitions;

    void SetUp() override {
        for (const auto& [target, address] : {std::pair{"db1", "10.0.0.1"}, {"db2", "10.0.0.2"}}) {
            auto definition = support::a_definition(target);
            definition.service = "orders";
            definition.address = address;
            definition.port = target == std::string{"db1"} ? 5432 : 6432;
            definition.tags = {"primary"};  // what an operator noted once must not outlive a promotion
            bucket.define(definition);
        }
    }

    void is(const std::string& target, Health health, std::optional<Role> role, bool maintenance = false) {
        auto state = support::a_state(target, health, ++transitions[target]);
        state.role = role;
        state.maintenance = maintenance;
        bucket.state(state);
    }

    /// The lines that dig prints.
    [[nodiscard]] Answers dig(const std::string& name, const std::string& type) const {
        const auto result = support::run_to_end(
            {"dig", "@127.0.0.1", "-p", std::to_string(consul.dns_port()), "+short", "+tries=3", name, type});
        Answers answers;
        std::istringstream lines{result.out};
        for (std::string line; std::getline(lines, line);) answers.insert(line);
        return answers;
    }

    void expect_answers(const std::string& name, const Answers& addresses) {
        EXPECT_TRUE(wait_until([&] { return dig(name, "A") == addresses; }))
            << name << ": " << testing::PrintToString(dig(name, "A")) << bridge.log();
    }
};

TEST_F(BridgeDns, AnswersWithServersThatAreUpAndWithTheirPorts) {
    is("db1", Health::up, Role::primary);
    is("db2", Health::up, Role::replica);
    expect_answers("orders.service.consul", {"10.0.0.1", "10.0.0.2"});
    EXPECT_EQ(dig("orders.service.consul", "SRV"),
              (Answers{"1 1 5432 0a000001.addr.dc1.consul.", "1 1 6432 0a000002.addr.dc1.consul."}));
    EXPECT_EQ(dig("0a000002.addr.dc1.consul", "A"), Answers{"10.0.0.2"});
    EXPECT_EQ(dig("db1.node.consul", "A"), Answers{"10.0.0.1"});

    is("db1", Health::down, Role::primary);
    expect_answers("orders.service.consul", {"10.0.0.2"});
    EXPECT_EQ(dig("orders.service.consul", "SRV"), Answers{"1 1 6432 0a000002.addr.dc1.consul."});
    is("db2", Health::down, Role::replica);
    expect_answers("orders.service.consul", {});
    is("db1", Health::up, Role::primary);
    expect_answers("orders.service.consul", {"10.0.0.1"});
}

TEST_F(BridgeDns, ThePrimaryFollowsAPromotion) {
    is("db1", Health::up, Role::primary);
    is("db2", Health::up, Role::replica);
    expect_answers("primary.orders.service.consul", {"10.0.0.1"});
    expect_answers("replica.orders.service.consul", {"10.0.0.2"});
    EXPECT_EQ(dig("primary.orders.service.consul", "SRV"), Answers{"1 1 5432 0a000001.addr.dc1.consul."});

    is("db1", Health::down, Role::primary);
    expect_answers("primary.orders.service.consul", {});
    is("db2", Health::up, Role::primary);
    expect_answers("primary.orders.service.consul", {"10.0.0.2"});
    EXPECT_EQ(dig("primary.orders.service.consul", "SRV"), Answers{"1 1 6432 0a000002.addr.dc1.consul."});
    is("db1", Health::up, Role::replica);
    expect_answers("replica.orders.service.consul", {"10.0.0.1"});
    expect_answers("primary.orders.service.consul", {"10.0.0.2"});
    expect_answers("orders.service.consul", {"10.0.0.1", "10.0.0.2"});
}

TEST_F(BridgeDns, WhatIsUnderMaintenanceIsDropped) {
    is("db1", Health::up, Role::primary);
    is("db2", Health::up, Role::replica);
    expect_answers("orders.service.consul", {"10.0.0.1", "10.0.0.2"});
    is("db1", Health::up, Role::primary, true);
    expect_answers("orders.service.consul", {"10.0.0.2"});
    expect_answers("primary.orders.service.consul", {});
    is("db1", Health::up, Role::primary);
    expect_answers("primary.orders.service.consul", {"10.0.0.1"});
}

TEST_F(BridgeDns, WhatNobodyCouldTellIsStillAnsweredWith) {
    is("db1", Health::unknown, Role::primary);
    expect_answers("orders.service.consul", {"10.0.0.1"});
}

}  // namespace
}  // namespace pgpulse
