#include "common/contract/targets_file.hpp"
#include "common/runtime/targets_file.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <string>

namespace pgpulse::contract {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(TargetsFile, TakesCommentsAndDefaults) {
    const auto targets = parse_targets("f", R"({
        // how often
        "defaults": {"interval_ms": 500, "service": "orders", "quorum": 2, "port": 6432},
        /* the two
           servers */
        "targets": [
            {"name": "db1", "address": "10.0.0.1"},
            {"name": "db2", "address": "db2.example", "port": 5433, "service": "billing", "quorum": null}
        ]
    })");
    ASSERT_TRUE(targets) << targets.error();
    ASSERT_EQ(targets->size(), 2U);
    const TargetDefinition& db1 = targets->at(0);
    EXPECT_EQ(db1.name, "db1");
    EXPECT_EQ(db1.interval, std::chrono::milliseconds{500});
    EXPECT_EQ(db1.service, "orders");
    EXPECT_EQ(db1.port, 6432);
    EXPECT_EQ(db1.quorum, 2U);
    const TargetDefinition& db2 = targets->at(1);
    EXPECT_EQ(db2.address, "db2.example");
    EXPECT_EQ(db2.port, 5433);
    EXPECT_EQ(db2.service, "billing");
    EXPECT_EQ(db2.quorum, std::nullopt);
    EXPECT_EQ(db2.interval, std::chrono::milliseconds{500});
}

TEST(TargetsFile, MayHoldNoTarget) {
    const auto targets = parse_targets("f", R"({"targets": []})");
    ASSERT_TRUE(targets) << targets.error();
    EXPECT_TRUE(targets->empty());
}

TEST(TargetsFile, ThatCannotBeReadIsNamed) {
    const auto targets = runtime::read_targets_file("/nonexistent/targets.json");
    ASSERT_FALSE(targets);
    EXPECT_EQ(targets.error(), "/nonexistent/targets.json: cannot be read: No such file or directory");
}

struct Fault {
    std::string name;
    std::string text;
    std::string start;
    std::string also;
};

class TargetsFileFault : public testing::TestWithParam<Fault> {};

TEST_P(TargetsFileFault, IsOneLineThatNamesIt) {
    const auto targets = parse_targets("dir/t.json", GetParam().text);
    ASSERT_FALSE(targets);
    EXPECT_THAT(targets.error(), StartsWith(GetParam().start));
    EXPECT_THAT(targets.error(), HasSubstr(GetParam().also));
    EXPECT_EQ(targets.error().find('\n'), std::string::npos);
}

/// A file with one good target and then `target`.
std::string with(const std::string& target) {
    return R"({"targets": [{"name": "a", "address": "a"}, )" + target + "]}";
}

INSTANTIATE_TEST_SUITE_P(
    Table, TargetsFileFault,
    testing::Values(
        Fault{"syntax", "{\n  \"targets\": [\n    {\"name\": \"db1\",}\n  ]\n}",
              "dir/t.json:3: ", "syntax error"},
        Fault{"syntax_at_the_end", "{\n  \"targets\": [\n", "dir/t.json:3: ", "unexpected end of input"},
        Fault{"syntax_of_an_empty_file", "", "dir/t.json:1: ", "unexpected end of input"},
        Fault{"comment_left_open", "{\n\"targets\": [] }\n/* never\n", "dir/t.json:4: ", "comment"},
        Fault{"not_an_object", "[]", "dir/t.json: ", "expected an object"},
        Fault{"unknown_key_at_the_top", R"({"target": []})",
              "dir/t.json: ", "unknown key 'target'; expected 'defaults' or 'targets'"},
        Fault{"no_targets", R"({"defaults": {}})", "dir/t.json: ", "key 'targets' is missing"},
        Fault{"targets_no_array", R"({"targets": {}})", "dir/t.json: targets: ", "expected an array"},
        Fault{"target_no_object", with("7"), "dir/t.json: targets[1]: ", "expected an object, found 7"},
        Fault{"unknown_key", with(R"({"name": "b", "address": "b", "prot": 1})"),
              "dir/t.json: targets[1].prot: ", "unknown key"},
        Fault{"bad_name", with(R"({"name": "DB_1", "address": "b"})"),
              "dir/t.json: targets[1].name: ", "expected a DNS label"},
        Fault{"no_name", with(R"({"address": "b"})"), "dir/t.json: targets[1]: ", "key 'name' is missing"},
        Fault{"no_address", with(R"({"name": "b"})"), "dir/t.json: targets[1]: ", "key 'address' is missing"},
        Fault{"port_out_of_range", with(R"({"name": "b", "address": "b", "port": 70000})"),
              "dir/t.json: targets[1].port: ", "expected an integer from 1 to 65535, found 70000"},
        Fault{"port_no_number", with(R"({"name": "b", "address": "b", "port": "5432"})"),
              "dir/t.json: targets[1].port: ", "found \"5432\""},
        Fault{"same_name_twice", with(R"({"name": "b", "address": "b"}, {"name": "a", "address": "c"})"),
              "dir/t.json: targets[2].name: ", "'a' is already the name of targets[0]"},
        Fault{"same_key_twice", with(R"({"name": "b", "address": "b", "port": 1, "port": 2})"),
              "dir/t.json: targets[1]: ", "key 'port' appears twice"},
        Fault{"same_key_twice_within", with(R"({"name": "b", "address": "b", "meta": {"k": "1", "k": "2"}})"),
              "dir/t.json: targets[1].meta: ", "key 'k' appears twice"},
        Fault{"same_key_twice_at_the_top", R"({"targets": [], "targets": []})",
              "dir/t.json: ", "key 'targets' appears twice"},
        Fault{"default_name", R"({"defaults": {"name": "x"}, "targets": []})",
              "dir/t.json: defaults.name: ", "expected none here"},
        Fault{"default_out_of_range", R"({"defaults": {"interval_ms": 1}, "targets": []})",
              "dir/t.json: defaults.interval_ms: ", "expected an integer from 50"},
        Fault{"default_unknown", R"({"defaults": {"intervall": 1}, "targets": []})",
              "dir/t.json: defaults.intervall: ", "unknown key"},
        Fault{"defaults_no_object", R"({"defaults": 1, "targets": []})",
              "dir/t.json: defaults: ", "expected an object"}),
    [](const testing::TestParamInfo<Fault>& info) { return info.param.name; });

}  // namespace
}  // namespace pgpulse::contract
