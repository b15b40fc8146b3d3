#include "tests/support/bucket_author.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <fstream>
#include <string>
#include <vector>

// What an operator's commands do to the definitions, on a real nats-server.
namespace pgpulse {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kTwo = R"({"targets": [{"name": "db1", "address": "10.0.0.1"},
                                            {"name": "db2", "address": "10.0.0.2", "port": 5433}]})";
constexpr const char* kOne = R"({"targets": [{"name": "db1", "address": "10.0.0.1"}]})";

class CtlDefinitions : public testing::Test {
  protected:
    support::NatsServer server;
    support::BucketAuthor author{server.url()};
    support::TempDir folder;

    std::string file(const std::string& name, const std::string& text) {
        const std::string path = folder.path() / name;
        std::ofstream{path} << text;
        return path;
    }

    support::CommandResult run(std::vector<std::string> arguments) const {
        arguments.insert(arguments.begin(), support::built_program("pgpulse"));
        support::ProcessOptions options;
        options.environment = {{"NATS_URL", server.url()}};
        return support::run_to_end(arguments, options);
    }
};

TEST_F(CtlDefinitions, AreAppliedOnceAndSaidInWords) {
    const std::string two = file("two.json", kTwo);
    const auto dry = run({"apply", "-f", two, "--dry-run"});
    EXPECT_EQ(dry.exit_code, 0) << dry.err;
    EXPECT_EQ(dry.out,
              "+ db1\n+ db2\n2 created, 0 changed, 0 removed, 0 unchanged (dry run: nothing was written)\n");
    const auto first = run({"apply", "-f", two});
    EXPECT_EQ(first.exit_code, 0) << first.err;
    EXPECT_EQ(first.out, "+ db1\n+ db2\n2 created, 0 changed, 0 removed, 0 unchanged\n");
    EXPECT_EQ(run({"apply", "-f", two}).out, "0 created, 0 changed, 0 removed, 2 unchanged\n");

    const auto pruned = run({"apply", "-f", file("one.json", kOne), "--prune"});
    EXPECT_EQ(pruned.out, "- db2\n0 created, 0 changed, 1 removed, 1 unchanged\n") << pruned.err;
    // What was deleted can be made again.
    EXPECT_EQ(run({"apply", "-f", two}).out, "+ db2\n1 created, 0 changed, 0 removed, 1 unchanged\n");
}

TEST_F(CtlDefinitions, AreNotTouchedWhereAnyFileIsWrong) {
    const std::string one = file("one.json", kOne);
    const auto twice = run({"apply", "-f", one, "-f", file("two.json", kTwo)});
    EXPECT_EQ(twice.exit_code, 2);
    EXPECT_THAT(twice.err, HasSubstr("two.json: target 'db1' is in " + one + " as well"));
    const auto wrong =
        run({"apply", "-f", one, "-f", file("wrong.json", R"({"targets": [{"name": "db3"}]})")});
    EXPECT_EQ(wrong.exit_code, 2);
    EXPECT_THAT(wrong.err, HasSubstr("wrong.json: targets[0]: key 'address' is missing"));
    const auto empty = run({"apply", "--prune", "-f", file("empty.json", R"({"targets": []})")});
    EXPECT_EQ(empty.exit_code, 2);
    EXPECT_THAT(empty.err, StartsWith("pgpulse: --prune: expected a target"));
    EXPECT_EQ(run({"get", "--json"}).out, "");
}

TEST_F(CtlDefinitions, AreValidatedWithoutNats) {
    server.stop();
    const std::string one = file("one.json", kOne);
    const auto good = run({"validate", one});
    EXPECT_EQ(good.exit_code, 0) << good.err;
    EXPECT_EQ(good.out, one + ": 1 targets\n");
    const auto bad = run({"validate", one, "/nowhere.json", file("bad.json", "{")});
    EXPECT_EQ(bad.exit_code, 2);
    EXPECT_THAT(bad.err, HasSubstr("/nowhere.json: cannot be read: No such file or directory\n"));
    EXPECT_THAT(bad.err, HasSubstr("bad.json:1: "));
}

