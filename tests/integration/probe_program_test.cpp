#include "common/contract/names.hpp"
#include "common/contract/ping.hpp"
#include "common/contract/target.hpp"
#include "common/nats/bucket.hpp"
#include "common/nats/bucket_writer.hpp"
#include "common/nats/subscription.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/free_port.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>

// pgpulse-probe, the program, beside a real nats-server: what a subscriber of the pings and a reader of the
// bucket of targets see.
namespace pgpulse {
namespace {

using contract::Opinion;
using contract::Ping;
using contract::Verdict;
using support::wait_until;
using testing::HasSubstr;

/// Every ping on NATS, as a subscriber gets them.
class PingLedger {
  public:
    explicit PingLedger(nats::Connection& connection)
        : subscription_(nats::Subscription::open(connection, std::string{contract::kAllPings},
                                                 [this](nats::Message message) { take(message); })
                            .value()) {}

    std::vector<Ping> of(const std::string& target) {
        const std::lock_guard lock{mutex_};
        return pings_[target];
    }
    std::size_t count(const std::string& target) { return of(target).size(); }
    std::optional<Ping> newest(const std::string& target) {
        const auto pings = of(target);
        return pings.empty() ? std::nullopt : std::optional{pings.back()};
    }
    std::vector<std::string> refused() {
        const std::lock_guard lock{mutex_};
        return refused_;
    }

  private:
    std::mutex mutex_;
    std::map<std::string, std::vector<Ping>> pings_;
    std::vector<std::string> refused_;
    std::unique_ptr<nats::Subscription> subscription_;

    void take(const nats::Message& message) {
        const auto ping = contract::decode_ping(nats::subject_of(message), nats::payload_of(message));
        const std::lock_guard lock{mutex_};
        if (ping)
            pings_[ping->target].push_back(*ping);
        else
            refused_.push_back(ping.error().detail);
    }
};

/// The newest values of the bucket of targets.
class DefinitionLedger {
  public:
    struct Entry {
        std::string value;
        std::uint64_t revision = 0;
    };

    explicit DefinitionLedger(nats::Connection& connection)
        : watch_(connection, std::string{contract::kTargetsBucket},
                 [this](nats::BucketEvent event) { take(std::move(event)); }) {}

    std::optional<Entry> newest(const std::string& key) {
        const std::lock_guard lock{mutex_};
        const auto it = entries_.find(key);
        return it == entries_.end() ? std::nullopt : std::optional{it->second};
    }

  private:
    std::mutex mutex_;
    std::map<std::string, Entry> entries_;
    nats::BucketWatch watch_;

    void take(nats::BucketEvent event) {
        const std::lock_guard lock{mutex_};
        if (event.kind == nats::BucketEvent::Kind::value)
            entries_[event.key] = {std::move(event.value), event.revision};
        if (event.kind == nats::BucketEvent::Kind::removed) entries_.erase(event.key);
    }
};

class ProbeProgram : public testing::Test {
  protected:
    support::TempDir folder;
    support::NatsServer server;
    std::unique_ptr<nats::Connection> connection;
    std::unique_ptr<PingLedger> pings;
    std::unique_ptr<support::Daemon> probe;

    void SetUp() override {
        nats::ConnectOptions options;
        options.url = server.url();
        connection = std::move(nats::Connection::open(options).value());
        pings = std::make_unique<PingLedger>(*connection);
    }

    std::string write_file(const std::string& text) {
        const std::string file = folder / "targets.json";
        std::ofstream{file} << text;
        return file;
    }

    /// A file with targets at 127.0.0.1 with these ports, and keys that hold for all.
    std::string file_of(const std::map<std::string, std::uint16_t>& targets,
                        const std::string& defaults = R"("interval_ms": 200)") {
        // A timeout that a loaded machine does not reach.
        std::string text =
            "// of a test\n{\"defaults\": {\"timeout_ms\": 10000, " + defaults + "}, \"targets\": [\n";
        for (const auto& [name, port] : targets) {
            if (!text.ends_with("[\n")) text += ",\n";
            text += R"(  {"name": ")" + name + R"(", "address": "127.0.0.1", "port": )" +
                    std::to_string(port) + "}";
        }
        return write_file(text + "\n]}\n");
    }

    void start(std::vector<std::string> arguments = {}) {
        arguments.insert(arguments.begin(), {"--nats", server.url()});
        probe = std::make_unique<support::Daemon>("pgpulse-probe", "w1", std::move(arguments));
        ASSERT_TRUE(wait_until([&] { return probe->readiness() == 200; })) << probe->log();
    }

