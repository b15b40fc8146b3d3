#include "common/contract/member.hpp"
#include "common/contract/state.hpp"
#include "tests/support/bucket_author.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/file_descriptor.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace pgpulse {
namespace {

using nlohmann::json;

std::vector<json> json_lines(const std::string& text) {
    std::vector<json> lines;
    std::istringstream stream{text};
    for (std::string line; std::getline(stream, line);) lines.push_back(json::parse(line));
    return lines;
}

/// The operator's program on a real nats-server, with the bucket written as an aggregator writes it.
class Ctl : public testing::Test {
  protected:
    support::NatsServer server;
    std::unique_ptr<support::BucketAuthor> author = std::make_unique<support::BucketAuthor>(server.url());

    static contract::State state(const std::string& target, contract::Health health) {
        contract::State state;
        state.target = target;
        state.state = health;
        state.since = state.decided_at =
            contract::parse_rfc3339("2026-01-02T03:04:05.000006Z").value_or(contract::WallTime{});
        state.transition = 3;
        state.previous = contract::Health::up;
        state.reason = health == contract::Health::up ? contract::Reason::ok : contract::Reason::refused;
        for (const char* worker : {"probe-1", "probe-2"}) {
            contract::Evidence evidence;
            evidence.worker = worker;
            evidence.rtt_us = 700;
            evidence.opinion =
                health == contract::Health::up ? contract::Opinion::up : contract::Opinion::down;
            state.evidence.push_back(evidence);
        }
        state.decided_by = "aggregator-1";
        return state;
    }

    std::vector<std::string> command(std::vector<std::string> arguments) const {
        arguments.insert(arguments.begin(), {support::built_program("pgpulse"), "--nats", server.url()});
        return arguments;
    }

