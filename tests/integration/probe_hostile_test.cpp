#include "common/contract/names.hpp"
#include "common/contract/target.hpp"
#include "common/nats/bucket.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/ping_ledger.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/tcp_peer.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

// pgpulse-probe with peers among its targets that mean ill: what they cost it, and what its other targets notice.
namespace pgpulse {
namespace {

using namespace std::chrono_literals;
using contract::Opinion;
using contract::Ping;
using contract::Verdict;
using support::TcpScript;
using support::wait_until;
using testing::HasSubstr;

/// A message of the protocol: its type, its length by what the peer claims, what it really sends.
std::string message(char type, std::uint32_t claimed, const std::string& body) {
    std::string text{type};
    for (unsigned shift = 32; shift > 0; shift -= 8)
        text += static_cast<char>(claimed >> (shift - 8) & 0xffU);
    return text + body;
}

const std::string kAuthenticationOk = message('R', 8, std::string(4, '\0'));
const std::string kReady = message('Z', 5, "I");
const std::string kNoticeOfOneGigabyte = message('N', 1'000'000'000, "");
/// One that libpq takes whole, over and over.
const std::string kNotices = [] {
    const std::string body = "SNOTICE" + std::string{'\0'} + "C00000" + std::string{'\0'} + "M" +
                             std::string(4000, 'x') + std::string(2, '\0');
    return message('N', static_cast<std::uint32_t>(body.size() + 4), body);
}();

struct Kind {
    std::string name;
    TcpScript script;
    Verdict verdict;  // of a fresh ping; PQping's own would never end on some of these
};

const std::vector<Kind>& kinds() {
    const std::string block(60'000, 'x');
    static const std::vector<Kind> all{
        {"silent", {}, Verdict::no_response},
        {"garbage", {.reply = block, .forever = block}, Verdict::no_response},
        {"tls-record", {.reply = "\x16\x03\x03\x40\x18", .forever = block}, Verdict::no_response},
        {"first-gigabyte",
         {.reply = message('R', 1'000'000'000, ""), .forever = block},
         Verdict::no_response},
        {"gigabyte",
         {.reply = kAuthenticationOk + kNoticeOfOneGigabyte, .forever = block},
         Verdict::accepting},
        // Below 32 KiB a read, from which on libpq reads in a loop.
        {"paced-gigabyte",
         {.reply = kAuthenticationOk + kNoticeOfOneGigabyte, .forever = std::string(2000, 'x'), .pause = 1ms},
         Verdict::accepting},
        {"notices", {.reply = kAuthenticationOk, .forever = kNotices}, Verdict::accepting},
        {"ready-gigabyte",
         {.reply = kAuthenticationOk + kReady + kNoticeOfOneGigabyte, .forever = block},
         Verdict::accepting},
        {"byte-by-byte",
         {.reply = "R", .forever = std::string(1, '\0'), .pause = 100ms},
         Verdict::no_response},
    };
    return all;
}

constexpr int kOfEachKind = 4;
constexpr int kHealthy = 10;
/// What all of them together may cost; a single one that is followed costs more.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr long kMostKib = 600 * 1024;  // freed memory is kept
#else
constexpr long kMostKib = 48 * 1024;
#endif

class ProbeHostile : public testing::TestWithParam<contract::Mode> {
  protected:
    support::NatsServer server;
    support::PostgresServer postgres;
    std::unique_ptr<nats::Connection> connection;
    std::unique_ptr<support::PingLedger> ledger;

    void SetUp() override {
        nats::ConnectOptions options;
        options.url = server.url();
        connection = std::move(nats::Connection::open(options).value());
        nats::BucketConfig bucket;
        bucket.name = contract::kTargetsBucket;
        bucket.history = 8;
        ASSERT_TRUE(nats::ensure_bucket(*connection, bucket));
        ledger = std::make_unique<support::PingLedger>(*connection);
    }

    void define(const std::string& name, std::uint16_t port, std::chrono::milliseconds timeout) {
        contract::StoredDefinition stored;
        contract::TargetDefinition& target = stored.definition;
        target.name = target.service = name;
        target.address = "127.0.0.1";
        target.port = port;
        target.interval = 200ms;
        target.timeout = timeout;
        target.observers = 1;
        target.mode = GetParam();
        if (target.mode == contract::Mode::session) target.user = "postgres";
        ASSERT_TRUE(connection->publish("$KV.health_targets." + name, encode(stored)));
    }

    static long most_resident_kib(support::Daemon& daemon) {
        std::ifstream status{"/proc/" + std::to_string(daemon.process().pid()) + "/status"};
        for (std::string line; std::getline(status, line);) {
            if (line.starts_with("VmHWM:")) return std::stol(line.substr(6));
        }
        ADD_FAILURE() << "no VmHWM";
        return 0;
    }

    bool each_has(const std::vector<std::string>& names, std::size_t pings) {
        return std::ranges::all_of(names,
                                   [&](const std::string& name) { return ledger->of(name).size() >= pings; });
    }
};

TEST_P(ProbeHostile, PeersCostLittleAndOtherTargetsNoticeNothing) {
    std::vector<std::string> healthy;
    for (int i = 0; i < kHealthy; ++i) healthy.push_back("healthy-" + std::to_string(i));
    for (const std::string& name : healthy) define(name, postgres.port(), 10s);
    support::Daemon probe{"pgpulse-probe", "w1", {"--nats", server.url()}};
    ASSERT_TRUE(wait_until([&] { return each_has(healthy, 5); })) << probe.log();
    const long before = most_resident_kib(probe);

    std::vector<std::unique_ptr<support::TcpPeer>> peers;
    std::vector<std::string> hostile;
    for (const Kind& kind : kinds()) {
        peers.push_back(std::make_unique<support::TcpPeer>(kind.script));
        for (int i = 0; i < kOfEachKind; ++i) {
            hostile.push_back(kind.name + "-" + std::to_string(i));
            define(hostile.back(), peers.back()->port(), 1s);
        }
    }
    ASSERT_TRUE(wait_until([&] { return each_has(hostile, 20); }, 120s)) << probe.log();

    EXPECT_LT(most_resident_kib(probe) - before, kMostKib);
    for (const Kind& kind : kinds()) {
        for (const Ping& ping : ledger->of(kind.name + "-0")) {
            // A worker that was held up vouches for nothing.
            if (ping.via != contract::Via::fresh || ping.verdict == Verdict::inconclusive) continue;
            EXPECT_EQ(ping.verdict, kind.verdict) << kind.name << ": " << to_string(ping.reason);
        }
    }
    for (const std::string& name : healthy) {
        for (const Ping& ping : ledger->of(name))
            EXPECT_EQ(ping.verdict, Verdict::accepting) << name << ": " << to_string(ping.reason);
        EXPECT_EQ(ledger->of(name).back().opinion, Opinion::up);
    }
    EXPECT_THAT(probe.log(), testing::Not(HasSubstr("xxxx"))) << "nothing of theirs is in the log";
    EXPECT_EQ(probe.stop(), 0) << probe.log();
}

INSTANTIATE_TEST_SUITE_P(Modes, ProbeHostile, testing::Values(contract::Mode::ping, contract::Mode::session),
                         [](const testing::TestParamInfo<contract::Mode>& info) {
                             return info.param == contract::Mode::ping ? "Ping" : "Session";
                         });

}  // namespace
}  // namespace pgpulse