    void put(const std::string& key, const std::string& value) {
        ASSERT_TRUE(connection->publish("$KV.health_targets." + key, value));
        ASSERT_TRUE(connection->flush(std::chrono::seconds{5}));
    }

    static std::string by_operator(const std::string& name, std::uint16_t port) {
        contract::StoredDefinition stored;
        stored.definition.name = stored.definition.service = name;
        stored.definition.address = "127.0.0.1";
        stored.definition.port = port;
        stored.definition.interval = std::chrono::milliseconds{200};
        stored.definition.timeout = std::chrono::seconds{10};
        return encode(stored);
    }

    bool pinged(const std::string& target, Opinion opinion) {
        return wait_until([&] {
            const auto ping = pings->newest(target);
            return ping && ping->opinion == opinion;
        });
    }

    bool pinged_more(const std::string& target) {
        const std::size_t before = pings->count(target);
        return wait_until([&] { return pings->count(target) > before + 2; });
    }
};

TEST_F(ProbeProgram, PublishesWhatItFindsAndWhatItHoldsOfIt) {
    support::PostgresServer db1;
    // With a minute between regular pings only fast ones can settle anything within a test's patience.
    start({"--site", "rack-1", "--targets", file_of({{"db1", db1.port()}}, R"("interval_ms": 60000)")});
    ASSERT_TRUE(pinged("db1", Opinion::up)) << probe->log();
    const auto first = pings->of("db1");
    EXPECT_EQ(first.at(0).worker, "w1");
    EXPECT_EQ(first.at(0).site, "rack-1");
    EXPECT_EQ(first.at(0).opinion, Opinion::undecided);
    EXPECT_EQ(first.at(0).streak, 1U);
    EXPECT_EQ(first.at(1).opinion, Opinion::up) << "after `rise` successes";
    EXPECT_EQ(first.at(1).streak, 2U);
    EXPECT_EQ(first.at(1).run, first.at(0).run);
    EXPECT_EQ(first.at(1).verdict, Verdict::accepting);
    EXPECT_THAT(pings->refused(), testing::IsEmpty()) << "each is on its own subject and of the contract";
    EXPECT_EQ(probe->stop(), 0) << probe->log();
}

TEST_F(ProbeProgram, FallsAndRisesByTheRulesOfTheDefinition) {
    support::PostgresServer db1;
    start({"--targets", file_of({{"db1", db1.port()}}, R"("interval_ms": 500, "fall": 4, "rise": 3)")});
    ASSERT_TRUE(pinged("db1", Opinion::up)) << probe->log();
    db1.kill9();
    ASSERT_TRUE(pinged("db1", Opinion::down)) << probe->log();
    db1.start();
    ASSERT_TRUE(pinged("db1", Opinion::up)) << probe->log();
    const auto all = pings->of("db1");
    for (std::size_t i = 1; i < all.size(); ++i) {
        EXPECT_EQ(all[i].seq, all[i - 1].seq + 1);
        if (all[i].opinion == all[i - 1].opinion) continue;
        EXPECT_EQ(all[i].streak, all[i].opinion == Opinion::up ? 3U : 4U);
        EXPECT_EQ(all[i].verdict == Verdict::accepting, all[i].opinion == Opinion::up);
    }
}

TEST_F(ProbeProgram, WritesTheFileOnceAndNothingWhenItStartsAgain) {
    const std::string file = file_of({{"db1", support::free_port()}, {"db2", support::free_port()}});
    DefinitionLedger definitions{*connection};
    start({"--targets", file});
    ASSERT_TRUE(wait_until([&] { return definitions.newest("db1") && definitions.newest("db2"); }));
    const auto stored = contract::decode_definition("db1", definitions.newest("db1")->value);
    ASSERT_TRUE(stored) << stored.error();
    EXPECT_EQ(stored->written_by, contract::WrittenBy::file);
    const auto revision = definitions.newest("db2")->revision;
    EXPECT_EQ(probe->stop(), 0);
    probe->start();
    ASSERT_TRUE(wait_until([&] { return probe->log().find("2 unchanged") != std::string::npos; }))
        << probe->log();
    EXPECT_EQ(definitions.newest("db2")->revision, revision);
}

TEST_F(ProbeProgram, AChangeInTheBucketTakesEffectAtOnce) {
    start();
    put("db1", by_operator("db1", support::free_port()));
    ASSERT_TRUE(pinged("db1", Opinion::down)) << probe->log();
    support::PostgresServer db1;
    put("db1", by_operator("db1", db1.port()));
    ASSERT_TRUE(pinged("db1", Opinion::up)) << probe->log();
    const auto all = pings->of("db1");
    EXPECT_TRUE(std::ranges::any_of(all, [](const Ping& ping) {
        return ping.verdict == Verdict::accepting && ping.opinion == Opinion::undecided;
    })) << "another endpoint is another story";
}

TEST_F(ProbeProgram, AnInvalidDefinitionIsKeptOutAndTheLastGoodOneStays) {
    support::PostgresServer db1;
    start({"--targets", file_of({{"db1", db1.port()}})});
    ASSERT_TRUE(pinged("db1", Opinion::up));
    put("db1", R"({"name": "db1", "address": "127.0.0.1", "port": 99999})");
    ASSERT_TRUE(wait_until([&] { return probe->metric("pgpulse_probe_definitions_refused_total") >= 1.0; }));
    EXPECT_THAT(probe->log(), HasSubstr("db1.port: expected an integer from 1 to 65535, found 99999"));
    EXPECT_TRUE(pinged_more("db1"));
    EXPECT_EQ(pings->newest("db1")->verdict, Verdict::accepting);
}

TEST_F(ProbeProgram, OnlyADeleteMarkerRemovesATarget) {
    support::PostgresServer db1;
    start({"--targets", file_of({{"db1", db1.port()}, {"db2", support::free_port()}})});
    ASSERT_TRUE(pinged("db1", Opinion::up));
    ASSERT_TRUE(pinged("db2", Opinion::down));
    auto writer = nats::BucketWriter::open(*connection, std::string{contract::kTargetsBucket}, {}).value();
    DefinitionLedger definitions{*connection};
    ASSERT_TRUE(wait_until([&] { return definitions.newest("db2").has_value(); }));
    ASSERT_TRUE(writer->remove("db2", definitions.newest("db2")->revision));
    ASSERT_TRUE(wait_until([&] { return probe->metric("pgpulse_probe_targets") == 1.0; })) << probe->log();

    // The whole bucket is lost: the probe goes on, and puts back what its file had brought and nobody
    // removed.
    server.stop();
    server.wipe_store();
    server.start();
    ASSERT_TRUE(wait_until([&] { return connection->connected(); }));
    ASSERT_TRUE(pinged_more("db1")) << probe->log();
    EXPECT_EQ(probe->metric("pgpulse_probe_targets"), 1.0);
    DefinitionLedger after{*connection};
    EXPECT_TRUE(wait_until([&] { return after.newest("db1").has_value(); })) << probe->log();
    EXPECT_FALSE(after.newest("db2"));
}

TEST_F(ProbeProgram, ReadsTheFileAgainOnSighup) {
    support::PostgresServer db1;
    const std::string file = file_of({{"db1", db1.port()}});
    start({"--targets", file});
    ASSERT_TRUE(pinged("db1", Opinion::up));
    write_file("{\n\"targets\": [\n{\"name\": }\n]}\n");
    probe->process().signal(SIGHUP);
    ASSERT_TRUE(wait_until([&] { return probe->log().find(file + ":3: ") != std::string::npos; }))
        << probe->log();
    EXPECT_TRUE(pinged_more("db1"));
    file_of({{"db1", db1.port()}, {"db2", support::free_port()}});
    probe->process().signal(SIGHUP);
    EXPECT_TRUE(pinged("db2", Opinion::down)) << probe->log();
}

TEST_F(ProbeProgram, StartsWorkingWhenNatsComes) {
    support::PostgresServer db1;
    server.stop();
    probe = std::make_unique<support::Daemon>(
        "pgpulse-probe", "w1",
        std::vector<std::string>{"--nats", server.url(), "--targets", file_of({{"db1", db1.port()}})});
    ASSERT_TRUE(wait_until([&] { return probe->readiness() == 503; })) << probe->log();
    server.start();
    ASSERT_TRUE(wait_until([&] { return connection->connected(); }));
    EXPECT_TRUE(pinged("db1", Opinion::up)) << probe->log();
    const std::string log = probe->log();
    const std::string said = "cannot be reached yet";
    EXPECT_THAT(log, HasSubstr(said));
    EXPECT_EQ(log.find(said), log.rfind(said)) << "once: " << log;
}

TEST_F(ProbeProgram, KeepsPingingWhileNatsIsFrozenOrGone) {
    support::PostgresServer db1;
    start({"--targets", file_of({{"db1", db1.port()}})});
    ASSERT_TRUE(pinged("db1", Opinion::up));
    const std::string accepting = R"(pgpulse_probe_pings_total{reason="ok",verdict="accepting",via="fresh"})";
    const auto pings_on = [&] {
        const double before = probe->metric(accepting).value_or(0);
        return wait_until([&] { return probe->metric(accepting).value_or(0) >= before + 20; });
    };
    server.process().stop();
    EXPECT_TRUE(pings_on()) << "frozen";
    server.kill9();
    EXPECT_TRUE(pings_on()) << "gone";
    server.start();
    ASSERT_TRUE(wait_until([&] { return connection->connected(); }));
    EXPECT_TRUE(pinged_more("db1")) << probe->log();
    for (const Ping& ping : pings->of("db1")) EXPECT_EQ(ping.verdict, Verdict::accepting);
}

TEST_F(ProbeProgram, ExitsCleanlyWhileNatsIsFrozen) {
    start({"--targets", file_of({{"db1", support::free_port()}})});
    ASSERT_TRUE(pinged("db1", Opinion::down));
    server.process().stop();
    EXPECT_EQ(probe->stop(), 0) << probe->log();
    server.process().cont();
}

TEST_F(ProbeProgram, ABusyPortOfItsEndpointIsOneLineAndExitCodeTwo) {
    const std::string address = "127.0.0.1:" + std::to_string(server.port());
    const auto result = support::run_to_end({support::built_program("pgpulse-probe"), "--nats", server.url(),
                                             "--id", "w1", "--http", address, "--log-level", "error"});
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr("--http: cannot listen on " + address));
    EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
}

struct BadStart {
    std::string name;
    std::string file;
    std::string says;
};

class ProbeProgramRefuses : public testing::TestWithParam<BadStart> {};

TEST_P(ProbeProgramRefuses, AndStartsNothing) {
    const support::TempDir folder;
    const std::string file = folder / "targets.json";
    std::ofstream{file} << GetParam().file;
    // Nobody listens there: were anything started, it would say so.
    const std::string nats = "nats://127.0.0.1:" + std::to_string(support::free_port());
    const auto result = support::run_to_end(
        {support::built_program("pgpulse-probe"), "--nats", nats, "--id", "w1", "--targets", file});
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err.find(file + GetParam().says), std::string{"pgpulse-probe: "}.size()) << result.err;
    EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
}

