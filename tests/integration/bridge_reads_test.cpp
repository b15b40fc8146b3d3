#include "consul-bridge/consul_requests.hpp"
#include "tests/support/consul_agent.hpp"
#include "tests/support/http_proxy.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

// What ends a bridge's read of Consul.
namespace pgpulse {
namespace {

using consul_bridge::ConsulClient;
using testing::HasSubstr;

TEST(BridgeReads, EndBusyWhereConsulAsksForFewerRequestsAndLostWhereItDoesNotServe) {
    const support::ConsulAgent consul;
    const support::HttpProxy proxy{consul.http_port()};
    consul_bridge::ConsulOptions options;
    options.url = proxy.url();
    ConsulClient client{options};
    EXPECT_TRUE(read_everything(client, "health/"));

    proxy.answer(429);
    const auto busy = read_everything(client, "health/");
    ASSERT_FALSE(busy);
    EXPECT_TRUE(busy.error().busy);
    EXPECT_EQ(busy.error().pause, std::chrono::seconds{1}) << "as the proxy asks";
    EXPECT_THAT(busy.error().text, HasSubstr("answers HTTP 429"));

    proxy.answer(503);
    const auto lost = read_targets(client, "health/", {"db1"});
    ASSERT_FALSE(lost);
    EXPECT_FALSE(lost.error().busy);
    EXPECT_THAT(lost.error().text, HasSubstr("answers HTTP 503"));
}

}  // namespace
}  // namespace pgpulse
