#include "ctl/options.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <sstream>
#include <string>
#include <vector>

// What `pgpulse` tells a shell and man(1), of the same commands and options that it takes.
namespace pgpulse::ctl {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

struct Told {
    tl::expected<Options, int> options;
    std::string out;
    std::string err;
};

Told tell(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "pgpulse");
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    auto options = read_options(static_cast<int>(arguments.size()), argv.data());
    const std::string out = testing::internal::GetCapturedStdout();
    return {std::move(options), out, testing::internal::GetCapturedStderr()};
}

std::vector<std::string> offered(std::vector<std::string> typed) {
    typed.insert(typed.begin(), {"complete", "--"});
    std::istringstream lines{tell(typed).out};
    std::vector<std::string> words;
    for (std::string line; std::getline(lines, line);) words.push_back(line);
    return words;
}

/// Whether names of targets may stand there.
bool offers_targets(std::vector<std::string> typed) {
    typed.insert(typed.begin(), {"complete", "--"});
    const auto options = tell(typed).options;
    return options && options->command == Command::complete;
}

TEST(Completion, OffersCommands) {
    EXPECT_THAT(offered({"sta"}), ElementsAre("status"));
    EXPECT_THAT(offered({""}), Contains("doctor"));
    EXPECT_THAT(offered({"maintenance", "o"}), ElementsAre("on", "off"));
    EXPECT_THAT(offered({"--nats", "status", "mem"}), ElementsAre("members"))
        << "the value of an option is no command";
}

TEST(Completion, OffersTheOptionsOfACommandAndWhatItLetsThrough) {
    EXPECT_THAT(offered({"status", "--st"}), ElementsAre("--state"));
    EXPECT_THAT(offered({"status", "--n"}), ElementsAre("--nats"));
    EXPECT_THAT(offered({"watch", "--p"}), IsEmpty());
    EXPECT_THAT(offered({"apply", "--p"}), ElementsAre("--prune"));
}

TEST(Completion, OffersTheValuesOfAnOptionThatHasAFew) {
    EXPECT_THAT(offered({"status", "--state", ""}), ElementsAre("up", "down", "unknown"));
    EXPECT_THAT(offered({"status", "--service", ""}), IsEmpty());
    EXPECT_FALSE(offers_targets({"status", "--service", ""}));
}

TEST(Completion, OffersTargetsWhereOneMayStand) {
    EXPECT_TRUE(offers_targets({"status", ""}));
    EXPECT_TRUE(offers_targets({"explain", "or"}));
    EXPECT_TRUE(offers_targets({"maintenance", "on", ""}));
    EXPECT_FALSE(offers_targets({"members", ""}));
    EXPECT_FALSE(offers_targets({"ping", ""}));
}

TEST(Completion, HasAScriptForEachShell) {
    for (const char* shell : {"bash", "zsh", "fish"}) {
        const Told told = tell({"completion", shell});
        EXPECT_EQ(told.options.error(), 0);
        EXPECT_THAT(told.out, HasSubstr("pgpulse complete -- "));
    }
    const Told told = tell({"completion", "tcsh"});
    EXPECT_EQ(told.options.error(), 2);
    EXPECT_THAT(told.err, HasSubstr("SHELL: expected bash, zsh or fish, found 'tcsh'"));
}

TEST(ManPage, OfACommandSaysWhatItsHelpSays) {
    const Told told = tell({"man", "status"});
    EXPECT_EQ(told.options.error(), 0);
    EXPECT_THAT(told.out, HasSubstr(".SH SYNOPSIS\n\\fBpgpulse status\\fR [\\fIOPTIONS\\fR] [TARGET...]\n"));
    EXPECT_THAT(told.out, HasSubstr(".TP\n\\fB\\-\\-state\\fR \\fISTATE\\fR\nOnly targets in this state"));
    EXPECT_THAT(told.out, HasSubstr(".SH EXIT STATUS\nExit code: 0 all"));
    EXPECT_THAT(told.out, HasSubstr(".SH EXAMPLES\n.nf\n  pgpulse status\n"));
}

TEST(ManPage, OfTheProgramNamesItsCommandsAndVariables) {
    const Told told = tell({"man"});
    EXPECT_THAT(told.out, HasSubstr(".SH COMMANDS\n"));
    EXPECT_THAT(told.out, HasSubstr("\\fBdoctor\\fR\n"));
    EXPECT_THAT(told.out, HasSubstr(".SH ENVIRONMENT\nNATS_URL"));
    EXPECT_THAT(told.out, HasSubstr("pgpulse\\-status(1)"));
    EXPECT_THAT(told.out, Not(HasSubstr("\n.\n")));
}

TEST(ManPage, OfNoCommandIsAFault) {
    const Told told = tell({"man", "frob"});
    EXPECT_EQ(told.options.error(), 2);
    EXPECT_THAT(told.err, HasSubstr("COMMAND: expected a command of pgpulse, found 'frob'"));
}

}  // namespace
}  // namespace pgpulse::ctl
