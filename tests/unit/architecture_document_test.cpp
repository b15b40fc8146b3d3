#include "tests/support/folders.hpp"
#include "tests/support/source_rules.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

namespace pgpulse {
namespace {

const std::filesystem::path kRoot = support::source_folder();

std::string document() {
    std::ifstream file{kRoot / "docs" / "architecture.md"};
    return {std::istreambuf_iterator<char>{file}, {}};
}

/// "Suite.Name" of every test in these folders.
std::set<std::string> tests_in_the_sources() {
    static const std::regex kTest{R"(\b(?:TEST(?:_F|_P)?|RC_GTEST_PROP)\(\s*(\w+),\s*(\w+)[,)])"};
    std::set<std::string> tests;
    for (const auto& file :
         support::read_sources(kRoot, {"tests/unit", "tests/integration", "tests/fault"})) {
        for (std::sregex_iterator at{file.text.begin(), file.text.end(), kTest}, end; at != end; ++at) {
            tests.insert((*at)[1].str() + "." + (*at)[2].str());
        }
    }
    return tests;
}

TEST(ArchitectureDocument, NamesTestsThatExist) {
    static const std::regex kName{R"(`([A-Z]\w*\.[A-Z]\w*)`)"};
    const auto tests = tests_in_the_sources();
    const std::string text = document();
    int named = 0;
    for (std::sregex_iterator at{text.begin(), text.end(), kName}, end; at != end; ++at) {
        EXPECT_TRUE(tests.contains((*at)[1].str())) << (*at)[1];
        ++named;
    }
    EXPECT_GT(named, 30);
}

TEST(ArchitectureDocument, NamesATestForEveryInvariant) {
    static const std::regex kRow{R"(\n\| ([^|*][^|]*) \| ([^|]*) \|)"};
    const std::string text = document();
    const auto from = text.find("## Invariants");
    ASSERT_NE(from, std::string::npos);
    const std::string table = text.substr(from, text.find("\n## ", from + 1) - from);
    int invariants = 0;
    for (std::sregex_iterator at{table.begin(), table.end(), kRow}, end; at != end; ++at) {
        if ((*at)[1] == "invariant") continue;
        EXPECT_NE((*at)[2].str().find('`'), std::string::npos) << (*at)[1];
        ++invariants;
    }
    EXPECT_GT(invariants, 25);
}

}  // namespace
}  // namespace pgpulse
