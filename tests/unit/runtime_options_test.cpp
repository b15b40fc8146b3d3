#include "common/runtime/options.hpp"
#include "tests/support/temp_dir.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

namespace pgpulse::runtime {
namespace {

/// Sets a variable of the environment for as long as it lives; nullopt: takes it away.
class Variable {
  public:
    Variable(const char* name, const std::optional<std::string>& value) : name_(name) {
        if (const char* before = std::getenv(name)) before_ = before;
        set(value);
    }
    ~Variable() { set(before_); }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;

  private:
    const char* name_;
    std::optional<std::string> before_;

    void set(const std::optional<std::string>& value) const {
        if (value)
            setenv(name_, value->c_str(), 1);
        else
            unsetenv(name_);
    }
};

struct Values {
    std::string url = "default";
    int replicas = 1;
    std::string level = "info";
    bool keep = false;
    bool for_a_test = false;
    std::vector<std::string> peers;
};

struct Parsed {
    Values values;
    std::optional<int> code;
    std::string errors;
    std::string output;
};

Parsed parse(std::vector<std::string> arguments) {
    Parsed parsed;
    CommandLine line{"pgpulse-test", "For the test."};
    line.text("--nats", parsed.values.url, "URL", "Where", "PGPULSE_TEST_URL");
    line.integer("--replicas", parsed.values.replicas, 1, 5, "N", "How many", "PGPULSE_TEST_REPLICAS");
    line.choice("--log-level", parsed.values.level, {"info", "warn"}, "How much", "PGPULSE_TEST_LEVEL");
    line.flag("--keep", parsed.values.keep, "Keep it");
    line.hidden_flag("--for-a-test", parsed.values.for_a_test);
    line.list("--peer", parsed.values.peers, "HOST", "Who else", "PGPULSE_TEST_PEERS");
    line.reads_environment({"PGPULSE_TEST_SECRET"}, "PGPULSE_TEST_SECRET is a secret.");
    arguments.insert(arguments.begin(), "pgpulse-test");
    std::vector<char*> argv;
    argv.reserve(arguments.size() + 1);
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    testing::internal::CaptureStderr();
    testing::internal::CaptureStdout();
    parsed.code = line.parse(static_cast<int>(arguments.size()), argv.data());
    parsed.output = testing::internal::GetCapturedStdout();
    parsed.errors = testing::internal::GetCapturedStderr();
    return parsed;
}

class OptionsTest : public testing::Test {
  protected:
    support::TempDir folder;

    std::string file_with(const std::string& text) {
        const auto path = folder / "options.toml";
        std::ofstream{path} << text;
        return path.string();
    }

