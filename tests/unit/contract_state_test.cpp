#include "common/contract/state.hpp"
#include "tests/support/contract_documents.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <set>
#include <string>

namespace pgpulse::contract {
namespace {

using nlohmann::json;
using Cause = Refusal::Cause;

constexpr std::string_view kTarget = "orders-db";

json full_state() { return json::parse(support::golden("state_full")); }

State read_state(const json& state) { return decode_state(kTarget, state.dump()).value(); }

Refusal refusal_of_state(const std::string& value) {
    const auto state = decode_state(kTarget, value);
    if (state) {
        ADD_FAILURE() << "was not refused: " << value.substr(0, 200);
        return {};
    }
    return state.error();
}

std::set<std::string> keys_of(const json& object) {
    std::set<std::string> keys;
    for (const auto& [key, value] : object.items()) keys.insert(key);
    return keys;
}

std::set<std::string> documented(std::string_view heading) {
    std::set<std::string> names;
    for (const auto& field : support::documented_fields(heading)) names.insert(field.name);
    return names;
}

TEST(State, IsWrittenAsADocumentTreeWouldBe) {
    State state = read_state(full_state());
    for (const char* site : {"", "eu", "a \"b\" \\ \n \x7f", "zw\u00f6lf", "no UTF-8: \xff"}) {
        state.evidence.at(0).site = site;
        EXPECT_EQ(encode(state), nlohmann::ordered_json::parse(encode(state)).dump());
    }
    state.evidence.clear();
    state.conflicts_with.clear();
    state.changed.reset();
    EXPECT_EQ(encode(state), nlohmann::ordered_json::parse(encode(state)).dump());
}

TEST(State, HasTheDocumentedFieldsAndNoOthers) {
    // A field more or less in the structs does not compile here: the document and the golden file want it
    // too.
    [[maybe_unused]] const auto& [target, state, since, transition, previous, reason, role, writable,
                                  started_at, crashed_at, restarts, maintenance, maintenance_until,
                                  conflicts_with, role_unexpected, changed, evidence, decided_by,
                                  decided_at] = State{};
    [[maybe_unused]] const auto& [worker, site, opinion, verdict, why, sqlstate, rtt_us, at] = Evidence{};
    const json written = json::parse(encode(read_state(full_state())));
    EXPECT_EQ(keys_of(written), documented("State"));
    std::set<std::string> of_evidence;
    for (const json& entry : written.at("evidence")) of_evidence.merge(keys_of(entry));
    EXPECT_EQ(of_evidence, documented("Evidence"));
    EXPECT_EQ(documented("State").size(), 20U);
    EXPECT_EQ(documented("Evidence").size(), 8U);
}

TEST(State, ThatWasReadTakesNoMoreThanItHolds) {
    // Each string is read after a longer one.
    const State state = read_state(full_state());
    const auto least = [](const std::string& text) { return std::string{text}.capacity(); };
    EXPECT_EQ(state.target.capacity(), least(state.target));
    EXPECT_EQ(state.decided_by.capacity(), least(state.decided_by));
    ASSERT_FALSE(state.evidence.empty());
    EXPECT_EQ(state.evidence.capacity(), state.evidence.size());
    for (const Evidence& evidence : state.evidence) {
        EXPECT_EQ(evidence.worker.capacity(), least(evidence.worker));
        EXPECT_EQ(evidence.sqlstate.capacity(), least(evidence.sqlstate));
    }
}

TEST(State, WithoutARequiredFieldIsRefused) {
    for (const auto& field : support::documented_fields("State")) {
        for (const bool null : {false, true}) {
            json state = full_state();
            if (null)
                state[field.name] = nullptr;
            else
                state.erase(field.name);
            if (!field.required) {
                EXPECT_NE(read_state(state), read_state(full_state())) << field.name << " is not read";
                continue;
            }
            const Refusal refusal = refusal_of_state(state.dump());
            EXPECT_EQ(refusal.cause, Cause::field) << field.name;
            EXPECT_NE(refusal.detail.find("'" + field.name + "'"), std::string::npos) << refusal.detail;
        }
    }
}

TEST(State, WithAMistypedFieldIsRefused) {
    for (const auto& field : support::documented_fields("State")) {
        for (const json& value : support::mistyped_values(field.type)) {
            json state = full_state();
            state[field.name] = value;
            const bool other_version = field.name == "v" && value.is_number_integer();
            EXPECT_EQ(refusal_of_state(state.dump()).cause, other_version ? Cause::version : Cause::field)
                << state.dump();
        }
    }
}

TEST(State, WithAFaultInItsEvidenceIsRefused) {
    constexpr std::size_t kEntryWithEveryField = 1;
    for (const auto& field : support::documented_fields("Evidence")) {
        json without = full_state();
        without["evidence"][kEntryWithEveryField].erase(field.name);
        if (field.required) {
            EXPECT_EQ(refusal_of_state(without.dump()).cause, Cause::field) << field.name;
        } else {
            EXPECT_NE(read_state(without), read_state(full_state())) << field.name << " is not read";
        }
        for (const json& value : support::mistyped_values(field.type)) {
            json state = full_state();
            state["evidence"][kEntryWithEveryField][field.name] = value;
            EXPECT_EQ(refusal_of_state(state.dump()).cause, Cause::field) << state.dump();
        }
    }
    json state = full_state();
    state["evidence"].push_back("an observer");
    EXPECT_EQ(refusal_of_state(state.dump()).cause, Cause::field);
}

TEST(State, WithAValueOutOfRangeIsRefused) {
    json state = full_state();
    state["transition"] = 0;
    EXPECT_EQ(refusal_of_state(state.dump()).cause, Cause::field);
    state = full_state();
    state["conflicts_with"] = {"Not A Name"};
    EXPECT_EQ(refusal_of_state(state.dump()).cause, Cause::field);
    state = full_state();
    state["evidence"][0]["worker"] = "a.b";
    EXPECT_EQ(refusal_of_state(state.dump()).cause, Cause::field);
    state = full_state();
    state["evidence"][0]["rtt_us"] = 9'223'372'036'854'775'808U;
    EXPECT_EQ(refusal_of_state(state.dump()).cause, Cause::field);
}

TEST(State, OfAnotherTargetThanItsKeyIsRefused) {
    const auto state = decode_state("db1", full_state().dump());
    ASSERT_FALSE(state);
    EXPECT_EQ(state.error().cause, Cause::subject);
}

TEST(State, OfAnotherVersionIsRefusedWhateverElseItSays) {
    EXPECT_EQ(refusal_of_state(R"({"v":2})").cause, Cause::version);
    EXPECT_EQ(refusal_of_state(R"({"v":0,"state":"sideways"})").cause, Cause::version);
}

TEST(State, IgnoresUnknownFields) {
    json state = full_state();
    state["future"] = {{"v", 2}};
    state["evidence"][0]["future"] = json::array({1, "x"});
    EXPECT_EQ(read_state(state), read_state(full_state()));
}

TEST(State, ThatIsNotAJsonObjectIsRefused) {
    const std::string text = full_state().dump();
    for (const std::string& value : {std::string{}, std::string{"null"}, std::string{"1"}, std::string{"[]"},
                                     "[" + text + "]", text + text, text.substr(0, text.size() - 1)}) {
        EXPECT_EQ(refusal_of_state(value).cause, Cause::not_json) << value.substr(0, 80);
    }
}

TEST(State, OverTheSizeLimitIsRefused) {
    EXPECT_EQ(refusal_of_state(std::string(kMaxPayloadBytes + 1, ' ')).cause, Cause::too_large);
    std::string text = full_state().dump();
    text += std::string(kMaxPayloadBytes - text.size(), ' ');
    EXPECT_TRUE(decode_state(kTarget, text));
}

TEST(State, SurvivesDeepNesting) {
    constexpr std::size_t kDepth = 30'000;
    std::string text = full_state().dump();
    text.pop_back();
    EXPECT_TRUE(decode_state(
        kTarget, text + ",\"future\":" + std::string(kDepth, '[') + std::string(kDepth, ']') + "}"));
    EXPECT_EQ(refusal_of_state(std::string(kDepth, '[')).cause, Cause::not_json);
}

}  // namespace
}  // namespace pgpulse::contract
