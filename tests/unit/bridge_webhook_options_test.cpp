#include "consul-bridge/webhook/options.hpp"
#include "tests/support/temp_dir.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <fstream>
#include <string>

namespace pgpulse::consul_bridge::webhook {
namespace {

using testing::HasSubstr;
using testing::Not;

class WebhookOptions : public testing::Test {
  protected:
    support::TempDir folder;

    std::string file(const std::string& name, const std::string& text) {
        const std::string path = folder / name;
        std::ofstream{path} << text;
        return path;
    }
    static std::string fault(const Options& options) {
        const auto endpoints = to_endpoints(options);
        return endpoints ? "" : endpoints.error();
    }
};

TEST_F(WebhookOptions, EndpointsOfOneHostAreToldApart) {
    const auto endpoints = to_endpoints({{"https://a/x", "https://a/y", "https://b"}, {}, {}});
    ASSERT_TRUE(endpoints) << endpoints.error();
    EXPECT_EQ(endpoints->at(0).name, "https://a " + endpoints->at(0).url.key.substr(0, 8));
    EXPECT_NE(endpoints->at(0).name, endpoints->at(1).name);
    EXPECT_EQ(endpoints->at(2).name, "https://b");
}

TEST_F(WebhookOptions, AHeaderFileBelongsToOneEndpoint) {
    const std::string headers = file("headers", "Authorization: Bearer s3cr3t\n\nX-Team: orders\r\n");
    const auto endpoints = to_endpoints({{"https://a", "https://b"}, {"none", headers}, {}});
    ASSERT_TRUE(endpoints) << endpoints.error();
    EXPECT_EQ(endpoints->at(0).header_file, "");
    EXPECT_EQ(endpoints->at(1).header_file, headers);
    EXPECT_THAT(read_header_file(headers).value(),
                testing::ElementsAre("Authorization: Bearer s3cr3t", "X-Team: orders"));
    EXPECT_THAT(fault({{"https://a", "https://b"}, {headers}, {}}),
                HasSubstr("expected one for each --webhook"));
    EXPECT_THAT(fault({{}, {headers}, {}}), HasSubstr("expected one for each --webhook"));
}

TEST_F(WebhookOptions, FaultsAreNamedAndSecretsAreNot) {
    EXPECT_THAT(fault({{"https://a", "s3cr3t"}, {}, {}}),
                HasSubstr("--webhook (number 2): expected http://"));
    EXPECT_THAT(fault({{"s3cr3t"}, {}, {}}), HasSubstr("--webhook: expected http://"));
    EXPECT_THAT(fault({{"https://a/", "https://x@A/"}, {}, {}}), HasSubstr("expected each URL once"));
    EXPECT_THAT(fault({{"https://a"}, {}, "/nowhere/ca.pem"}),
                HasSubstr("--webhook-ca-file: cannot read '/nowhere/ca.pem'"));
    EXPECT_THAT(fault({{"https://a"}, {"/nowhere/headers"}, {}}),
                HasSubstr("cannot read '/nowhere/headers'"));
    for (const char* bad : {"s3cr3t", "X-Ok: 1\ns3cr3t s3cr3t: 1", "X:", ": s3cr3t", "", "X: s3cr3t\x01"}) {
        const std::string said = fault({{"https://a"}, {file("bad", bad)}, {}});
        EXPECT_THAT(said, HasSubstr("--webhook-header-file: ")) << bad;
        EXPECT_THAT(said, HasSubstr("Name: value")) << bad;
        EXPECT_THAT(said, Not(HasSubstr("s3cr3t"))) << bad;
    }
}

}  // namespace
}  // namespace pgpulse::consul_bridge::webhook