    /// Expects exit code 2 and one line that begins with the program's name and contains `text`.
    static void expect_fault(const Parsed& parsed, const std::string& text) {
        EXPECT_EQ(parsed.code, 2);
        EXPECT_EQ(std::ranges::count(parsed.errors, '\n'), 1) << parsed.errors;
        EXPECT_EQ(parsed.errors.find("pgpulse-test: "), 0U) << parsed.errors;
        EXPECT_NE(parsed.errors.find(text), std::string::npos) << parsed.errors << "\nlacks: " << text;
    }
};

TEST_F(OptionsTest, FlagBeatsEnvironmentBeatsFileBeatsDefault) {
    const std::string file = file_with("nats = \"file\"\nreplicas = 2\nlog-level = \"warn\"\nkeep = true\n");
    {
        const Parsed parsed = parse({});
        EXPECT_EQ(parsed.values.url, "default");
        EXPECT_EQ(parsed.values.replicas, 1);
        EXPECT_FALSE(parsed.values.keep);
    }
    {
        const Parsed parsed = parse({"--config", file});
        EXPECT_EQ(parsed.code, std::nullopt) << parsed.errors;
        EXPECT_EQ(parsed.values.url, "file");
        EXPECT_EQ(parsed.values.replicas, 2);
        EXPECT_EQ(parsed.values.level, "warn");
        EXPECT_TRUE(parsed.values.keep);
    }
    const Variable url{"PGPULSE_TEST_URL", "environment"};
    const Variable replicas{"PGPULSE_TEST_REPLICAS", "3"};
    const Variable level{"PGPULSE_TEST_LEVEL", "info"};
    {
        const Parsed parsed = parse({"--config", file});
        EXPECT_EQ(parsed.values.url, "environment");
        EXPECT_EQ(parsed.values.replicas, 3);
        EXPECT_EQ(parsed.values.level, "info");
    }
    {
        const Parsed parsed =
            parse({"--config", file, "--nats", "flag", "--replicas=4", "--log-level", "warn"});
        EXPECT_EQ(parsed.values.url, "flag");
        EXPECT_EQ(parsed.values.replicas, 4);
        EXPECT_EQ(parsed.values.level, "warn");
    }
}

TEST_F(OptionsTest, AnEmptyVariableCountsAsAbsent) {
    const Variable url{"PGPULSE_TEST_URL", ""};
    EXPECT_EQ(parse({}).values.url, "default");
}

TEST_F(OptionsTest, TheLastOfAFlagGivenTwiceCounts) {
    EXPECT_EQ(parse({"--nats", "a", "--nats", "b"}).values.url, "b");
}

TEST_F(OptionsTest, AListTakesAllOfAFlagGivenSeveralTimes) {
    using Peers = std::vector<std::string>;
    EXPECT_EQ(parse({}).values.peers, Peers{});
    EXPECT_EQ(parse({"--peer", "b", "--peer=a"}).values.peers, (Peers{"b", "a"}));
    const std::string file = file_with("peer = [\"f1\", \"f2\"]\n");
    EXPECT_EQ(parse({"--config", file}).values.peers, (Peers{"f1", "f2"}));
    const Variable peers{"PGPULSE_TEST_PEERS", "e1,e2"};
    EXPECT_EQ(parse({"--config", file}).values.peers, (Peers{"e1", "e2"}));
    EXPECT_EQ(parse({"--config", file, "--peer", "c"}).values.peers, Peers{"c"});
    expect_fault(parse({"--peer"}), "--peer");
}

TEST_F(OptionsTest, ABadFlagIsOneLine) {
    expect_fault(parse({"--bogus"}), "--bogus");
    expect_fault(parse({"stray"}), "stray");
    expect_fault(parse({"--nats"}), "--nats");
    expect_fault(parse({"--replicas", "x"}), "--replicas: expected an integer from 1 to 5, found 'x'");
    expect_fault(parse({"--replicas", "6"}), "--replicas: expected an integer from 1 to 5, found '6'");
    expect_fault(parse({"--replicas", "2x"}), "found '2x'");
    expect_fault(parse({"--replicas", "99999999999"}), "found '99999999999'");
    expect_fault(parse({"--log-level", "loud"}), "--log-level: expected one of info|warn, found 'loud'");
}

TEST_F(OptionsTest, AFaultNamesTheVariable) {
    const Variable replicas{"PGPULSE_TEST_REPLICAS", "none"};
    expect_fault(parse({}), "PGPULSE_TEST_REPLICAS: expected an integer from 1 to 5, found 'none'");
}

TEST_F(OptionsTest, AFaultNamesTheFileAndTheKey) {
    std::string file = file_with("replicas = 6\n");
    expect_fault(parse({"--config", file}),
                 file + ":1: key 'replicas': expected an integer from 1 to 5, found '6'");
    file = file_with("# replicas = 1\n\n  keep=maybe # keep = true\n");
    expect_fault(parse({"--config", file}), file + ":3: key 'keep': expected true or false, found 'maybe'");
}

TEST_F(OptionsTest, AnUnknownOptionIsNamedWhateverFollowsIt) {
    expect_fault(parse({"--replcas", "3"}), "unknown option '--replcas'");
    expect_fault(parse({"--replcas=3"}), "unknown option '--replcas'");
    expect_fault(parse({"--keep", "now"}), "unexpected argument 'now'");
    EXPECT_EQ(unexpected_argument({"a", "b"}), "unexpected argument 'a'");
}

TEST_F(OptionsTest, AnUnknownKeyIsRefused) {
    std::string file = file_with("nats = \"x\"\nreplica = 3\n");
    expect_fault(parse({"--config", file}), file + ":2: unknown key 'replica'");
    file = file_with("[probe]\nnats = \"x\"\n");
    expect_fault(parse({"--config", file}), file + ":1: section 'probe': there are no sections");
}

TEST_F(OptionsTest, AKeyWithSeveralValuesIsRefused) {
    const std::string file = file_with("nats = [\"a\", \"b\"]\n");
    expect_fault(parse({"--config", file}), file + ":1: key 'nats': expected one value");
}

TEST_F(OptionsTest, AFileThatCannotBeReadIsNamed) {
    const std::string path = (folder / "absent.toml").string();
    expect_fault(parse({"--config", path}), "--config: cannot read '" + path + "'");
    expect_fault(parse({"--config", folder.path().string()}), folder.path().string());
}

TEST_F(OptionsTest, ALineThatIsNoKeyAndValueIsRefused) {
    std::string file = file_with("# comment\n\nreplicas = 2\n  nats\n");
    expect_fault(parse({"--config", file}), file + ":4: expected KEY = VALUE");
    file = file_with("nats http://x\n");
    expect_fault(parse({"--config", file}), file + ":1: expected KEY = VALUE");
}

TEST_F(OptionsTest, AHiddenFlagIsTakenAndNotShown) {
    EXPECT_TRUE(parse({"--for-a-test"}).values.for_a_test);
    const Parsed help = parse({"--help"});
    EXPECT_NE(help.output.find("--keep"), std::string::npos) << help.output;
    EXPECT_EQ(help.output.find("--for-a-test"), std::string::npos) << help.output;
}

TEST_F(OptionsTest, HelpAndVersionEndWithZero) {
    EXPECT_EQ(parse({"--help"}).code, 0);
    EXPECT_EQ(parse({"--version"}).code, 0);
}

class CommonOptionsTest : public OptionsTest {
  protected:
    Variable no_url{"NATS_URL", std::nullopt};

