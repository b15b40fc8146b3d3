#include "common/contract/member.hpp"
#include "common/contract/names.hpp"
#include "tests/support/contract_documents.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <set>
#include <string>

namespace pgpulse::contract {
namespace {

using nlohmann::json;
using Cause = Refusal::Cause;

constexpr std::string_view kKey = "aggregator.aggregator-1";

json full_member() { return json::parse(support::golden("member_full")); }

Member read_member(const json& member) { return decode_member(kKey, member.dump()).value(); }

Refusal refusal_of_member(const std::string& value, std::string_view key = kKey) {
    const auto member = decode_member(key, value);
    if (member) {
        ADD_FAILURE() << "was not refused: " << key << " " << value.substr(0, 200);
        return {};
    }
    return member.error();
}

TEST(Member, HasTheDocumentedFieldsAndNoOthers) {
    // A field more or less in the struct does not compile here: the document and the golden file want it too.
    [[maybe_unused]] const auto& [kind, id, run, site, phase] = Member{};
    std::set<std::string> written;
    const json member = json::parse(encode(read_member(full_member())));
    for (const auto& [key, value] : member.items()) written.insert(key);
    std::set<std::string> documented;
    for (const auto& field : support::documented_fields("Member")) documented.insert(field.name);
    EXPECT_EQ(written, documented);
    EXPECT_EQ(documented.size(), 6U);
}

TEST(Member, SaysWhatItsExampleSays) {
    EXPECT_EQ(read_member(full_member()), (Member{MemberKind::aggregator, "aggregator-1", "fedcba9876543210",
                                                  "fra1", MemberPhase::serving}));
}

TEST(Member, WithoutARequiredFieldIsRefused) {
    for (const auto& field : support::documented_fields("Member")) {
        for (const bool null : {false, true}) {
            json member = full_member();
            if (null)
                member[field.name] = nullptr;
            else
                member.erase(field.name);
            if (!field.required) {
                EXPECT_NE(read_member(member), read_member(full_member())) << field.name << " is not read";
                continue;
            }
            const Refusal refusal = refusal_of_member(member.dump());
            EXPECT_EQ(refusal.cause, Cause::field) << field.name;
            EXPECT_NE(refusal.detail.find("'" + field.name + "'"), std::string::npos) << refusal.detail;
        }
    }
}

TEST(Member, WithAMistypedFieldIsRefused) {
    for (const auto& field : support::documented_fields("Member")) {
        for (const json& value : support::mistyped_values(field.type)) {
            json member = full_member();
            member[field.name] = value;
            const bool other_version = field.name == "v" && value.is_number_integer();
            EXPECT_EQ(refusal_of_member(member.dump()).cause, other_version ? Cause::version : Cause::field)
                << member.dump();
        }
    }
}

TEST(Member, WithAMalformedIdOrRunIsRefused) {
    for (const std::string id : {"", "a.b", "a b", "*", "é"}) {
        json member = full_member();
        member["id"] = id;
        EXPECT_EQ(refusal_of_member(member.dump()).cause, Cause::field) << id;
    }
    for (const std::string run : {"", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF"}) {
        json member = full_member();
        member["run"] = run;
        EXPECT_EQ(refusal_of_member(member.dump()).cause, Cause::field) << run;
    }
}

TEST(Member, ThatDisagreesWithItsKeyIsRefused) {
    const std::string value = full_member().dump();
    EXPECT_EQ(refusal_of_member(value, "aggregator.aggregator-2").cause, Cause::subject);
    EXPECT_EQ(refusal_of_member(value, "probe.aggregator-1").cause, Cause::subject);
}

TEST(Member, UnderAMalformedKeyIsRefused) {
    for (const char* key :
         {"", ".", "aggregator", "aggregator.", ".aggregator-1", "aggregator.aggregator-1.",
          "aggregator.aggregator-1.more", "Aggregator.aggregator-1", "operator.aggregator-1",
          " aggregator.aggregator-1", "aggregator.aggregator 1", "aggregator..aggregator-1"}) {
        EXPECT_FALSE(parse_member_key(key)) << key;
        EXPECT_EQ(refusal_of_member(full_member().dump(), key).cause, Cause::subject) << key;
    }
}

TEST(Member, OfAnotherVersionIsRefusedWhateverElseItSays) {
    EXPECT_EQ(refusal_of_member(R"({"v":2})").cause, Cause::version);
    EXPECT_EQ(refusal_of_member(R"({"v":0,"phase":"resting"})").cause, Cause::version);
}

TEST(Member, IgnoresUnknownFields) {
    json member = full_member();
    member["future"] = {{"v", 2}};
    EXPECT_EQ(read_member(member), read_member(full_member()));
}

TEST(Member, WithoutASiteWritesNone) {
    Member member = read_member(full_member());
    member.site.clear();
    EXPECT_FALSE(json::parse(encode(member)).contains("site"));
    EXPECT_EQ(decode_member(kKey, encode(member)).value(), member);
}

TEST(Member, WithASiteInNoUtf8IsWrittenAsUtf8) {
    // It comes from the command line. A member that could not be written would be no member.
    Member member = read_member(full_member());
    member.site = "fra\xff";
    EXPECT_TRUE(decode_member(kKey, encode(member)));
}

TEST(Member, ThatIsNotAJsonObjectIsRefused) {
    const std::string text = full_member().dump();
    for (const std::string& value : {std::string{}, std::string{"null"}, std::string{"1"}, std::string{"[]"},
                                     "[" + text + "]", text + text, text.substr(0, text.size() - 1)}) {
        EXPECT_EQ(refusal_of_member(value).cause, Cause::not_json) << value.substr(0, 80);
    }
}

TEST(Member, OverTheSizeLimitIsRefused) {
    EXPECT_EQ(refusal_of_member(std::string(kMaxPayloadBytes + 1, ' ')).cause, Cause::too_large);
    std::string text = full_member().dump();
    text += std::string(kMaxPayloadBytes - text.size(), ' ');
    EXPECT_TRUE(decode_member(kKey, text));
}

TEST(MemberKeyOf, EveryKindReadsBack) {
    for (const MemberKind kind : {MemberKind::probe, MemberKind::aggregator, MemberKind::bridge}) {
        const std::string key = member_key(kind, "Host_1-a");
        const auto parts = parse_member_key(key);
        ASSERT_TRUE(parts) << key;
        EXPECT_EQ(parts->kind, kind) << key;
        EXPECT_EQ(parts->id, "Host_1-a") << key;
    }
    EXPECT_EQ(member_key(MemberKind::bridge, "b1"), "bridge.b1");
}

}  // namespace
}  // namespace pgpulse::contract