    support::CommandResult run(std::vector<std::string> arguments) const {
        return support::run_to_end(command(std::move(arguments)));
    }
};

class CtlStatus : public Ctl {
  protected:
    /// In a bucket that keeps values: an aggregator as the others see it.
    void SetUp() override {
        author->make("health_members");
        author->put("health_members", "aggregator.a1",
                    encode(contract::Member{contract::MemberKind::aggregator, "a1", "0123456789abcdef", "",
                                            contract::MemberPhase::serving}));
    }
};

TEST_F(CtlStatus, IsATableAndZeroWhenAllAreUp) {
    author->state(state("db1", contract::Health::up));
    author->state(state("orders-db", contract::Health::up));
    const auto result = run({"status"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out,
              "TARGET     STATE  SINCE                        ROLE  REASON  OBSERVERS  RTT     TRANSITION\n"
              "db1        up     2026-01-02T03:04:05.000006Z  -     ok      2/2        0.7 ms  3\n"
              "orders-db  up     2026-01-02T03:04:05.000006Z  -     ok      2/2        0.7 ms  3\n");
    EXPECT_EQ(result.err, "");
}

TEST_F(CtlStatus, IsOneWhenSomeAreNotUp) {
    author->state(state("db1", contract::Health::up));
    author->state(state("db2", contract::Health::down));
    author->state(state("db3", contract::Health::unknown));
    EXPECT_EQ(run({"status"}).exit_code, 1);
    EXPECT_EQ(run({"status", "db1"}).exit_code, 0);
    EXPECT_EQ(run({"status", "db2"}).exit_code, 1);
    EXPECT_EQ(run({"status", "db3"}).exit_code, 1);
    EXPECT_NE(run({"status", "db2"}).out.find("down"), std::string::npos);
    EXPECT_EQ(run({"status", "db2"}).out.find("db1"), std::string::npos);
}

TEST_F(CtlStatus, InJsonCarriesTheDocumentAsItIsStored) {
    json document = json::parse(encode(state("db1", contract::Health::up)));
    document["future"] = {{"kept", true}};
    const auto revision = author->put("health", "db1", document.dump());
    author->state(state("db2", contract::Health::down));
    const auto result = run({"status", "--json"});
    EXPECT_EQ(result.exit_code, 1) << result.err;
    const auto lines = json_lines(result.out);
    ASSERT_EQ(lines.size(), 2U);
    EXPECT_EQ(lines[0].at("target"), "db1");
    EXPECT_EQ(lines[0].at("revision"), revision);
    EXPECT_EQ(lines[0].at("state"), document);
    EXPECT_EQ(lines[0].at("stored_at").get<std::string>().size(), 27U);
    EXPECT_TRUE(contract::parse_rfc3339(lines[0].at("stored_at").get<std::string>()));
    EXPECT_EQ(lines[1].at("target"), "db2");
}

TEST_F(CtlStatus, NamesATargetWithoutAState) {
    author->state(state("db1", contract::Health::up));
    const auto result = run({"status", "db1", "db9"});
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.err, "pgpulse: 'db9' has no state\n");
    EXPECT_NE(result.out.find("db1"), std::string::npos);
}

TEST_F(CtlStatus, NamesAStateThatCannotBeRead) {
    author->state(state("db1", contract::Health::up));
    author->put("health", "db2", R"({"v":2})");
    for (const char* format : {"", "--json"}) {
        const auto result = *format == '\0' ? run({"status"}) : run({"status", format});
        EXPECT_EQ(result.exit_code, 1);
        EXPECT_EQ(result.err,
                  "pgpulse: state of 'db2' cannot be read: field 'v': this program reads version 1\n");
        EXPECT_NE(result.out.find("db1"), std::string::npos);
    }
}

TEST_F(CtlStatus, OfAnEmptyBucketIsEmpty) {
    const auto result = run({"status", "--json"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out, "");
}

TEST_F(CtlStatus, SaysThatNatsCannotBeReached) {
    server.stop();
    const auto result = run({"status", "--timeout", "0.3"});
    EXPECT_EQ(result.exit_code, 3);
    EXPECT_NE(result.err.find("pgpulse: NATS cannot be reached; waited 0.3 s\n"), std::string::npos)
        << result.err;
    EXPECT_EQ(result.out, "");
}

TEST_F(CtlStatus, SaysThatTheBucketIsNotThere) {
    const support::NatsServer empty;
    const auto result = support::run_to_end(
        {support::built_program("pgpulse"), "status", "--timeout", "0.5", "--nats", empty.url()});
    EXPECT_EQ(result.exit_code, 3);
    EXPECT_EQ(result.err,
              "pgpulse: bucket 'health' is not there (has an aggregator run yet?); waited 0.5 s\n");
}

TEST_F(CtlStatus, SaysThatTheServerRefusesIt) {
    const support::NatsServer guarded{
        {.port = 0, .extra_config = "authorization { user: pulse, password: right }\n"}};
    support::ProcessOptions options;
    options.environment = {{"NATS_USER", "pulse"}, {"NATS_PASSWORD", "wrong"}, {"NATS_URL", guarded.url()}};
    const auto result = support::run_to_end({support::built_program("pgpulse"), "status"}, options);
    EXPECT_EQ(result.exit_code, 3);
    EXPECT_NE(result.err.find("Authorization Violation"), std::string::npos) << result.err;
}

class CtlWatch : public Ctl {
  protected:
    std::unique_ptr<support::Process> watch;

    void start(std::vector<std::string> arguments) {
        watch = std::make_unique<support::Process>(command(std::move(arguments)));
        ASSERT_TRUE(support::wait_until([&] {
            return watch->err().find("listening on health.state.>") != std::string::npos;
        })) << watch->output();
    }

    std::string wait_for_lines(std::ptrdiff_t count) const {
        EXPECT_TRUE(support::wait_until([&] { return std::ranges::count(watch->out(), '\n') >= count; }))
            << watch->output();
        return watch->out();
    }
};

TEST_F(CtlWatch, PrintsALineATransitionAsItArrives) {
    start({"watch"});
    EXPECT_EQ(watch->out(), "");
    author->state(state("db1", contract::Health::down));
    const std::string line = wait_for_lines(1);
    EXPECT_THAT(line,
                testing::ContainsRegex("^[0-9T:.-]+Z  db1  up → down  refused \\(connection refused\\)  2 "
                                       "observers\n$"));
    contract::State first = state("db2", contract::Health::up);
    first.previous.reset();
    first.evidence.pop_back();
    author->state(first);
    EXPECT_NE(wait_for_lines(2).find("  db2  - → up  ok (accepting connections)  1 observer\n"),
              std::string::npos);
}

TEST_F(CtlWatch, InJsonCarriesRevisionAndDocument) {
    start({"watch", "--json"});
    json document = json::parse(encode(state("db1", contract::Health::up)));
    document["future"] = 1;
    const auto revision = author->put("health", "db1", document.dump());
    const auto lines = json_lines(wait_for_lines(1));
    EXPECT_EQ(lines[0].at("subject"), "health.state.db1");
    EXPECT_EQ(lines[0].at("revision"), revision);
    EXPECT_EQ(lines[0].at("state"), document);
    EXPECT_TRUE(contract::parse_rfc3339(lines[0].at("received_at").get<std::string>()));
}

TEST_F(CtlWatch, ShowsARemoval) {
    const auto revision = author->state(state("db1", contract::Health::up));
    start({"watch", "--json"});
    const support::Process text{command({"watch"})};
    ASSERT_TRUE(support::wait_until([&] { return text.err().find("listening") != std::string::npos; }));
    nats::ConnectOptions options;
    options.url = server.url();
    const auto js_client = nats::Connection::open(options);
    ASSERT_TRUE(js_client);
    natsMsg* raw = nullptr;
    ASSERT_EQ(natsMsg_Create(&raw, "$KV.health.db1", nullptr, "", 0), NATS_OK);
    const nats::Message marker{raw};
    ASSERT_EQ(natsMsgHeader_Set(raw, "KV-Operation", "DEL"), NATS_OK);
    ASSERT_EQ(natsConnection_PublishMsg((*js_client)->handle(), raw), NATS_OK);
    const auto lines = json_lines(wait_for_lines(1));
    EXPECT_EQ(lines[0].at("subject"), "health.state.db1");
    EXPECT_EQ(lines[0].at("revision"), revision + 1);
    EXPECT_TRUE(lines[0].at("state").is_null());
    EXPECT_TRUE(support::wait_until([&] { return text.out().ends_with("  db1  → removed\n"); }))
        << text.output();
}

TEST_F(CtlWatch, PassesOverWhatItCannotRead) {
    start({"watch"});
    author->put("health", "db1", "garbage");
    author->state(state("db2", contract::Health::up));
    EXPECT_NE(wait_for_lines(1).find("db2"), std::string::npos);
    EXPECT_NE(watch->err().find("message on health.state.db1 cannot be read: not a JSON object"),
              std::string::npos)
        << watch->err();
}

TEST_F(CtlWatch, GoesOnAfterTheServerWasKilled) {
    start({"watch"});
    server.kill9();
    server.start();
    author = std::make_unique<support::BucketAuthor>(server.url());
    // Its reconnect takes a moment that nobody announces: a transition is written until one is shown.
    EXPECT_TRUE(support::wait_until([&] {
        author->state(state("db1", contract::Health::down));
        return watch->out().find("db1") != std::string::npos;
    })) << watch->output();
}

TEST_F(CtlWatch, EndsWithZeroWhenItIsTold) {
    for (const int number : {SIGTERM, SIGINT}) {
        start({"watch"});
        watch->signal(number);
        EXPECT_EQ(watch->wait_exit(), 0);
    }
}

TEST_F(CtlWatch, MayBeStartedBeforeTheServer) {
    author.reset();
    server.stop();
    watch = std::make_unique<support::Process>(command({"watch"}));
    ASSERT_TRUE(support::wait_until([&] {
        return watch->err().find("cannot be reached yet") != std::string::npos;
    })) << watch->output();
    EXPECT_EQ(watch->err().find("listening"), std::string::npos);
    server.start();
    EXPECT_TRUE(support::wait_until([&] { return watch->err().find("listening") != std::string::npos; }))
        << watch->output();
    EXPECT_EQ(watch->terminate(), 0);
}

TEST_F(CtlWatch, OnATerminalIsATableThatChangesUntilQ) {
    author->state(state("db1", contract::Health::up));
    const support::TempDir folder;
    const std::string keys = (folder / "keys").string();
    const std::string shown = (folder / "shown").string();
    ASSERT_EQ(mkfifo(keys.c_str(), 0600), 0);
    // Open for both, so that neither end waits for the other.
    const support::FileDescriptor typing{open(keys.c_str(), O_RDWR | O_CLOEXEC)};
    ASSERT_TRUE(typing);
    support::ProcessOptions options;
    options.environment = {{"TERM", "xterm"}, {"SHELL", "/bin/sh"}};
    support::Process terminal{{"bash", "-c",
                               "script -qefc 'stty rows 10 cols 100; " + support::built_program("pgpulse") +
                                   " --nats " + server.url() + " watch' " + shown + " < " + keys},
                              options};
    const auto screen = [&] {
        std::ifstream file{shown};
        return std::string{std::istreambuf_iterator<char>{file}, {}};
    };
    ASSERT_TRUE(support::wait_until([&] {
        return screen().find("1 target, 1 up  (q ends)") != std::string::npos;
    })) << screen()
        << terminal.output();
    EXPECT_THAT(screen(), testing::HasSubstr("\x1b[?1049h"));
    author->state(state("db2", contract::Health::down));
    EXPECT_TRUE(support::wait_until([&] {
        return screen().find("2 targets, 1 down, 1 up") != std::string::npos;
    })) << screen();
    EXPECT_THAT(screen(), testing::HasSubstr("\x1b[31mdown\x1b[0m"));
    server.kill9();
    EXPECT_TRUE(support::wait_until([&] { return screen().find("NATS is away") != std::string::npos; }))
        << screen();
    ASSERT_EQ(write(typing.get(), "q", 1), 1);
    EXPECT_EQ(terminal.wait_exit(), 0) << screen();
    EXPECT_THAT(screen(), testing::HasSubstr("\x1b[?1049l")) << "the terminal is as it was";
}

}  // namespace
}  // namespace pgpulse
