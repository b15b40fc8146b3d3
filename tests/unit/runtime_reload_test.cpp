#include "common/runtime/options.hpp"
#include "tests/support/temp_dir.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace pgpulse::runtime {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

class ReloadTest : public testing::Test {
  protected:
    const support::TempDir folder;
    const std::string file = folder / "daemon.toml";
    Reload reload;

    void write(const std::string& text) const { std::ofstream{file} << text; }

    void start(const std::string& text, std::vector<std::string> arguments = {}) {
        write(text);
        std::string url = "nats://127.0.0.1";
        std::string level = "info";
        int replicas = 1;
        bool keep = false;
        std::vector<std::string> peers;
        CommandLine line{"pgpulse-test", "For the test."};
        line.text("--nats", url, "URL", "Where");
        line.choice("--log-level", level, {"info", "warn"}, "How much");
        line.integer("--replicas", replicas, 1, 5, "N", "How many");
        line.flag("--keep", keep, "Whether");
        line.list("--peer", peers, "NAME", "Who");
        line.takes_effect_at_once("log-level");
        arguments.insert(arguments.begin(), {"pgpulse-test", "--config", file});
        std::vector<char*> argv;
        for (std::string& argument : arguments) argv.push_back(argument.data());
        ASSERT_EQ(line.parse(static_cast<int>(argv.size()), argv.data()), std::nullopt);
        reload = line.reload();
    }

    Reload::Changes read(const std::string& text) {
        write(text);
        auto changes = reload.read();
        if (changes) return *changes;
        ADD_FAILURE() << changes.error();
        return {};
    }

    std::string fault(const std::string& text) {
        write(text);
        const auto changes = reload.read();
        return changes ? "" : changes.error();
    }
};

TEST_F(ReloadTest, WhatIsAsItWasIsNoChange) {
    const std::string text = "nats = 'nats://h'\nlog-level = 'warn'\nkeep = true\npeer = ['a', 'b']\n";
    start(text);
    const auto changes = read("# the defaults of the others, as words\n" + text + "replicas = 1\n");
    EXPECT_THAT(changes.at_once, IsEmpty());
    EXPECT_THAT(changes.at_next_start, IsEmpty());
}

TEST_F(ReloadTest, WhatTakesEffectAtOnceIsToldOnceAndTheRestUntilARestart) {
    start("");
    const std::string text = "log-level = 'warn'\nnats = 'nats://h'\npeer = ['a']\nkeep = true\n";
    const auto changes = read(text);
    EXPECT_THAT(changes.at_once, ElementsAre(Pair("log-level", "warn")));
    EXPECT_THAT(changes.at_next_start, ElementsAre("keep", "nats", "peer"));
    const auto again = read(text);
    EXPECT_THAT(again.at_once, IsEmpty());
    EXPECT_THAT(again.at_next_start, ElementsAre("keep", "nats", "peer"));
}

TEST_F(ReloadTest, WhatIsTakenOutOfTheFileIsItsDefaultAgain) {
    start("log-level = 'warn'\nreplicas = 3\n");
    const auto changes = read("");
    EXPECT_THAT(changes.at_once, ElementsAre(Pair("log-level", "info")));
    EXPECT_THAT(changes.at_next_start, ElementsAre("replicas"));
}

TEST_F(ReloadTest, WhatAFlagSaysTheFileDoesNotChange) {
    start("", {"--log-level", "info", "--peer", "a"});
    const auto changes = read("log-level = 'warn'\npeer = ['b']\n");
    EXPECT_THAT(changes.at_once, IsEmpty());
    EXPECT_THAT(changes.at_next_start, IsEmpty());
}

TEST_F(ReloadTest, AFaultNamesFileAndKeyAndNothingIsTakenOver) {
    start("");
    EXPECT_EQ(fault("log-level = 'warn'\nreplicas = 9\n"),
              file + ":2: key 'replicas': expected an integer from 1 to 5, found '9'");
    EXPECT_EQ(fault("log-level = 'warn'\nreplica = 3\n"), file + ":2: unknown key 'replica'");
    EXPECT_EQ(fault("log-level\n"), file + ":1: expected KEY = VALUE");
    EXPECT_THAT(read("log-level = 'warn'\n").at_once, ElementsAre(Pair("log-level", "warn")));
}

}  // namespace
}  // namespace pgpulse::runtime
