#include "common/contract/vocabulary.hpp"
#include "tests/support/contract_documents.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace pgpulse::contract {
namespace {

/// Every value of an enum that counts from 0 without gaps, by its spelling.
template <typename Enum>
std::set<std::string> words_of() {
    std::set<std::string> words;
    for (int value = 0; !to_string(static_cast<Enum>(value)).empty(); ++value) {
        words.emplace(to_string(static_cast<Enum>(value)));
    }
    return words;
}

std::set<std::string> documented_words(std::string_view heading) {
    std::set<std::string> words;
    for (const auto& row : support::documented_table(heading)) {
        words.insert(support::without_backquotes(row.at(0)));
    }
    return words;
}

template <typename Enum, typename Parse>
void expect_round_trip(std::size_t words, Parse parse) {
    EXPECT_EQ(words_of<Enum>().size(), words);
    for (int value = 0; value < static_cast<int>(words); ++value) {
        EXPECT_EQ(parse(to_string(static_cast<Enum>(value))), static_cast<Enum>(value)) << value;
    }
    for (const char* text : {"", " ", "Up", "UP", "up ", "no_such_word"}) EXPECT_FALSE(parse(text)) << text;
}

TEST(Vocabulary, EveryWordReadsBack) {
    expect_round_trip<Verdict>(5, parse_verdict);
    expect_round_trip<Reason>(17, parse_reason);
    expect_round_trip<Opinion>(3, parse_opinion);
    expect_round_trip<Health>(3, parse_health);
    expect_round_trip<Role>(2, parse_role);
    expect_round_trip<Change>(kChanges, parse_change);
    expect_round_trip<Via>(2, parse_via);
    expect_round_trip<Mode>(2, parse_mode);
    expect_round_trip<SslMode>(6, parse_ssl_mode);
    expect_round_trip<MemberKind>(3, parse_member_kind);
    expect_round_trip<MemberPhase>(3, parse_member_phase);
}

TEST(Vocabulary, IsTheDocuments) {
    EXPECT_EQ(words_of<Verdict>(), documented_words("Verdicts"));
    EXPECT_EQ(words_of<Reason>(), documented_words("Reasons"));
    EXPECT_EQ(words_of<Opinion>(), documented_words("Opinions"));
    EXPECT_EQ(words_of<Health>(), documented_words("States"));
    EXPECT_EQ(words_of<Change>(), documented_words("Changes"));
    EXPECT_EQ(words_of<MemberKind>(), documented_words("Member kinds"));
    EXPECT_EQ(words_of<MemberPhase>(), documented_words("Member phases"));
}

TEST(Vocabulary, HardEvidenceIsWhatTheDocumentCallsHard) {
    for (const auto& row : support::documented_table("Reasons")) {
        const auto reason = parse_reason(support::without_backquotes(row.at(0)));
        ASSERT_TRUE(reason) << row.at(0);
        EXPECT_EQ(is_hard_evidence(reason.value_or(Reason::ok)), row.at(1) == "hard") << row.at(0);
    }
}

TEST(Vocabulary, EveryReasonHasWordsOfItsOwn) {
    std::set<std::string> texts;
    for (int value = 0; value < 17; ++value) texts.emplace(in_words(static_cast<Reason>(value)));
    EXPECT_EQ(texts.size(), 17U);
    EXPECT_FALSE(texts.contains(""));
}

}  // namespace
}  // namespace pgpulse::contract
