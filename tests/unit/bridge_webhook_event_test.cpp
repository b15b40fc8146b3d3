#include "consul-bridge/webhook/event.hpp"
#include "consul-bridge/webhook/url.hpp"
#include "tests/support/contract_documents.hpp"
#include "tests/support/folders.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>

namespace pgpulse::consul_bridge::webhook {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

contract::WallTime time_of(const std::string& text) { return contract::parse_rfc3339(text).value(); }

const contract::HistoryMark kMark{time_of("2026-01-01T00:00:00.123456Z"), 4711,
                                  time_of("2026-01-02T03:04:05.000321Z"), 8,
                                  time_of("2026-01-02T03:04:05.000120Z"), false};
const Position kPosition{time_of("2026-01-01T00:00:01.654321Z"), 1234};

/// The JSON blocks of docs/webhooks.md, by the word after "json".
json example(const std::string& name) {
    std::ifstream file{std::filesystem::path{support::source_folder()} / "docs" / "webhooks.md"};
    const std::string page{std::istreambuf_iterator<char>{file}, {}};
    const std::string fence = "```json " + name + "\n";
    const auto from = page.find(fence);
    if (from == std::string::npos) throw std::runtime_error("docs/webhooks.md has no example " + name);
    const auto begin = from + fence.size();
    return json::parse(page.substr(begin, page.find("```", begin) - begin));
}

TEST(WebhookEvent, OfATransitionIsThatOfTheDocument) {
    const std::string state = support::golden("state_full");
    const auto event = json::parse(to_cloud_event("orders-db", kMark, kPosition, state));
    json expected = example("transition");
    // The document shortens the state, which is the contract's.
    EXPECT_TRUE(expected.at("data").is_object());
    for (const auto& [key, value] : expected.at("data").items()) EXPECT_EQ(event.at("data").at(key), value);
    EXPECT_EQ(event.at("data"), json::parse(state));
    expected["data"] = event.at("data");
    EXPECT_EQ(event, expected);
}

TEST(WebhookEvent, OfARemovalIsThatOfTheDocument) {
    contract::HistoryMark mark = kMark;
    mark.removal = true;
    EXPECT_EQ(json::parse(to_cloud_event("orders-db", mark, kPosition, "")), example("removal"));
}

TEST(WebhookEvent, AttributesHaveTheNamesThatCloudEventsAllows) {
    const auto event = json::parse(to_cloud_event("orders-db", kMark, kPosition, "{}"));
    const std::regex name{"[a-z0-9]{1,20}"};
    for (const auto& [key, value] : event.items()) {
        EXPECT_TRUE(std::regex_match(key, name)) << key;
        if (key == "data") continue;
        EXPECT_TRUE(value.is_string() && !value.get<std::string>().empty()) << key;
    }
    for (const char* required : {"id", "source", "specversion", "type"})
        EXPECT_TRUE(event.contains(required));
}

TEST(WebhookEvent, TheIdTellsRevisionsApartThatAServerCountedTwice) {
    contract::HistoryMark again = kMark;
    again.stored_at += std::chrono::seconds{1};
    EXPECT_NE(event_id("db1", kMark), event_id("db1", again));
    EXPECT_NE(event_id("db1", kMark), event_id("db2", kMark));
}

TEST(WebhookEvent, SequencesSortAsTexts) {
    const auto sequence = [](Position position) {
        return json::parse(to_cloud_event("db1", kMark, position, "{}")).at("sequence").get<std::string>();
    };
    const Position later{kPosition.history + std::chrono::seconds{1}, 1};
    EXPECT_LT(sequence({kPosition.history, 9}), sequence({kPosition.history, 10}));
    EXPECT_LT(sequence({kPosition.history, 10'000'000'000}), sequence(later));
}

TEST(WebhookUrl, IsShownWithoutWhatMayBeASecret) {
    struct Case {
        const char* text;
        const char* shown;
    };
    for (const auto& [text, shown] : {
             Case{"https://hooks.example.com/services/T0/B0/s3cr3t", "https://hooks.example.com"},
             {"HTTPS://user:s3cr3t@Hooks.Example.com:8443/x?token=s3cr3t", "https://hooks.example.com:8443"},
             {"http://[::1]:8080", "http://[::1]:8080"},
             {"http://127.0.0.1?token=s3cr3t", "http://127.0.0.1"},
             {"http://a@b:1@host/", "http://host"},
         }) {
        const auto url = parse_url(text);
        ASSERT_TRUE(url) << text << url.error();
        EXPECT_EQ(url->shown, shown);
        EXPECT_EQ(url->whole, text);
        EXPECT_EQ(url->key.size(), 16U);
    }
}

TEST(WebhookUrl, KeyIsThatOfTheEndpointWhateverItsPassword) {
    const auto key = [](const char* text) { return parse_url(text).value().key; };
    EXPECT_EQ(key("https://host/a"), key("https://user:one@HOST/a"));
    EXPECT_NE(key("https://host/a"), key("https://host/b"));
    EXPECT_NE(key("https://host/a"), key("http://host/a"));
    EXPECT_NE(key("https://host/a"), key("https://host/a?x"));
}

TEST(WebhookUrl, AnotherOneIsRefusedWithoutBeingRepeated) {
    for (const char* text :
         {"", "s3cr3t", "ftp://s3cr3t/", "https://", "https:///s3cr3t", "http://host:0/s3cr3t",
          "http://host:65536/s3cr3t", "http://host:x/s3cr3t", "http://ho st/s3cr3t", "http://host/s3cr3t#x",
          "http://host/s3cr3t\n", "http://[::1/s3cr3t", "http://[]/s3cr3t", "http://user:s3cr3t@/",
          "http://h\xc3\xa4/s3cr3t", "file:///s3cr3t"}) {
        const auto url = parse_url(text);
        ASSERT_FALSE(url) << text;
        EXPECT_THAT(url.error(), HasSubstr("expected http://HOST"));
        EXPECT_THAT(url.error(), Not(HasSubstr("s3cr3t")));
    }
}

}  // namespace
}  // namespace pgpulse::consul_bridge::webhook
