#include "common/contract/ping.hpp"
#include "tests/support/contract_documents.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace pgpulse::contract {
namespace {

using nlohmann::json;
using Cause = Refusal::Cause;

json full_ping() { return json::parse(support::golden("ping_full")); }

Refusal refusal_of_ping(const std::string& payload) {
    const auto ping = decode_ping(payload);
    if (ping) {
        ADD_FAILURE() << "was not refused: " << payload.substr(0, 200);
        return {};
    }
    return ping.error();
}

TEST(Ping, HasTheDocumentedFieldsAndNoOthers) {
    // A field more or less in the struct does not compile here: the document and the golden file want it too.
    [[maybe_unused]] const auto& [target, worker, site, run, seq, mono_ms, at, verdict, reason, sqlstate,
                                  rtt_us, via, opinion, streak, role, writable, lag_ms, lag_bytes, started_at,
                                  crashed_at, suspect] = Ping{};
    std::set<std::string> documented;
    for (const auto& field : support::documented_fields("Ping")) documented.insert(field.name);
    std::set<std::string> written;
    const auto ping = json::parse(encode(*decode_ping(full_ping().dump())));
    for (const auto& [key, value] : ping.items()) written.insert(key);
    EXPECT_EQ(documented, written);
    constexpr std::size_t kMembersAndVersion = 22;
    EXPECT_EQ(documented.size(), kMembersAndVersion);
}

TEST(Ping, WithoutARequiredFieldIsRefused) {
    for (const auto& field : support::documented_fields("Ping")) {
        json ping = full_ping();
        ping.erase(field.name);
        if (!field.required) {
            const auto read = decode_ping(ping.dump());
            ASSERT_TRUE(read) << field.name;
            EXPECT_NE(*read, *decode_ping(full_ping().dump())) << field.name << " is not read";
            continue;
        }
        const Refusal refusal = refusal_of_ping(ping.dump());
        EXPECT_EQ(refusal.cause, Cause::field) << field.name;
        EXPECT_EQ(refusal.detail, "field '" + field.name + "': missing");
    }
}

TEST(Ping, TakesNullForAnOptionalFieldOnly) {
    for (const auto& field : support::documented_fields("Ping")) {
        json ping = full_ping();
        ping[field.name] = nullptr;
        if (field.required) {
            EXPECT_EQ(refusal_of_ping(ping.dump()).cause, Cause::field) << field.name;
        } else {
            json without = full_ping();
            without.erase(field.name);
            EXPECT_EQ(decode_ping(ping.dump()).value(), decode_ping(without.dump()).value()) << field.name;
        }
    }
}

TEST(Ping, WithAMistypedFieldIsRefused) {
    for (const auto& field : support::documented_fields("Ping")) {
        for (const json& value : support::mistyped_values(field.type)) {
            json ping = full_ping();
            ping[field.name] = value;
            const Refusal refusal = refusal_of_ping(ping.dump());
            const bool other_version = field.name == "v" && value.is_number_integer();
            EXPECT_EQ(refusal.cause, other_version ? Cause::version : Cause::field) << ping.dump();
            EXPECT_NE(refusal.detail.find("'" + field.name + "'"), std::string::npos) << refusal.detail;
        }
    }
}

TEST(Ping, WithAValueOutOfRangeIsRefused) {
    const std::vector<std::pair<const char*, json>> faults{
        {"target", "DB1"},
        {"target", ""},
        {"worker", "a.b"},
        {"worker", ""},
        {"run", "0123456789ABCDEF"},
        {"run", "0123456789abcde"},
        {"run", "0123456789abcdef0"},
        {"seq", 0},
        {"seq", 9'223'372'036'854'775'808U},
        {"streak", 4'294'967'296},
        {"mono_ms", 18'446'744'073'709'551'615U},
        {"sqlstate", "57p03"},
        {"sqlstate", "57P0"},
        {"sqlstate", "57P033"},
        {"via", "pigeon"},
        {"at", "2026-02-30T00:00:00Z"},
    };
    for (const auto& [field, value] : faults) {
        json ping = full_ping();
        ping[field] = value;
        const Refusal refusal = refusal_of_ping(ping.dump());
        EXPECT_EQ(refusal.cause, Cause::field) << ping.dump();
        EXPECT_NE(refusal.detail.find(std::string{"'"} + field + "'"), std::string::npos) << refusal.detail;
    }
}

TEST(Ping, TakesTheEndsOfItsRanges) {
    json ping = full_ping();
    ping["seq"] = 9'223'372'036'854'775'807;
    ping["streak"] = 4'294'967'295;
    ping["mono_ms"] = 0;
    ping["rtt_us"] = 0;
    const auto read = decode_ping(ping.dump());
    ASSERT_TRUE(read) << read.error().detail;
    EXPECT_EQ(read->seq, 9'223'372'036'854'775'807U);
    EXPECT_EQ(read->streak, 4'294'967'295U);
}

TEST(Ping, OfAnotherVersionIsRefused) {
    for (const int v : {0, 2, -1}) {
        json ping = full_ping();
        ping["v"] = v;
        EXPECT_EQ(refusal_of_ping(ping.dump()).cause, Cause::version) << v;
    }
}

TEST(Ping, IsWrittenAsADocumentTreeWouldBe) {
    Ping ping = *decode_ping(full_ping().dump());
    for (const char* site : {"", "eu", "a \"b\" \\ \n \x7f", "zw\u00f6lf", "no UTF-8: \xff"}) {
        ping.site = site;
        EXPECT_EQ(encode(ping), nlohmann::ordered_json::parse(encode(ping)).dump());
    }
}

TEST(Ping, TakesItsFieldsInAnyOrder) {
    const json ping = full_ping();
    std::vector<std::string> keys;
    for (const auto& [key, value] : ping.items()) keys.push_back(key);
    // Sorted, then each of the rotations that begin with another one, and all of them backwards.
    for (int backwards = 0; backwards < 2; ++backwards) {
        for (std::size_t first = 0; first < keys.size(); ++first) {
            std::ranges::rotate(keys, keys.begin() + 1);
            nlohmann::ordered_json shuffled;
            for (const std::string& key : keys) shuffled[key] = ping[key];
            EXPECT_EQ(encode(decode_ping(shuffled.dump()).value()), encode(decode_ping(ping.dump()).value()))
                << shuffled;
        }
        std::ranges::reverse(keys);
    }
}

TEST(Ping, IgnoresUnknownFields) {
    json ping = full_ping();
    ping["future"] = {{"target", "other"}, {"v", 2}, {"list", {1, 2.5, "x", nullptr, true}}};
    ping["also"] = json::array({json::object(), json::array()});
    ping["zero"] = 0;
    EXPECT_EQ(decode_ping(ping.dump()).value(), decode_ping(full_ping().dump()).value());
}

TEST(Ping, ThatIsNotAJsonObjectIsRefused) {
    const std::string text = full_ping().dump();
    for (const std::string& payload :
         {std::string{}, std::string{" "}, std::string{"null"}, std::string{"1"}, std::string{"\"x\""},
          std::string{"true"}, std::string{"1.5"}, std::string{"[]"}, "[" + text + "]", text + text,
          text + "x", text.substr(0, text.size() - 1), "// comment\n" + text, std::string{"{'v':1}"},
          std::string{"\xff\xfe"}, std::string(1000, '\0')}) {
        EXPECT_EQ(refusal_of_ping(payload).cause, Cause::not_json) << payload.substr(0, 80);
    }
}

TEST(Ping, WithBytesThatAreNotUtf8IsRefused) {
    std::string text = full_ping().dump();
    text.replace(text.find("fra1"), 4, "fr\xff\x31");
    EXPECT_EQ(refusal_of_ping(text).cause, Cause::not_json);
}

TEST(Ping, OverTheSizeLimitIsRefused) {
    json ping = full_ping();
    ping["future"] = "";
    ping["future"] = std::string(kMaxPayloadBytes - ping.dump().size(), 'x');
    ASSERT_EQ(ping.dump().size(), kMaxPayloadBytes);
    EXPECT_TRUE(decode_ping(ping.dump()));
    EXPECT_EQ(refusal_of_ping(ping.dump() + " ").cause, Cause::too_large);
    EXPECT_EQ(refusal_of_ping(std::string(1'000'000, '{')).cause, Cause::too_large);
}

TEST(Ping, SurvivesDeepNesting) {
    constexpr std::size_t kDepth = 30'000;
    std::string text = full_ping().dump();
    text.pop_back();
    const std::string nested =
        text + ",\"future\":" + std::string(kDepth, '[') + std::string(kDepth, ']') + "}";
    EXPECT_TRUE(decode_ping(nested));
    EXPECT_EQ(refusal_of_ping(std::string(kDepth, '[')).cause, Cause::not_json);
    EXPECT_EQ(refusal_of_ping(text + ",\"future\":" + std::string(kDepth, '[')).cause, Cause::not_json);
}

TEST(Ping, RefusalQuotesNothingOfThePayload) {
    json ping = full_ping();
    ping["verdict"] = "attacker\nline";
    const Refusal refusal = refusal_of_ping(ping.dump());
    EXPECT_EQ(refusal.detail.find("attacker"), std::string::npos);
    EXPECT_EQ(refusal.detail.find('\n'), std::string::npos);
}

TEST(PingOnItsSubject, IsRead) {
    const auto ping = decode_ping("health.ping.21.probe-1.orders-db", full_ping().dump());
    ASSERT_TRUE(ping) << ping.error().detail;
    EXPECT_EQ(*ping, *decode_ping(full_ping().dump()));
}

TEST(PingOnItsSubject, IsRefusedWhereTheTwoDisagree) {
    const std::string other = "db1";
    for (const std::string& subject : {ping_subject("probe-1", other), ping_subject("probe-2", "orders-db"),
                                       ping_subject("PROBE-1", "orders-db")}) {
        const auto ping = decode_ping(subject, full_ping().dump());
        ASSERT_FALSE(ping) << subject;
        EXPECT_EQ(ping.error().cause, Cause::subject) << subject;
    }
}

TEST(PingOnItsSubject, IsRefusedWhereTheSubjectIsMalformed) {
    for (const char* subject : {"health.ping.20.probe-1.orders-db", "health.ping.probe-1.orders-db",
                                "health.ping.21.probe-1.orders-db.x", "health.state.orders-db", ""}) {
        const auto ping = decode_ping(subject, full_ping().dump());
        ASSERT_FALSE(ping) << subject;
        EXPECT_EQ(ping.error().cause, Cause::subject) << subject;
    }
}

TEST(Refusal, CausesAreTheDocuments) {
    std::set<std::string> documented;
    for (const auto& row : support::documented_table("Rules for every document")) {
        documented.insert(support::without_backquotes(row.at(0)));
    }
    std::set<std::string> causes;
    for (int cause = 0; !to_string(static_cast<Cause>(cause)).empty(); ++cause) {
        causes.emplace(to_string(static_cast<Cause>(cause)));
    }
    EXPECT_EQ(causes, documented);
}

}  // namespace
}  // namespace pgpulse::contract
