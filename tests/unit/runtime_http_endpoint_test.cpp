#include "common/runtime/http_endpoint.hpp"

#include <curl/curl.h>
#include <gtest/gtest.h>
#include <prometheus/counter.h>
#include <prometheus/registry.h>

#include <atomic>
#include <memory>
#include <string>

namespace pgpulse::runtime {
namespace {

struct Answer {
    long status = 0;
    std::string body;
    std::string content_type;
};

std::size_t append(char* data, std::size_t size, std::size_t count, void* to) {
    static_cast<std::string*>(to)->append(data, size * count);
    return size * count;
}

/// Status 0: no answer.
Answer get(int port, const std::string& path, const std::string& host = "127.0.0.1") {
    const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl{curl_easy_init(), &curl_easy_cleanup};
    Answer answer;
    const std::string url = "http://" + host + ":" + std::to_string(port) + path;
    curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, append);
    curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &answer.body);
    curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, 30L);
    curl_easy_setopt(curl.get(), CURLOPT_NOPROXY, "*");
    if (curl_easy_perform(curl.get()) != CURLE_OK) return {};
    curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &answer.status);
    const char* type = nullptr;
    curl_easy_getinfo(curl.get(), CURLINFO_CONTENT_TYPE, &type);
    if (type != nullptr) answer.content_type = type;
    return answer;
}

class HttpEndpointTest : public testing::Test {
  protected:
    std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
    std::atomic<bool> healthy{true};
    std::atomic<bool> ready{false};

    tl::expected<std::unique_ptr<HttpEndpoint>, std::string> open(const std::string& address) {
        return HttpEndpoint::open(
            address, registry,
            {[this] { return healthy.load(); },
             [this] { return ready ? std::string{} : std::string{"NATS is not connected"}; }},
            "pgpulse_test_ready");
    }
};

TEST_F(HttpEndpointTest, ServesMetricsInPrometheusFormat) {
    auto& counter = prometheus::BuildCounter()
                        .Name("pgpulse_test_pings_total")
                        .Help("Pings")
                        .Register(*registry)
                        .Add({{"verdict", "accepting"}});
    counter.Increment(3);
    const auto endpoint = open("127.0.0.1:0");
    ASSERT_TRUE(endpoint) << endpoint.error();
    const Answer answer = get((*endpoint)->port(), "/metrics");
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.content_type, "text/plain; version=0.0.4");
    EXPECT_NE(answer.body.find("# TYPE pgpulse_test_pings_total counter\n"), std::string::npos)
        << answer.body;
    EXPECT_NE(answer.body.find("pgpulse_test_pings_total{verdict=\"accepting\"} 3\n"), std::string::npos)
        << answer.body;
    counter.Increment();
    EXPECT_NE(get((*endpoint)->port(), "/metrics").body.find("} 4\n"), std::string::npos);
}

TEST_F(HttpEndpointTest, IsHealthyWhileTheLoopTurns) {
    const auto endpoint = open("127.0.0.1:0");
    ASSERT_TRUE(endpoint) << endpoint.error();
    EXPECT_EQ(get((*endpoint)->port(), "/healthz").status, 200);
    healthy = false;
    EXPECT_EQ(get((*endpoint)->port(), "/healthz").status, 503);
    healthy = true;
    EXPECT_EQ(get((*endpoint)->port(), "/healthz").body, "ok\n");
}

TEST_F(HttpEndpointTest, SaysWhatItWaitsFor) {
    const auto endpoint = open("127.0.0.1:0");
    ASSERT_TRUE(endpoint) << endpoint.error();
    const Answer waiting = get((*endpoint)->port(), "/readyz");
    EXPECT_EQ(waiting.status, 503);
    EXPECT_EQ(waiting.body, "NATS is not connected\n");
    ready = true;
    EXPECT_EQ(get((*endpoint)->port(), "/readyz").status, 200);
}

TEST_F(HttpEndpointTest, TellsMonitoringWhetherItIsReady) {
    const auto endpoint = open("127.0.0.1:0");
    ASSERT_TRUE(endpoint) << endpoint.error();
    EXPECT_NE(get((*endpoint)->port(), "/metrics").body.find("\npgpulse_test_ready 0\n"), std::string::npos);
    ready = true;
    EXPECT_NE(get((*endpoint)->port(), "/metrics").body.find("\npgpulse_test_ready 1\n"), std::string::npos);
}

TEST_F(HttpEndpointTest, KnowsNothingElse) {
    const auto endpoint = open("127.0.0.1:0");
    ASSERT_TRUE(endpoint) << endpoint.error();
    EXPECT_EQ(get((*endpoint)->port(), "/").status, 404);
    EXPECT_EQ(get((*endpoint)->port(), "/metrics/x").status, 404);
}

TEST_F(HttpEndpointTest, RefusesAPortThatIsTaken) {
    const auto first = open("127.0.0.1:0");
    ASSERT_TRUE(first) << first.error();
    const std::string address = "127.0.0.1:" + std::to_string((*first)->port());
    const auto second = open(address);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error(), "cannot listen on " + address + ": address in use or not allowed");
}

TEST_F(HttpEndpointTest, GivesItsPortBack) {
    int port = 0;
    {
        const auto first = open("127.0.0.1:0");
        ASSERT_TRUE(first) << first.error();
        port = (*first)->port();
        EXPECT_EQ(get(port, "/healthz").status, 200);
    }
    EXPECT_EQ(get(port, "/healthz").status, 0);
    const auto second = open("127.0.0.1:" + std::to_string(port));
    ASSERT_TRUE(second) << second.error();
    EXPECT_EQ(get(port, "/healthz").status, 200);
}

TEST(HostPort, IsReadInItsThreeForms) {
    const auto plain = parse_host_port("127.0.0.1:9187");
    ASSERT_TRUE(plain);
    EXPECT_EQ(plain->host, "127.0.0.1");
    EXPECT_EQ(plain->port, 9187);
    EXPECT_EQ(parse_host_port("[::1]:9187")->host, "::1");
    EXPECT_EQ(parse_host_port(":9187")->host, "0.0.0.0");
    EXPECT_EQ(parse_host_port("localhost:0")->port, 0);
    EXPECT_EQ(parse_host_port("localhost:65535")->port, 65535);
}

TEST(HostPort, RefusesEverythingElse) {
    for (const char* text : {"", "127.0.0.1", "9187", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536",
                             "127.0.0.1:-1", "127.0.0.1:80x", "127.0.0.1: 80"}) {
        const auto where = parse_host_port(text);
        ASSERT_FALSE(where) << text;
        EXPECT_EQ(where.error(), std::string{"expected ADDR:PORT, found '"} + text + "'");
    }
}

}  // namespace
}  // namespace pgpulse::runtime
