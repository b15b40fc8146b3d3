#include "consul-bridge/options.hpp"
#include "consul-bridge/token_file.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pgpulse::consul_bridge {
namespace {

TEST(BridgeOptions, AConsulAddressIsReadAsUsersWriteIt) {
    struct Case {
        const char* address;
        bool tls;
        const char* url;
    };
    const Case cases[] = {
        {"127.0.0.1:8500", false, "http://127.0.0.1:8500"},
        {"consul.example:8501", true, "https://consul.example:8501"},
        {"http://localhost:8500", false, "http://localhost:8500"},
        {"http://localhost:8500/", false, "http://localhost:8500"},
        {"https://consul.example", false, "https://consul.example"},
        {"http://consul.example:8501", true, "https://consul.example:8501"},
        {"[::1]:8500", false, "http://[::1]:8500"},
        {"http://[::1]", false, "http://[::1]"},
        {"unix:///run/consul.sock", false, "unix:///run/consul.sock"},
    };
    for (const Case& c : cases) EXPECT_EQ(to_consul_url(c.address, c.tls), c.url) << c.address;
}

TEST(BridgeOptions, AnotherAddressIsNamedWithWhatWasExpected) {
    for (const char* address : {"", "http://", "ftp://x:1", "host:port", "host:0", "host:65536",
                                "host:8500/v1", "[::1", "[]:8500", "a b:8500", "host:8500:1"}) {
        const auto url = to_consul_url(address, false);
        ASSERT_FALSE(url) << address;
        EXPECT_EQ(url.error(),
                  "expected HOST:PORT, http://HOST:PORT, https://HOST:PORT or unix:///PATH, found '" +
                      std::string{address} + "'");
    }
}

TEST(BridgeOptions, ASocketHasAnAbsolutePathThatTheKernelTakes) {
    for (const std::string& address :
         {std::string{"unix://"}, std::string{"unix:///"}, std::string{"unix://run/consul.sock"},
          "unix:///" + std::string(107, 'a')}) {
        const auto url = to_consul_url(address, false);
        ASSERT_FALSE(url) << address;
        EXPECT_EQ(url.error().find("expected unix:///PATH"), 0);
    }
    EXPECT_TRUE(to_consul_url("unix:///" + std::string(106, 'a'), false));
}

TEST(BridgeOptions, ATokenIsOneWordAndNeverRepeated) {
    EXPECT_EQ(parse_token("  b1gs-3cret\r\n"), "b1gs-3cret");
    for (const char* bad : {"hunter2 hunter3", "hunter2\r\nX-Evil: 1", "hunter2\x01", "h\xc3\xa4nter2"}) {
        const auto token = parse_token(bad);
        ASSERT_FALSE(token) << bad;
        EXPECT_EQ(token.error(), "expected a token: one word of visible characters");
    }
    EXPECT_EQ(parse_token(" \n").error(), "expected a token, found nothing");
}

TEST(BridgeOptions, APasswordInAnAddressIsNotRepeated) {
    const auto url = to_consul_url("http://user:hunter2@consul:8500", false);
    ASSERT_FALSE(url);
    EXPECT_EQ(url.error().find("hunter2"), std::string::npos);
}

TEST(BridgeOptions, CompatIsAWordThatIsKnown) {
    EXPECT_EQ(to_compat(""), Compat::none);
    EXPECT_EQ(to_compat("consul-postgres"), Compat::consul_postgres);
    const auto compat = to_compat("consul-esm");
    ASSERT_FALSE(compat);
    EXPECT_EQ(compat.error(), "expected consul-postgres, found 'consul-esm'");
}

TEST(BridgeOptions, APrefixEndsWithASlashAndBeginsWithNone) {
    for (const char* good : {"health/", "a/b/", "pg_pulse-1.x/"}) {
        EXPECT_EQ(fault_of_prefix(good), std::nullopt) << good;
    }
    for (const char* bad : {"", "/", "health", "/health/", "a//b/", "a b/", "a?/", "\xc3\xa4/"}) {
        EXPECT_NE(fault_of_prefix(bad), std::nullopt) << bad;
    }
}

}  // namespace
}  // namespace pgpulse::consul_bridge