INSTANTIATE_TEST_SUITE_P(
    Table, ProbeProgramRefuses,
    testing::Values(BadStart{"Syntax", "{\n\"targets\": [,]\n}", ":2: syntax error"},
                    BadStart{"UnknownKey", R"({"targets": [{"name": "a", "address": "a", "prot": 1}]})",
                             ": targets[0].prot: unknown key"},
                    BadStart{"BadName", R"({"targets": [{"name": "A", "address": "a"}]})",
                             ": targets[0].name: expected a DNS label"},
                    BadStart{"PortOutOfRange", R"({"targets": [{"name": "a", "address": "a", "port": 0}]})",
                             ": targets[0].port: expected an integer from 1 to 65535, found 0"},
                    BadStart{"TwoOfOneName",
                             R"({"targets": [{"name": "a", "address": "a"}, {"name": "a", "address": "b"}]})",
                             ": targets[1].name: 'a' is already the name of targets[0]"}),
    [](const testing::TestParamInfo<BadStart>& info) { return info.param.name; });

TEST(ProbeProgramOptions, FaultsAreOneLineAndExitCodeTwo) {
    const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
        {{"--targets", "/nonexistent/t.json"}, "/nonexistent/t.json: cannot be read"},
        {{"--max-in-flight", "x"}, "--max-in-flight: expected an integer"},
        {{"--fast-per-second", "0"}, "--fast-per-second: expected an integer from 1"},
        {{"--id", "a b"}, "--id: expected"},
        {{"--no-such-flag"}, "--no-such-flag"},
    };
    for (const auto& [arguments, says] : cases) {
        std::vector<std::string> argv{support::built_program("pgpulse-probe")};
        argv.insert(argv.end(), arguments.begin(), arguments.end());
        const auto result = support::run_to_end(argv);
        EXPECT_EQ(result.exit_code, 2) << says;
        EXPECT_THAT(result.err, HasSubstr(says));
        EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
    }
}

}  // namespace
}  // namespace pgpulse
