#include "aggregator/alike_texts.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

namespace pgpulse::aggregator {
namespace {

TEST(AlikeTextsTest, AreGivenBackAsTheyWere) {
    AlikeTexts texts;
    const std::vector<std::string> all{R"({"name":"db1","port":5432,"rise":2})",
                                       R"({"name":"db2","port":5432,"rise":2})",
                                       R"({"name":"db2","port":5432,"rise":2})",
                                       R"({"name":"db3","port":5433,"rise":2})",
                                       "2})",
                                       "",
                                       "x"};
    std::vector<AlikeTexts::Text> held;
    for (const std::string& text : all) held.push_back(texts.hold(text));
    for (std::size_t i = 0; i < all.size(); ++i) {
        EXPECT_EQ(held[i].whole(), all[i]);
        EXPECT_EQ(held[i].empty(), all[i].empty());
        for (std::size_t k = 0; k < all.size(); ++k) EXPECT_EQ(held[i] == all[k], all[i] == all[k]) << i << k;
    }
    EXPECT_TRUE(AlikeTexts::Text{}.empty());
    EXPECT_EQ(AlikeTexts::Text{}.whole(), "");
}

TEST(AlikeTextsTest, OfAnyKindAreGivenBackAsTheyWere) {
    AlikeTexts texts;
    std::minstd_rand random{1};
    std::vector<std::pair<std::string, AlikeTexts::Text>> held;
    for (int i = 0; i < 5000; ++i) {
        // Few letters, so that many have something in common.
        std::string text(random() % 12, 'a');
        for (char& letter : text) letter = static_cast<char>('a' + random() % 2);
        auto one = texts.hold(text);
        held.emplace_back(std::move(text), std::move(one));
    }
    for (const auto& [text, one] : held) {
        ASSERT_EQ(one.whole(), text);
        ASSERT_TRUE(one == text);
        ASSERT_FALSE(one == text + "a");
        ASSERT_FALSE(one == "b" + text);
    }
}

}  // namespace
}  // namespace pgpulse::aggregator
