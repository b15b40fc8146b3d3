#include "common/contract/json_text.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace pgpulse::contract {
namespace {

using nlohmann::json;

TEST(JsonText, IsReadAsItWasMeant) {
    std::string all;
    for (int c = 1; c < 0x80; ++c) all += static_cast<char>(c);
    for (const std::string& text :
         {std::string{}, std::string{"plain"}, all, std::string{"zwölf \0 Ω", 12}}) {
        EXPECT_EQ(json::parse(json_text::value(text)), json(text));
    }
    EXPECT_EQ(json::parse(json_text::value("not UTF-8: \xff")), json("not UTF-8: \uFFFD"));
    EXPECT_EQ(json_text::value(std::vector<std::string>{"a", "\""}), R"(["a","\""])");
    EXPECT_EQ(json_text::value(std::map<std::string, std::string>{{"a\\", "b"}, {"c", "d"}}),
              R"({"a\\":"b","c":"d"})");
    EXPECT_EQ(json_text::object({{"a", json_text::value(7U)}, {"b", json_text::object({})}}),
              R"({"a":7,"b":{}})");
}

TEST(JsonText, OfAnObjectThatGrows) {
    EXPECT_EQ(json_text::Object{0}.finish(), "{}");
    json_text::Object object{16};
    object.text("a", "\"");
    object.number("b", -1);
    object.truth("c", true);
    object.json("d", "[]");
    EXPECT_EQ(std::move(object).finish(), R"({"a":"\"","b":-1,"c":true,"d":[]})");
}

}  // namespace
}  // namespace pgpulse::contract