TEST_F(CtlDefinitions, ComeBackAsATargetsFile) {
    ASSERT_EQ(run({"apply", "-f", file("two.json", kTwo)}).exit_code, 0);
    const auto all = run({"get"});
    EXPECT_EQ(all.exit_code, 0) << all.err;
    EXPECT_EQ(all.err, "");
    EXPECT_EQ(run({"apply", "-f", file("back.json", all.out)}).out,
              "0 created, 0 changed, 0 removed, 2 unchanged\n");
    const auto some = run({"get", "--json", "db2", "db9"});
    EXPECT_EQ(some.exit_code, 1);
    EXPECT_EQ(some.err, "pgpulse: no definition of 'db9'\n");
    EXPECT_THAT(some.out, HasSubstr("\"port\":5433"));
}

TEST_F(CtlDefinitions, AreDeletedAllOrNone) {
    ASSERT_EQ(run({"apply", "-f", file("two.json", kTwo)}).exit_code, 0);
    const auto unknown = run({"delete", "db1", "db9"});
    EXPECT_EQ(unknown.exit_code, 1);
    EXPECT_EQ(unknown.err, "pgpulse: no definition of 'db9': nothing was deleted\n");
    EXPECT_EQ(run({"delete", "db1", "db2"}).out, "- db1\n- db2\n");
    EXPECT_EQ(run({"get", "--json"}).out, "");
    EXPECT_EQ(run({"delete", "db1"}).exit_code, 1);
}

TEST_F(CtlDefinitions, ArePutUnderMaintenanceAndTakenOutOfIt) {
    ASSERT_EQ(run({"apply", "-f", file("two.json", kTwo)}).exit_code, 0);
    const std::string before = run({"get"}).out;
    const auto on =
        run({"maintenance", "on", "db1", "--until", "2026-01-02T06:00:00Z", "--reason", "new disk"});
    EXPECT_EQ(on.exit_code, 0) << on.err;
    EXPECT_THAT(on.out, StartsWith("~ db1: maintenance_until: none -> 2026-01-02T06:00:00.000000Z"));
    EXPECT_THAT(run({"get", "db1"}).out, HasSubstr("new disk"));
    EXPECT_EQ(run({"maintenance", "off", "db1"}).exit_code, 0);
    EXPECT_EQ(run({"get"}).out, before);
    EXPECT_EQ(run({"maintenance", "off", "db1"}).out, "");
    const auto unknown = run({"maintenance", "on", "db1", "db9"});
    EXPECT_EQ(unknown.exit_code, 1);
    EXPECT_EQ(unknown.err, "pgpulse: no definition of 'db9': nothing was changed\n");
    EXPECT_EQ(run({"get"}).out, before);
}

TEST_F(CtlDefinitions, BadFlagsAreOneLine) {
    const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
        {{"apply"}, "--file is required"},
        {{"maintenance", "on", "db1", "--for", "3x"}, "--for: expected a time up to a year"},
        {{"maintenance", "on", "db1", "--until", "noon"}, "--until: expected a time such as"},
        {{"maintenance", "on", "db1", "--until", "2026-01-02T06:00:00Z", "--for", "1h"},
         "--for excludes --until"},
        {{"maintenance", "on", "DB1"}, "TARGET: expected a target's name"},
        {{"delete"}, "TARGET is required"},
        {{"frobnicate", "db1"}, "unknown command 'frobnicate'"},
        {{"history", "db1", "--since", "noon"}, "--since: expected a time such as"},
        {{"apply", "-f", "x", "--forse", "1"}, "unknown option '--forse'"},
    };
    for (const auto& [arguments, text] : cases) {
        const auto result = run(arguments);
        EXPECT_EQ(result.exit_code, 2) << text;
        EXPECT_THAT(result.err, StartsWith("pgpulse: " + text));
        EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
    }
}

TEST_F(CtlDefinitions, SayThatNatsCannotBeReached) {
    server.stop();
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{"get"}, {"delete", "db1"}, {"maintenance", "off", "db1"}}) {
        auto with_timeout = arguments;
        with_timeout.insert(with_timeout.end(), {"--timeout", "0.3"});
        EXPECT_EQ(run(with_timeout).exit_code, 3) << arguments.front();
    }
}

}  // namespace
}  // namespace pgpulse
