#include "common/contract/plain_json.hpp"

#include <gtest/gtest.h>

#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <string>
#include <string_view>
#include <vector>

// What PlainJson reads it reads as nlohmann::json does; all else it leaves alone.
namespace pgpulse::contract {
namespace {

/// Writes down what it hears.
class Recorder final : public JsonEvents {
  public:
    std::vector<std::string> heard;
    std::size_t most = 1000;  // refuses what follows

    bool null() override { return hear("null"); }
    bool boolean(bool value) override { return hear(value ? "true" : "false"); }
    bool whole_number(std::uint64_t value) override { return hear(std::to_string(value)); }
    bool negative_number(std::int64_t value) override { return hear(std::to_string(value)); }
    bool fraction() override { return hear("fraction"); }
    bool text(std::string_view value) override { return hear("text " + std::string{value}); }
    bool start_object() override { return hear("{"); }
    bool end_object() override { return hear("}"); }
    bool start_array() override { return hear("["); }
    bool end_array() override { return hear("]"); }
    bool name(std::string_view name) override { return hear("name " + std::string{name}); }
    void no_json() override { hear("no JSON"); }

  private:
    bool hear(std::string event) {
        heard.push_back(std::move(event));
        return heard.size() < most;
    }
};

using Plain = PlainJson<Recorder>;

Plain::Outcome read_plain(std::string_view text) {
    Recorder recorder;
    return Plain{text, recorder}.read();
}

void expect_alike(const std::string& text) {
    Recorder plain;
    if (Plain{text, plain}.read() != Plain::Outcome::read) return;
    Recorder any;
    read_any_json(text, any);
    RC_ASSERT(plain.heard == any.heard);
}

TEST(PlainJson, ReadsWhatTheContractsDocumentsAreLike) {
    EXPECT_EQ(read_plain(R"({"a":"b","n":12,"t":true,"f":false,"z":null,"l":["x",{"y":0}],"e":{},"m":[]})"),
              Plain::Outcome::read);
    EXPECT_EQ(read_plain(" { \"a\" : [ 1 , 2 ] } \n"), Plain::Outcome::read);
}

TEST(PlainJson, LeavesAllElseAlone) {
    for (const char* text : {"",
                             "{",
                             "}",
                             R"({"a")",
                             R"({"a":})",
                             R"({"a":1,})",
                             R"({"a":1}x)",
                             R"({"a":"\n"})",
                             R"({"a":"ü"})",
                             R"({"a":-1})",
                             R"({"a":1.5})",
                             R"({"a":1e3})",
                             R"({"a":01})",
                             R"({"a":1234567890123456789})",
                             R"({"a":tru})",
                             R"({"a":"b)",
                             "{\"a\":\"\t\"}",
                             "[1 2]",
                             "[1,]",
                             "\xef\xbb\xbf{}",
                             "[[[[[[[[[1]]]]]]]]]",
                             R"({1:2})",
                             "nul",
                             "\"a",
                             "{\"a\":\"\x7f\"}"})
        EXPECT_EQ(read_plain(text), Plain::Outcome::not_plain) << text;
}

TEST(PlainJson, StopsWhereTheReaderRefuses) {
    const std::string text = R"({"a":"b","n":[1,true,null]})";
    for (std::size_t most = 1; most <= 10; ++most) {
        Recorder recorder;
        recorder.most = most;
        EXPECT_EQ((Plain{text, recorder}.read()), Plain::Outcome::refused) << most;
        EXPECT_EQ(recorder.heard.size(), most);
    }
}

RC_GTEST_PROP(PlainJsonRandomly, SpoiltDocumentsAreReadAsTheyAreOrNotAtAll, ()) {
    std::string text =
        R"({"v":1,"target":"db-1","seq":120,"suspect":false,"list":["a",{"b":null}],"o":{"n":0}})";
    const auto spoils = *rc::gen::inRange(0, 4);
    for (int i = 0; i < spoils; ++i) {
        const auto at = *rc::gen::inRange<std::size_t>(0, text.size());
        const char c = *rc::gen::oneOf(rc::gen::elementOf(std::string{"{}[]\",:0123456789eE.-+tfn \\"}),
                                       rc::gen::arbitrary<char>());
        switch (*rc::gen::inRange(0, 3)) {
            case 0:
                text[at] = c;
                break;
            case 1:
                text.insert(at, 1, c);
                break;
            default:
                text.erase(at, 1);
        }
    }
    expect_alike(text);
}

}  // namespace
}  // namespace pgpulse::contract
