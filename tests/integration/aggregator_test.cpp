#include "common/contract/names.hpp"
#include "common/contract/ping.hpp"
#include "common/contract/target.hpp"
#include "common/nats/bucket_writer.hpp"
#include "common/nats/subscription.hpp"
#include "common/runtime/clock.hpp"
#include "tests/support/bucket_ledger.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/pinging_worker.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace pgpulse {
namespace {

using contract::Health;
using contract::Opinion;
using support::wait_until;

/// A real nats-server and a real aggregator; the test speaks on the wire as workers and readers do.
class Aggregator : public testing::Test {
  protected:
    support::NatsServer server;
    std::unique_ptr<nats::Connection> connection;
    std::unique_ptr<support::Daemon> aggregator;
    std::unique_ptr<support::BucketLedger> ledger;
    std::unique_ptr<support::PingingWorker> worker;

    void SetUp() override {
        nats::ConnectOptions options;
        options.url = server.url();
        auto opened = nats::Connection::open(options);
        ASSERT_TRUE(opened) << opened.error().text;
        connection = std::move(*opened);
        start_aggregator();
        ledger = std::make_unique<support::BucketLedger>(*connection);
        worker = std::make_unique<support::PingingWorker>(*connection, "w1");
        ASSERT_TRUE(wait_until([&] { return members("probe") == 1; })) << aggregator->log();
    }

    [[nodiscard]] double members(const std::string& kind) const {
        return aggregator->metric("pgpulse_aggregator_members{kind=\"" + kind + "\"}").value_or(0);
    }

    [[nodiscard]] double heard(const std::string& outcome) const {
        return aggregator->metric("pgpulse_aggregator_pings_total{outcome=\"" + outcome + "\"}").value_or(0);
    }

    void start_aggregator() {
        aggregator = std::make_unique<support::Daemon>("pgpulse-aggregator", "aggregator-1",
                                                       std::vector<std::string>{"--nats", server.url()});
        ASSERT_TRUE(wait_until([&] { return aggregator->readiness() == 200; })) << aggregator->log();
    }

    void write(const std::string& bucket, const std::string& key, const std::string& value) {
        ASSERT_TRUE(connection->publish("$KV." + bucket + "." + key, value));
        ASSERT_TRUE(connection->flush(std::chrono::seconds{5}));
    }

    void define(const std::string& name) {
        contract::StoredDefinition stored;
        stored.definition.name = stored.definition.service = name;
        stored.definition.address = "127.0.0.1";
        write("health_targets", name, encode(stored));
    }

    [[nodiscard]] std::size_t times_logged(const std::string& text) const {
        const std::string log = aggregator->log();
        std::size_t count = 0;
        for (auto at = log.find(text); at != std::string::npos; at = log.find(text, at + 1)) ++count;
        return count;
    }

    /// The newest value of a key; empty where there is none.
    [[nodiscard]] std::string newest(const std::string& bucket, const std::string& key) const {
        jsCtx* js = nullptr;
        if (natsConnection_JetStream(&js, connection->handle(), nullptr) != NATS_OK) return {};
        const nats::JetStreamHandle js_owner{js};
        natsMsg* raw = nullptr;
        if (js_GetLastMsg(&raw, js, ("KV_" + bucket).c_str(), ("$KV." + bucket + "." + key).c_str(), nullptr,
                          nullptr) != NATS_OK)
            return {};
        const nats::Message message{raw};
        return std::string{nats::payload_of(message)};
    }

    std::string ping(Opinion opinion) { return encode(worker->ping("db1", opinion)); }

    void publish(const std::string& subject, const std::string& payload) {
        ASSERT_TRUE(connection->publish(subject, payload));
    }

