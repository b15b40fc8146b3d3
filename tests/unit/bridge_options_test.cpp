#include "consul-bridge/options.hpp"

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
    };
    for (const Case& c : cases) EXPECT_EQ(to_consul_url(c.address, c.tls), c.url) << c.address;
}

TEST(BridgeOptions, AnotherAddressIsNamedWithWhatWasExpected) {
    for (const char* address : {"", "http://", "ftp://x:1", "host:port", "host:0", "host:65536",
                                "host:8500/v1", "[::1", "[]:8500", "a b:8500", "host:8500:1"}) {
        const auto url = to_consul_url(address, false);
        ASSERT_FALSE(url) << address;
        EXPECT_EQ(url.error(), "expected HOST:PORT, http://HOST:PORT or https://HOST:PORT, found '" +
                                   std::string{address} + "'");
    }
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