    struct Result {
        CommonOptions options;
        std::optional<int> code;
        std::string errors;
    };

    static Result finish(std::vector<std::string> arguments) {
        Result result;
        CommandLine line{"pgpulse-test", "For the test."};
        add_common_options(line, result.options);
        arguments.insert(arguments.begin(), "pgpulse-test");
        std::vector<char*> argv;
        argv.reserve(arguments.size() + 1);
        for (std::string& argument : arguments) argv.push_back(argument.data());
        argv.push_back(nullptr);
        testing::internal::CaptureStderr();
        result.code = line.parse(static_cast<int>(arguments.size()), argv.data());
        if (!result.code) result.code = finish_common_options(line, result.options, "pgpulse-test");
        result.errors = testing::internal::GetCapturedStderr();
        return result;
    }

    static void expect_refused(std::vector<std::string> arguments, const std::string& text) {
        const Result result = finish(std::move(arguments));
        EXPECT_EQ(result.code, 2);
        EXPECT_EQ(std::ranges::count(result.errors, '\n'), 1) << result.errors;
        EXPECT_NE(result.errors.find(text), std::string::npos) << result.errors;
    }
};

TEST_F(CommonOptionsTest, HaveDefaults) {
    const Result result = finish({});
    EXPECT_EQ(result.code, std::nullopt) << result.errors;
    EXPECT_EQ(result.options.nats.url, "nats://127.0.0.1:4222");
    EXPECT_FALSE(result.options.id.empty());
    EXPECT_EQ(result.options.http, "");
    EXPECT_EQ(result.options.nats.client_name, "pgpulse-test " + result.options.id);
}

TEST_F(CommonOptionsTest, ReadNatsVariables) {
    const Variable url{"NATS_URL", "nats://10.0.0.1:4222"};
    const Variable user{"NATS_USER", "u"};
    const Variable password{"NATS_PASSWORD", "p"};
    const Variable token{"NATS_TOKEN", "t"};
    const Variable creds{"NATS_CREDS", "/c"};
    const Variable nkey{"NATS_NKEY", "/n"};
    const Variable cert{"NATS_CERT", "/cert"};
    const Variable key{"NATS_KEY", "/key"};
    const Variable ca{"NATS_CA", "/ca"};
    const Variable inbox{"NATS_INBOX_PREFIX", "_INBOX_u"};
    const Result result = finish({});
    EXPECT_EQ(result.options.nats.url, "nats://10.0.0.1:4222");
    EXPECT_EQ(result.options.nats.user, "u");
    EXPECT_EQ(result.options.nats.password, "p");
    EXPECT_EQ(result.options.nats.token, "t");
    EXPECT_EQ(result.options.nats.credentials_file, "/c");
    EXPECT_EQ(result.options.nats.nkey_seed_file, "/n");
    EXPECT_EQ(result.options.nats.certificate_file, "/cert");
    EXPECT_EQ(result.options.nats.key_file, "/key");
    EXPECT_EQ(result.options.nats.ca_file, "/ca");
    EXPECT_EQ(result.options.nats.inbox_prefix, "_INBOX_u");
}

TEST_F(CommonOptionsTest, ReadSecretsOfNatsFromFiles) {
    const Variable password{"NATS_PASSWORD", "stale"};
    const Variable password_file{"NATS_PASSWORD_FILE", file_with("pass word \n")};
    EXPECT_EQ(finish({}).options.nats.password, "pass word ");
    file_with(std::string(4096, 'x') + "\r\n");
    EXPECT_EQ(finish({}).options.nats.password, std::string(4096, 'x'));
    const Variable token_file{"NATS_TOKEN_FILE", file_with("hunter2")};
    EXPECT_EQ(finish({}).options.nats.token, "hunter2");
}

TEST_F(CommonOptionsTest, NameAFileOfASecretThatCannotBeUsed) {
    const std::string path = file_with("");
    const Variable token_file{"NATS_TOKEN_FILE", path};
    const std::string fault = "NATS_TOKEN_FILE: '" + path + "': expected one line of at most 4096 bytes";
    for (const std::string& text : {std::string{}, std::string{"\n"}, std::string{"hunter2\nhunter2\n"},
                                    std::string{"\nhunter2"}, std::string{"hunter2\0", 8},
                                    "hunter2" + std::string(4090, 'x'), "hunter2" + std::string(9000, 'x')}) {
        file_with(text);
        expect_refused({}, fault);
        EXPECT_EQ(finish({}).errors.find("hunter2"), std::string::npos);
    }
    const Variable folder_for_file{"NATS_TOKEN_FILE", folder.path().string()};
    expect_refused({}, "NATS_TOKEN_FILE: cannot read '" + folder.path().string() + "'");
    const Variable nothing{"NATS_TOKEN_FILE", (folder / "absent").string()};
    expect_refused({}, "NATS_TOKEN_FILE: cannot read '" + (folder / "absent").string() + "'");
}

TEST_F(CommonOptionsTest, RefuseWhatCannotBeUsed) {
    expect_refused({"--nats", "foo://x"}, "--nats: expected nats://HOST:PORT");
    expect_refused({"--nats", ""}, "--nats: expected nats://HOST:PORT");
    expect_refused({"--id", "a.b"}, "--id: expected 1 to 63 of A-Z, a-z, 0-9, '_' and '-', found 'a.b'");
    expect_refused({"--site", std::string(64, 's')}, "--site: expected at most 63 characters");
    expect_refused({"--http", "9187"}, "--http: expected ADDR:PORT, found '9187'");
    expect_refused({"--log-level", "loud"}, "--log-level: expected one of trace|debug|info|warn|error");
    expect_refused({"--log-format", "xml"}, "--log-format: expected one of text|json");
}

TEST_F(CommonOptionsTest, NeverShowASecret) {
    const Result result = finish({"--nats", "nats://user:hunter2@host:99999"});
    EXPECT_EQ(result.code, 2);
    EXPECT_EQ(result.errors.find("hunter2"), std::string::npos) << result.errors;
}

TEST_F(OptionsTest, PrintsWhatAllComeToAndFromWhere) {
    const std::string file = (folder / "pgpulse.toml").string();
    std::ofstream{file} << "replicas = 3\npeer = [\"a\", \"b\"]\n";
    const Variable level{"PGPULSE_TEST_LEVEL", "warn"};
    const Variable password{"NATS_PASSWORD", "not to be shown"};
    const Variable secret{"PGPULSE_TEST_SECRET", "nor this"};
    const Parsed parsed =
        parse({"--config", file, "--nats", "tls://user:secret@h1:4222/secret,nats://h2", "--print-config"});
    EXPECT_EQ(parsed.code, 0);
    EXPECT_EQ(parsed.errors, "");
    EXPECT_EQ(parsed.output,
              "# What pgpulse-test is run with. Of URLs only the server is shown: the rest may be a secret.\n"
              "nats = \"tls://h1:4222,nats://h2\"  # --nats\n"
              "replicas = 3  # " +
                  file +
                  ":1: key 'replicas'\n"
                  "log-level = \"warn\"  # PGPULSE_TEST_LEVEL\n"
                  "keep = false  # default\n"
                  "peer = [\"a\", \"b\"]  # " +
                  file +
                  ":2: key 'peer'\n"
                  "# NATS_PASSWORD is set\n# PGPULSE_TEST_SECRET is set\n");
}

TEST_F(OptionsTest, PrintsItsManual) {
    const Parsed parsed = parse({"--print-manual"});
    EXPECT_EQ(parsed.code, 0);
    EXPECT_EQ(parsed.errors, "");
    const auto stands = [&](const std::string& text) {
        EXPECT_NE(parsed.output.find(text), std::string::npos) << text << "\n" << parsed.output;
    };
    stands(".TH \"pgpulse-test\" \"8\"");
    stands(".SH NAME\npgpulse\\-test \\- For the test.\n");
    stands(".TP\n\\fB\\-\\-replicas\\fR \\fIN\\fR\nHow many [1] (env PGPULSE_TEST_REPLICAS)\n");
    stands(".SH EXIT STATUS\nExit code 0: ");
    stands("\nPGPULSE_TEST_SECRET is a secret.\n.SH SEE ALSO\npgpulse(1)\n");
    EXPECT_EQ(parsed.output.find("for\\-a\\-test"), std::string::npos);
}

TEST_F(OptionsTest, WhatIsPrintedIsAConfigurationFile) {
    const std::string file = (folder / "pgpulse.toml").string();
    std::ofstream{file} << parse({"--replicas", "4", "--keep", "--peer", "x", "--print-config"}).output;
    const Parsed parsed = parse({"--config", file});
    EXPECT_EQ(parsed.code, std::nullopt) << parsed.errors;
    EXPECT_EQ(parsed.values.replicas, 4);
    EXPECT_TRUE(parsed.values.keep);
    EXPECT_EQ(parsed.values.peers, std::vector<std::string>{"x"});
}

}  // namespace
}  // namespace pgpulse::runtime