    /// Says so until the bucket shows it: a definition may still be on its way to the aggregator.
    void says_until(Opinion opinion, Health health) {
        ASSERT_TRUE(wait_until([&] {
            worker->say("db1", opinion);
            const auto newest = ledger->newest("db1");
            return newest && newest->state.state == health;
        })) << aggregator->log();
    }
};

TEST_F(Aggregator, MakesTheBucketAsTheContractSays) {
    jsCtx* js = nullptr;
    ASSERT_EQ(natsConnection_JetStream(&js, connection->handle(), nullptr), NATS_OK);
    const nats::JetStreamHandle js_owner{js};
    jsStreamInfo* info = nullptr;
    ASSERT_EQ(js_GetStreamInfo(&info, js, "KV_health", nullptr, nullptr), NATS_OK);
    const nats::StreamInfoHandle owner{info};
    EXPECT_EQ(info->Config->Storage, js_FileStorage);
    EXPECT_EQ(info->Config->MaxMsgsPerSubject, 64);
    ASSERT_NE(info->Config->RePublish, nullptr);
    EXPECT_STREQ(info->Config->RePublish->Source, "$KV.health.>");
    EXPECT_STREQ(info->Config->RePublish->Destination, "health.state.>");
    jsStreamInfo* targets = nullptr;
    ASSERT_EQ(js_GetStreamInfo(&targets, js, "KV_health_targets", nullptr, nullptr), NATS_OK);
    const nats::StreamInfoHandle targets_owner{targets};
    EXPECT_EQ(targets->Config->MaxMsgsPerSubject, 8);
}

TEST_F(Aggregator, WritesTransitionsByCompareAndSetAndTheServerRepublishesThem) {
    std::atomic<int> republished{0};
    auto subscription =
        nats::Subscription::open(*connection, "health.state.db1", [&](const nats::Message& message) {
            if (contract::decode_state("db1", nats::payload_of(message))) ++republished;
        });
    ASSERT_TRUE(subscription);
    ASSERT_TRUE(connection->flush(std::chrono::seconds{5}));
    define("db1");
    says_until(Opinion::up, Health::up);
    says_until(Opinion::down, Health::down);
    EXPECT_TRUE(wait_until([&] { return republished == 2; }));

    const auto history = ledger->history("db1");
    ASSERT_EQ(history.size(), 2U);
    EXPECT_EQ(history[0].state.transition, 1U);
    EXPECT_EQ(history[1].state.transition, 2U);
    EXPECT_EQ(history[1].state.previous, Health::up);
    EXPECT_EQ(history[1].state.reason, contract::Reason::refused);
    EXPECT_EQ(history[1].state.decided_by, "aggregator-1");

    jsCtx* js = nullptr;
    ASSERT_EQ(natsConnection_JetStream(&js, connection->handle(), nullptr), NATS_OK);
    const nats::JetStreamHandle js_owner{js};
    natsMsg* raw = nullptr;
    ASSERT_EQ(js_GetMsg(&raw, js, "KV_health", history[1].revision, nullptr, nullptr), NATS_OK);
    const nats::Message message{raw};
    const char* header = nullptr;
    ASSERT_EQ(natsMsgHeader_Get(raw, "Nats-Msg-Id", &header), NATS_OK);
    EXPECT_EQ(std::string{header}, "db1@" + std::to_string(history[0].revision));
    ASSERT_EQ(natsMsgHeader_Get(raw, "Nats-Expected-Last-Subject-Sequence", &header), NATS_OK);
    EXPECT_EQ(std::string{header}, std::to_string(history[0].revision));
}

TEST_F(Aggregator, RefusesWhatIsNoPingAndGoesOn) {
    define("db1");
    says_until(Opinion::up, Health::up);
    const std::string subject = contract::ping_subject("w1", "db1");
    publish(subject, "not json");
    publish(subject, R"({"v":2})");
    publish(subject, R"({"v":1,"target":"db1"})");
    publish(subject, std::string(70'000, ' '));
    publish(contract::ping_subject("w2", "db1"), ping(Opinion::down));  // speaks for w1
    publish("health.ping.22.zz", ping(Opinion::down));
    const auto refused = [&](const std::string& cause) {
        return aggregator->metric("pgpulse_aggregator_pings_refused_total{cause=\"" + cause + "\"}")
            .value_or(0);
    };
    EXPECT_TRUE(wait_until([&] {
        return refused("not_json") == 1 && refused("version") == 1 && refused("field") == 1 &&
               refused("too_large") == 1 && refused("subject") == 2;
    })) << aggregator->log();
    EXPECT_NE(aggregator->log().find("refused a message on"), std::string::npos);
    says_until(Opinion::down, Health::down);
}

TEST_F(Aggregator, AnInvalidDefinitionIsNamedAndTheLastGoodOneIsPutBack) {
    define("db1");
    says_until(Opinion::up, Health::up);
    const std::string before = newest("health_targets", "db1");
    write("health_targets", "db1", R"({"v":1,"name":"db1","address":"127.0.0.1","port":70000})");
    ASSERT_TRUE(wait_until([&] {
        return aggregator->log().find("db1.port: expected an integer") != std::string::npos;
    })) << aggregator->log();
    EXPECT_TRUE(wait_until([&] { return newest("health_targets", "db1") == before; })) << aggregator->log();
    EXPECT_TRUE(wait_until([&] { return times_logged("putting it back") > 0; })) << aggregator->log();
    says_until(Opinion::down, Health::down);
}

TEST_F(Aggregator, BucketsThatWereWipedAreFilledAgainAndNobodyIsRemoved) {
    define("db1");
    says_until(Opinion::up, Health::up);
    const std::string definition = newest("health_targets", "db1");
    const std::string state = newest("health", "db1");
    jsCtx* js = nullptr;
    ASSERT_EQ(natsConnection_JetStream(&js, connection->handle(), nullptr), NATS_OK);
    const nats::JetStreamHandle js_owner{js};
    for (const char* stream : {"KV_health", "KV_health_targets"})
        ASSERT_EQ(js_DeleteStream(js, stream, nullptr, nullptr), NATS_OK);
    // nats-server 2.9.10 ends where a message is asked for of a stream that is just being deleted.
    ASSERT_TRUE(wait_until([&] {
        worker->say("db1", Opinion::up);  // whose silence would be a transition
        return times_logged("created bucket 'health'") == 2 &&
               times_logged("created bucket 'health_targets'") == 2;
    })) << aggregator->log();
    EXPECT_TRUE(wait_until([&] {
        worker->say("db1", Opinion::up);
        return newest("health_targets", "db1") == definition && newest("health", "db1") == state;
    })) << aggregator->log()
        << server.log();
    for (const char* stream : {"KV_health", "KV_health_targets"})
        ASSERT_EQ(js_PurgeStream(js, stream, nullptr, nullptr), NATS_OK);
    EXPECT_TRUE(wait_until([&] {
        worker->say("db1", Opinion::up);
        return newest("health_targets", "db1") == definition && newest("health", "db1") == state;
    })) << aggregator->log();
}

TEST_F(Aggregator, SaysOfManyTransitionsTheFirstAndHowManyMoreThereWere) {
    constexpr int kMany = 400;
    std::vector<std::string> names;
    for (int i = 0; i < kMany; ++i) {
        names.push_back("many" + std::to_string(i));
        define(names.back());
    }
    ASSERT_TRUE(wait_until([&] {
        for (const std::string& name : names) worker->say(name, Opinion::up);
        return std::ranges::all_of(names, [&](const std::string& name) {
            const auto newest = ledger->newest(name);
            return newest && newest->state.state == Health::up;
        });
    })) << aggregator->log();
    std::size_t transitions = 0;
    for (const std::string& name : names) transitions += ledger->history(name).size();
    ASSERT_TRUE(wait_until([&] {
        return aggregator->metric("pgpulse_aggregator_transitions_total") == static_cast<double>(transitions);
    })) << aggregator->log();
    // The sum is said at the end at the latest.
    ASSERT_EQ(aggregator->stop(), 0);
    const std::string log = aggregator->log();
    std::size_t said = times_logged(", transition ");
    EXPECT_LT(said, transitions);
    const std::string_view sum = " further lines in 10 s are left out";
    for (auto at = log.find(sum); at != std::string::npos; at = log.find(sum, at + 1))
        said += std::stoul(log.substr(log.rfind(' ', at - 1) + 1));
    EXPECT_EQ(said, transitions) << log;
}

TEST_F(Aggregator, MaintenanceBeginsWithTheDefinitionAndEndsByItself) {
    define("db1");
    says_until(Opinion::up, Health::up);
    contract::StoredDefinition stored;
    stored.definition.name = stored.definition.service = "db1";
    stored.definition.address = "127.0.0.1";
    stored.definition.maintenance_until = runtime::wall_now() + std::chrono::seconds{8};
    write("health_targets", "db1", encode(stored));
    const auto maintenance = [&](bool is) {
        return wait_until([&] {
            worker->say("db1", Opinion::up);
            const auto entry = ledger->newest("db1");
            return entry && entry->state.maintenance == is &&
                   entry->state.maintenance_until == stored.definition.maintenance_until;
        });
    };
    ASSERT_TRUE(maintenance(true)) << aggregator->log();
    ASSERT_TRUE(maintenance(false)) << aggregator->log();
    const auto history = ledger->history("db1");
    ASSERT_EQ(history.size(), 3U);
    EXPECT_TRUE(history[1].state.changed.test(static_cast<std::size_t>(contract::Change::maintenance)));
    EXPECT_EQ(history[2].state.state, Health::up);
}

TEST_F(Aggregator, TwoPrimariesOfOneServiceNameEachOther) {
    for (const char* name : {"db1", "db2"}) {
        contract::StoredDefinition stored;
        stored.definition.name = name;
        stored.definition.service = "orders";
        stored.definition.address = "127.0.0.1";
        stored.definition.expect_role = contract::Role::primary;
        write("health_targets", name, encode(stored));
    }
    const auto both_say = [&](contract::Role of_db2) {
        for (const char* name : {"db1", "db2"}) {
            contract::Ping ping = worker->ping(name, Opinion::up);
            ping.role = name == std::string{"db1"} ? contract::Role::primary : of_db2;
            ping.writable = *ping.role == contract::Role::primary;
            worker->publish(ping);
        }
    };
    const auto conflict = [&](const std::string& name) -> std::vector<std::string> {
        const auto entry = ledger->newest(name);
        return entry ? entry->state.conflicts_with : std::vector<std::string>{};
    };
    EXPECT_TRUE(wait_until([&] {
        both_say(contract::Role::primary);
        return conflict("db1") == std::vector<std::string>{"db2"} &&
               conflict("db2") == std::vector<std::string>{"db1"};
    })) << aggregator->log();
    EXPECT_TRUE(wait_until([&] {
        both_say(contract::Role::replica);
        return conflict("db1").empty() && conflict("db2").empty();
    })) << aggregator->log();
    const auto entry = ledger->newest("db2");
    ASSERT_TRUE(entry);
    EXPECT_TRUE(entry->state.role_unexpected);
}

TEST_F(Aggregator, ADeleteMarkerDeletesTheState) {
    define("db1");
    says_until(Opinion::up, Health::up);
    nats::WriteOutcome outcome;
    std::atomic<bool> done{false};
    auto writer = nats::BucketWriter::open(*connection, "health_targets", [&](nats::WriteOutcome o) {
        outcome = std::move(o);
        done = true;
    });
    ASSERT_TRUE(writer);
    ASSERT_TRUE((*writer)->remove("db1", 1));
    ASSERT_TRUE(wait_until([&] { return done.load(); }));
    ASSERT_EQ(outcome.kind, nats::WriteOutcome::Kind::stored);
    EXPECT_TRUE(wait_until([&] { return !ledger->newest("db1"); })) << aggregator->log();
}

TEST_F(Aggregator, ARestartWritesNothingThatDidNotChange) {
    define("db1");
    says_until(Opinion::up, Health::up);
    aggregator->kill9();
    start_aggregator();
    ASSERT_TRUE(wait_until([&] {
        worker->say("db1", Opinion::up);
        return heard("counted") >= 20;
    }));
    EXPECT_EQ(ledger->history("db1").size(), 1U);
    says_until(Opinion::down, Health::down);
    const auto history = ledger->history("db1");
    ASSERT_EQ(history.size(), 2U);
    EXPECT_EQ(history[1].state.transition, 2U);
}

TEST_F(Aggregator, AnEditByHandIsPutRight) {
    define("db1");
    says_until(Opinion::up, Health::up);
    write("health", "db1", "spoiled");
    EXPECT_TRUE(wait_until([&] {
        worker->say("db1", Opinion::up);
        const auto history = ledger->history("db1");
        return history.size() == 2 && history[1].state == history[0].state;
    })) << aggregator->log();
}

TEST_F(Aggregator, EndsInTimeWhenItIsToldTo) { EXPECT_EQ(aggregator->stop(), 0) << aggregator->log(); }

TEST(AggregatorAlone, WaitsForNatsAndStartsWorkingWhenItComes) {
    support::NatsServer server;
    server.stop();
    support::Daemon aggregator{"pgpulse-aggregator", "aggregator-1", {"--nats", server.url()}};
    ASSERT_TRUE(
        wait_until([&] { return aggregator.log().find("cannot be reached yet") != std::string::npos; }));
    EXPECT_TRUE(wait_until([&] { return aggregator.readiness() == 503; })) << aggregator.log();
    server.start();
    EXPECT_TRUE(wait_until([&] { return aggregator.readiness() == 200; })) << aggregator.log();
}

TEST(AggregatorAlone, BadFlagsEndWithOneLine) {
    const auto program = support::built_program("pgpulse-aggregator");
    for (const auto& [arguments, expected] : std::vector<std::pair<std::vector<std::string>, std::string>>{
             {{"--bogus"}, "--bogus"},
             {{"--replicas", "9"}, "--replicas: expected an integer from 1 to 5, found '9'"},
             {{"--http", "nowhere"}, "--http: expected ADDR:PORT, found 'nowhere'"},
             {{"--id", "a.b"}, "--id: expected 1 to 63 of"},
             {{"--log-format", "xml"}, "--log-format: expected one of text|json, found 'xml'"},
             {{"--nats", "nats://127.0.0.1:notaport"}, "--nats"}}) {
        std::vector<std::string> argv{program};
        argv.insert(argv.end(), arguments.begin(), arguments.end());
        const auto result = support::run_to_end(argv);
        EXPECT_EQ(result.exit_code, 2) << expected;
        EXPECT_NE(result.err.find(expected), std::string::npos) << result.err;
        EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
    }
}

}  // namespace
}  // namespace pgpulse
