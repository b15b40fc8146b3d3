#include "common/nats/server_url.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pgpulse::nats {
namespace {

TEST(ServerUrls, AreSplitAtTheirCommas) {
    const auto urls = parse_server_urls("nats://a:4222,tls://b,c:1");
    ASSERT_TRUE(urls) << urls.error();
    EXPECT_EQ(*urls, (std::vector<std::string>{"nats://a:4222", "tls://b", "c:1"}));
}

TEST(ServerUrls, MayNameUserAndSecretOrBeAnIpv6Address) {
    for (const char* url :
         {"nats://127.0.0.1:4222", "nats://127.0.0.1:4222/", "tls://user:secret@host.example:1",
          "nats://token@host", "nats://u:p@ss@host:65535", "nats://[::1]:4222", "[fe80::1%lo]", "localhost",
          "my_host:4222"}) {
        const auto urls = parse_server_urls(url);
        EXPECT_TRUE(urls) << url << ": " << urls.error();
    }
}

TEST(ServerUrls, OfAnotherFormAreRefused) {
    for (const char* url : {"",
                            ",",
                            "a,",
                            ",a",
                            "a,,b",
                            "nats://",
                            "http://host",
                            "foo://x",
                            "nats://host:0",
                            "nats://host:65536",
                            "nats://host:x",
                            "nats://host:",
                            "nats://:4222",
                            "nats://user@",
                            "nats://[::1",
                            "nats://::1",
                            "[]",
                            "nats://a b",
                            " nats://a",
                            "nats://a/path",
                            "nats://a?x"}) {
        const auto urls = parse_server_urls(url);
        ASSERT_FALSE(urls) << url;
        EXPECT_NE(urls.error().find(std::string{"found '"} + without_secrets(url) + "'"), std::string::npos)
            << urls.error();
    }
}

TEST(ServerUrls, AreShownWithoutSecrets) {
    EXPECT_EQ(without_secrets("nats://user:secret@host:4222"), "nats://host:4222");
    EXPECT_EQ(without_secrets("user:secret@host"), "host");
    EXPECT_EQ(without_secrets("nats://token@a,tls://u:p@ss@b:1,c"), "nats://a,tls://b:1,c");
    EXPECT_EQ(without_secrets("nats://127.0.0.1:4222"), "nats://127.0.0.1:4222");
    const auto urls = parse_server_urls("nats://user:secret@host:99999");
    ASSERT_FALSE(urls);
    EXPECT_EQ(urls.error().find("secret"), std::string::npos);
}

}  // namespace
}  // namespace pgpulse::nats
