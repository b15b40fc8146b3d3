#include "tests/support/certificate_authority.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/process.hpp"
#include "tests/support/tcp_peer.hpp"
#include "tests/support/temp_dir.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

// What an operator mistypes: one clear line, exit code 2, nothing started.
namespace pgpulse {
namespace {

using Arguments = std::vector<std::string>;
using Environment = std::vector<std::pair<std::string, std::string>>;

const std::vector<std::string> kDaemons{"pgpulse-probe", "pgpulse-aggregator", "pgpulse-consul-bridge"};

support::CommandResult run(const std::string& program, const Arguments& arguments,
                           Environment environment = {}) {
    Arguments argv{support::built_program(program)};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    support::ProcessOptions options;
    options.environment = std::move(environment);
    return support::run_to_end(argv, options);
}

void expect_refused(const std::string& program, const Arguments& arguments, const std::string& text,
                    Environment environment = {}) {
    const auto result = run(program, arguments, std::move(environment));
    EXPECT_EQ(result.exit_code, 2) << program << ": " << result.err;
    EXPECT_EQ(result.out, "") << program;
    EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << program << ": " << result.err;
    EXPECT_NE(result.err.find(text), std::string::npos) << program << ": " << result.err << "lacks: " << text;
    EXPECT_NE(result.err.find(program), std::string::npos) << result.err;
}

TEST(BadInput, AnUnknownFlagIsRefused) {
    for (const std::string& daemon : kDaemons) {
        expect_refused(daemon, {"--bogus"}, "--bogus");
        expect_refused(daemon, {"stray"}, "stray");
    }
    expect_refused("pgpulse", {"status", "--bogus"}, "--bogus");
    expect_refused("pgpulse", {}, "subcommand");
    expect_refused("pgpulse", {"stop"}, "unknown command 'stop'");
}

TEST(BadInput, ABadNatsUrlIsRefused) {
    const std::string expected = "expected nats://HOST:PORT or tls://HOST:PORT";
    for (const std::string& daemon : kDaemons) {
        expect_refused(daemon, {"--nats", "foo://x"}, expected);
        expect_refused(daemon, {"--nats", "nats://u:hunter2@host:0"}, "found 'nats://host:0'");
        expect_refused(daemon, {}, expected, {{"NATS_URL", "http://x"}});
    }
    for (const char* command : {"status", "watch"}) {
        expect_refused("pgpulse", {command, "--nats", "foo://x"}, expected);
        expect_refused("pgpulse", {command}, expected, {{"NATS_URL", "http://x"}});
    }
}

TEST(BadInput, ABadWebhookIsRefusedAndNotRepeated) {
    const std::string bridge = "pgpulse-consul-bridge";
    for (const char* url : {"hunter2", "ftp://host/hunter2", "https://host:0/hunter2"}) {
        const auto result = run(bridge, {"--webhook", url});
        EXPECT_EQ(result.exit_code, 2) << result.err;
        EXPECT_EQ(result.err.find("hunter2"), std::string::npos) << result.err;
        expect_refused(bridge, {"--webhook", url}, "--webhook: expected http://HOST[:PORT]/PATH");
    }
    expect_refused(bridge, {}, "--webhook (number 2): expected http://",
                   {{"PGPULSE_WEBHOOK", "https://host/,hunter2"}});
    expect_refused(bridge, {"--webhook", "https://host", "--webhook-header-file", "/nowhere/headers"},
                   "--webhook-header-file: cannot read '/nowhere/headers'");
    expect_refused(bridge, {"--webhook", "https://host", "--webhook-ca-file", "/nowhere/ca"},
                   "--webhook-ca-file: cannot read '/nowhere/ca'");
}

TEST(BadInput, ABadHttpAddressIsRefused) {
    for (const std::string& daemon : kDaemons) {
        expect_refused(daemon, {"--http", "9187"}, "--http: expected ADDR:PORT, found '9187'");
        expect_refused(daemon, {"--http", "127.0.0.1:65536"}, "--http: expected ADDR:PORT");
    }
}

TEST(BadInput, APortThatIsTakenIsNamed) {
    const support::TcpPeer taken;
    const std::string address = "127.0.0.1:" + std::to_string(taken.port());
    for (const std::string& daemon : kDaemons) {
        const auto result = run(daemon, {"--http", address, "--log-level", "error"});
        EXPECT_EQ(result.exit_code, 2) << daemon << ": " << result.err;
        EXPECT_NE(result.err.find("cannot listen on " + address), std::string::npos) << result.err;
    }
}

TEST(BadInput, BadNamesAndLevelsAreRefused) {
    for (const std::string& daemon : kDaemons) {
        expect_refused(daemon, {"--id", "a.b"}, "--id: expected");
        expect_refused(daemon, {"--log-level", "loud"}, "--log-level: expected one of");
        expect_refused(daemon, {"--log-format", "xml"}, "--log-format: expected one of text|json");
    }
}

TEST(BadInput, AConfigurationFileIsReadWithCare) {
    const support::TempDir folder;
    const std::string file = (folder / "pgpulse.toml").string();
    std::ofstream{file} << "log-level = \"warn\"\nsiet = \"fra1\"\n";
    const std::string absent = (folder / "absent.toml").string();
    for (const std::string& daemon : kDaemons) {
        expect_refused(daemon, {"--config", file}, file + ":2: unknown key 'siet'");
        expect_refused(daemon, {"--config", absent}, "--config: cannot read '" + absent + "'");
    }
}

TEST(BadInput, ABadTargetsFileIsRefused) {
    const support::TempDir folder;
    const std::string file = (folder / "targets.json").string();
    const auto refused = [&](const std::string& content, const std::string& text) {
        std::ofstream{file} << content;
        expect_refused("pgpulse-probe", {"--targets", file}, text);
    };
    refused("{\"targets\": [\n{\"name\": \"db1\"\n\"address\": 1}]}", file + ":3");
    refused(R"({"targets": [{"name": "db1", "address": "127.0.0.1", "prot": 5433}]})", "prot: unknown key");
    refused(R"({"targets": [{"name": "DB1", "address": "127.0.0.1"}]})", "name: expected a DNS label");
    refused(R"({"targets": [{"name": "db1", "address": "127.0.0.1", "port": 70000}]})",
            "port: expected an integer from 1 to 65535, found 70000");
    refused(R"({"targets": [{"name": "db1", "address": "a"}, {"name": "db1", "address": "b"}]})", "db1");
    std::filesystem::remove(file);
    expect_refused("pgpulse-probe", {"--targets", file}, file);
}

TEST(BadInput, ABadConsulUrlIsRefused) {
    expect_refused("pgpulse-consul-bridge", {"--consul", "ftp://x"}, "--consul");
}

TEST(BadInput, ABadOwnServiceIsRefused) {
    expect_refused("pgpulse-consul-bridge", {"--self-service", "a b"}, "--self-service: expected at most 63");
    expect_refused("pgpulse-consul-bridge", {"--stale-after", "-1"}, "--stale-after");
    expect_refused("pgpulse-consul-bridge", {"--stale-after", "30", "--self-service", ""},
                   "--stale-after: expected a --self-service");
}

TEST(BadInput, AFileForConsulThatCannotBeUsedIsNamedWithItsFlagAndVariable) {
    const support::CertificateAuthority authority;
    const auto mine = authority.issue("mine");
    const auto other = authority.issue("other");
    const support::TempDir folder;
    const auto file = [&folder](const char* name, const char* text) {
        std::ofstream{folder / name} << text;
        return (folder / name).string();
    };
    const std::string text = file("text", "-----BEGIN NONSENSE-----\n");
    const std::string empty = file("empty", " \n");
    const std::string two = file("two", "hunter2\nhunter3\n");
    const std::string absent = (folder / "absent").string();
    const std::string locked = (folder / "locked.key").string();
    ASSERT_EQ(support::run_to_end({"openssl", "ec", "-in", mine.key.string(), "-aes256", "-passout",
                                   "pass:hunter2", "-out", locked})
                  .exit_code,
              0);
    std::filesystem::create_directory(folder / "folder");
    const std::string in_folder = (folder / "folder").string();
    struct Case {
        Arguments arguments;
        std::string text;
    };
    const Case cases[] = {
        {{"--consul-ca-file", absent}, "--consul-ca-file (CONSUL_CACERT): cannot read '" + absent + "'"},
        {{"--consul-ca-file", in_folder}, "--consul-ca-file (CONSUL_CACERT): cannot read"},
        {{"--consul-ca-file", text}, "'" + text + "' holds no certificate: expected a PEM file"},
        {{"--consul-ca-file", mine.key.string()}, "holds no certificate: expected a PEM file"},
        {{"--consul-ca-path", absent}, "--consul-ca-path (CONSUL_CAPATH): cannot read '" + absent + "'"},
        {{"--consul-ca-path", in_folder}, "expected PEM files with certificates in '" + in_folder + "'"},
        {{"--consul-client-cert", mine.certificate.string()},
         "--consul-client-cert (CONSUL_CLIENT_CERT): expected also --consul-client-key (CONSUL_CLIENT_KEY)"},
        {{"--consul-client-key", mine.key.string()},
         "--consul-client-key (CONSUL_CLIENT_KEY): expected also --consul-client-cert"},
        {{"--consul-client-cert", text, "--consul-client-key", mine.key.string()},
         "'" + text + "' holds no certificate"},
        {{"--consul-client-cert", mine.certificate.string(), "--consul-client-key", text},
         "'" + text + "' holds no private key"},
        {{"--consul-client-cert", mine.certificate.string(), "--consul-client-key", other.key.string()},
         "the key in '" + other.key.string() + "' does not belong to the certificate in '" +
             mine.certificate.string() + "'"},
        {{"--consul-client-cert", mine.certificate.string(), "--consul-client-key", locked},
         "'" + locked + "': expected a key without a passphrase"},
        {{"--consul-token-file", absent},
         "--consul-token-file (CONSUL_HTTP_TOKEN_FILE): cannot read '" + absent + "'"},
        {{"--consul-token-file", in_folder}, "--consul-token-file (CONSUL_HTTP_TOKEN_FILE): cannot read"},
        {{"--consul-token-file", empty}, "'" + empty + "': expected a token, found nothing"},
        {{"--consul-token-file", two}, "'" + two + "': expected a token: one word of visible characters"},
        {{"--consul-tls-server-name", "a b"}, "--consul-tls-server-name: expected letters"},
        {{"--consul-token", "hunter2"}, "--consul-token"},
    };
    for (const Case& c : cases) {
        expect_refused("pgpulse-consul-bridge", c.arguments, c.text);
        EXPECT_EQ(run("pgpulse-consul-bridge", c.arguments).err.find("hunter3"), std::string::npos);
    }
    expect_refused("pgpulse-consul-bridge", {}, "CONSUL_HTTP_TOKEN: expected a token: one word",
                   {{"CONSUL_HTTP_TOKEN", "hunter2 hunter3"}});
    expect_refused("pgpulse-consul-bridge", {}, "CONSUL_HTTP_SSL_VERIFY: expected true or false, found 'no'",
                   {{"CONSUL_HTTP_SSL_VERIFY", "no"}});
    expect_refused("pgpulse-consul-bridge", {}, "cannot read '" + absent + "'", {{"CONSUL_CACERT", absent}});
}

TEST(BadInput, BadArgumentsOfTheOperatorsProgramAreRefused) {
    expect_refused("pgpulse", {"status", "Not_A_Name"}, "TARGET: expected a target's name");
    expect_refused("pgpulse", {"status", "--timeout", "0"}, "--timeout: expected seconds from 0.1 to 3600");
    expect_refused("pgpulse", {"status", "--timeout", "soon"}, "--timeout");
    expect_refused("pgpulse", {"watch", "stray"}, "stray");
}

TEST(GoodInput, HelpAndVersionEndWithZero) {
    for (std::string program : {"pgpulse-probe", "pgpulse-aggregator", "pgpulse-consul-bridge", "pgpulse"}) {
        const auto help = run(program, {"--help"});
        EXPECT_EQ(help.exit_code, 0);
        EXPECT_NE(help.out.find("--nats"), std::string::npos) << help.out;
        const auto version = run(program, {"--version"});
        EXPECT_EQ(version.exit_code, 0);
        EXPECT_EQ(version.out.find(program + " "), 0U) << version.out;
    }
    for (const char* command : {"status", "watch"}) {
        const auto help = run("pgpulse", {command, "--help"});
        EXPECT_EQ(help.exit_code, 0);
        EXPECT_NE(help.out.find("Examples:"), std::string::npos) << help.out;
    }
}

}  // namespace
}  // namespace pgpulse
