#include "consul-bridge/entry.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace pgpulse::consul_bridge {
namespace {

using nlohmann::json;
using Texts = std::map<std::string, std::string>;

TEST(BridgeEntry, HasTheMembersOfEachObjectOfAList) {
    std::vector<Entry> entries;
    ASSERT_TRUE(for_each_entry(
        R"([{"Node":"db1","ModifyIndex":7,"Tags":["a","b"],"Meta":{"x":"1","y":["no","text"],"z":"2"},
             "Definition":{"Header":{"deep":["c"]},"Interval":"0s"},"Weight":-1,"Load":0.5,"Up":true,"Last":"l"},
            null, 7, ["db3"], [{"Node":"db4"}],
            {"Node":"db\"2é","Tags":null,"Meta":null}])",
        [&](const Entry& entry) { entries.push_back(entry); }));
    ASSERT_EQ(entries.size(), 2);
    EXPECT_EQ(entries[0].text("Node"), "db1");
    EXPECT_EQ(entries[0].number("ModifyIndex"), 7);
    EXPECT_EQ(entries[0].list("Tags"), (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(entries[0].map("Meta"), (Texts{{"x", "1"}, {"z", "2"}}));
    EXPECT_EQ(entries[0].map("Definition"), (Texts{{"Interval", "0s"}}));
    EXPECT_EQ(entries[0].text("Last"), "l");
    EXPECT_EQ(entries[0].number("Weight"), 0);
    // Nothing of the one before is left.
    EXPECT_EQ(entries[1].text("Node"), "db\"2é");
    EXPECT_EQ(entries[1].number("ModifyIndex"), 0);
    EXPECT_TRUE(entries[1].list("Tags").empty());
    EXPECT_TRUE(entries[1].map("Meta").empty());
    EXPECT_EQ(entries[1].text("Last"), "");
}

TEST(BridgeEntry, HasTheKindOfATransactionsResult) {
    std::vector<std::pair<std::string, std::string>> results;
    ASSERT_TRUE(for_each_result(
        R"({"Errors":[{"KV":{"Key":"not a result"}}],
            "Results":[{"KV":{"Key":"k"}},null,7,{"Node":null},{"Check":{"Key":"c","Definition":{"Key":"no"}}}],
            "Index":3})",
        [&](std::string_view kind, const Entry& entry) { results.emplace_back(kind, entry.text("Key")); }));
    EXPECT_EQ(results, (std::vector<std::pair<std::string, std::string>>{{"KV", "k"}, {"Check", "c"}}));
}

TEST(BridgeEntry, IsOfNothingElse) {
    const auto none = [](auto&&...) { ADD_FAILURE() << "an entry"; };
    for (const char* text : {"", "7", "null", "{}", "\"[]\"", "[", "<html>"}) {
        EXPECT_FALSE(for_each_entry(text, none)) << text;
    }
    for (const char* text : {"", "7", "null", "[]", "{}", "[{\"Results\":[{\"KV\":{}}]}]", "<html>"}) {
        EXPECT_FALSE(for_each_result(text, none)) << text;
    }
    EXPECT_TRUE(for_each_entry("[]", none));
    EXPECT_TRUE(for_each_result(R"({"Results":null})", none));
}

}  // namespace
}  // namespace pgpulse::consul_bridge
