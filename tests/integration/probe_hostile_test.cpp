#include "common/contract/target.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/hostile_peers.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/ping_ledger.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/targets_bucket.hpp"
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
using support::wait_until;
using testing::HasSubstr;

constexpr int kOfEachKind = 4;
constexpr int kHealthy = 10;
/// What all of them together may cost; a single one that is followed costs more.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr long kMostKib = 600L * 1024;  // freed memory is kept
#else
constexpr long kMostKib = 48L * 1024;
#endif

/// The kinds of which a worker has several at once. For each gigabyte that libpq reserves, AddressSanitizer writes 128 MiB
/// of its own and ThreadSanitizer walks through 4 GiB, and the worker does little else.
std::vector<support::HostileKind> kinds() {
    auto all = support::hostile_kinds();
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    std::erase_if(all, [](const auto& kind) { return kind.name.ends_with("gigabyte"); });
#endif
    return all;
}

class ProbeHostile : public testing::TestWithParam<contract::Mode> {
  protected:
    support::NatsServer server;
    support::PostgresServer postgres;
    std::unique_ptr<nats::Connection> connection;
    std::unique_ptr<support::PingLedger> ledger;

    void SetUp() override {
        connection = support::connect_with_targets_bucket(server.url());
        ledger = std::make_unique<support::PingLedger>(*connection);
    }

    void define(const std::string& name, std::uint16_t port, std::chrono::milliseconds timeout) {
        contract::TargetDefinition target;
        target.name = target.service = name;
        target.address = "127.0.0.1";
        target.port = port;
        target.interval = 200ms;
        target.timeout = timeout;
        target.observers = 1;
        target.mode = GetParam();
        if (target.mode == contract::Mode::session) target.user = "postgres";
        support::put_target(*connection, target);
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
    for (const support::HostileKind& kind : kinds()) {
        peers.push_back(std::make_unique<support::TcpPeer>(kind.script));
        for (int i = 0; i < kOfEachKind; ++i) {
            hostile.push_back(kind.name + "-" + std::to_string(i));
            define(hostile.back(), peers.back()->port(), 1s);
        }
    }
    ASSERT_TRUE(wait_until([&] { return each_has(hostile, 20); }, 120s)) << probe.log();

    EXPECT_LT(most_resident_kib(probe) - before, kMostKib);
    for (const support::HostileKind& kind : kinds()) {
        for (const Ping& ping : ledger->of(kind.name + "-0")) {
            // A worker that was held up vouches for nothing.
            if (ping.via != contract::Via::fresh || ping.verdict == Verdict::inconclusive) continue;
            EXPECT_EQ(ping.verdict, kind.verdict) << kind.name << ": " << to_string(ping.reason);
        }
    }
    for (const std::string& name : healthy) {
        const auto pings = ledger->of(name);
        std::size_t accepting = 0;
        for (const Ping& ping : pings) {
            // A machine that is busy with other tests holds a worker up now and then; hostile peers would do so always.
            if (ping.verdict == Verdict::inconclusive) continue;
            EXPECT_EQ(ping.verdict, Verdict::accepting) << name << ": " << to_string(ping.reason);
            ++accepting;
        }
        EXPECT_GT(2 * accepting, pings.size()) << name;
        EXPECT_EQ(pings.back().opinion, Opinion::up);
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
