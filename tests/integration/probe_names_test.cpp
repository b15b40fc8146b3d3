#include "common/contract/target.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/file_descriptor.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/ping_ledger.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/process.hpp"
#include "tests/support/targets_bucket.hpp"
#include "tests/support/tcp_peer.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <string>

// pgpulse-probe with targets at host names. It runs with an /etc/hosts of its own, in a mount namespace, so that names
// come, go and stand for several addresses while the system's own resolver answers.
namespace pgpulse {
namespace {

using namespace std::chrono_literals;
using contract::Opinion;
using contract::Ping;
using contract::Reason;
using contract::Verdict;
using support::wait_until;
using testing::HasSubstr;

class ProbeNames : public testing::Test {
  protected:
    support::TempDir folder;
    support::NatsServer server;
    std::unique_ptr<nats::Connection> connection;
    std::unique_ptr<support::PingLedger> ledger;
    std::unique_ptr<support::Process> probe;

    void SetUp() override {
        connection = support::connect_with_targets_bucket(server.url());
        ledger = std::make_unique<support::PingLedger>(*connection);
    }

    /// What names stand for from now on. The file stays the same one, which the worker sees.
    void set_hosts(const std::string& lines) const { std::ofstream{folder / "hosts"} << lines; }

    void start_probe() {
        // No name server is asked: what is not in the file is not found, at once.
        std::ofstream{folder / "nsswitch.conf"} << "hosts: files\n";
        const std::string script =
            "mount --bind \"$1/hosts\" /etc/hosts && mount --bind \"$1/nsswitch.conf\" /etc/nsswitch.conf && "
            "shift && exec \"$@\"";
        // One that is not root may mount in a user namespace, where the system allows it.
        probe = std::make_unique<support::Process>(std::vector<std::string>{
            "unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", folder.path(),
            support::built_program("pgpulse-probe"), "--id", "w1", "--nats", server.url()});
    }

    void define(const std::string& address, std::uint16_t port,
                contract::Mode mode = contract::Mode::ping) const {
        contract::TargetDefinition target;
        target.name = target.service = "db1";
        target.address = address;
        target.port = port;
        target.interval = 200ms;
        target.timeout = 2s;
        target.observers = 1;
        target.mode = mode;
        if (mode == contract::Mode::session) target.user = "postgres";
        support::put_target(*connection, target);
    }

    /// A ping after the `from`th that is so.
    template <typename Condition>
    bool comes(std::size_t from, Condition condition) {
        const bool came = wait_until([&] {
            const auto pings = ledger->of("db1");
            return std::ranges::any_of(
                pings.begin() + static_cast<std::ptrdiff_t>(std::min(from, pings.size())), pings.end(),
                condition);
        });
        if (!came) ADD_FAILURE() << probe->output();
        return came;
    }

    bool becomes(Opinion opinion) {
        return comes(ledger->of("db1").size(),
                     [opinion](const Ping& ping) { return ping.opinion == opinion; });
    }
};

TEST_F(ProbeNames, WhileANameIsNotFoundItsLastAddressesStayInUse) {
    const support::PostgresServer postgres;
    set_hosts("127.0.0.1 db.test\n");
    start_probe();
    define("db.test", postgres.port());
    ASSERT_TRUE(becomes(Opinion::up));
    set_hosts("");
    const support::TcpPeer elsewhere;
    define("db.test", elsewhere.port());
    ASSERT_TRUE(becomes(Opinion::down)) << "silence, after which the name is looked up again";
    ASSERT_TRUE(wait_until([&] {
        return probe->output().find("its last addresses stay in use") != std::string::npos;
    })) << probe->output();
    define("db.test", postgres.port());
    EXPECT_TRUE(becomes(Opinion::up)) << probe->output();
    for (const Ping& ping : ledger->of("db1")) EXPECT_NE(ping.reason, Reason::dns);
}

TEST_F(ProbeNames, ANameThatWasNeverFoundIsSaidAndFoundOnceItIsThere) {
    const support::PostgresServer postgres;
    set_hosts("");
    start_probe();
    define("db.test", postgres.port());
    EXPECT_TRUE(comes(0, [](const Ping& ping) {
        return ping.verdict == Verdict::no_response && ping.reason == Reason::dns;
    }));
    EXPECT_THAT(probe->output(), HasSubstr("host name 'db.test' is not found: trying again"));
    set_hosts("127.0.0.1 db.test\n");
    EXPECT_TRUE(becomes(Opinion::up));
}

TEST_F(ProbeNames, WhileANameIsLookedUpForTheFirstTimeItsTargetIsNotAccused) {
    const support::PostgresServer postgres;
    // Who reads it waits until somebody writes: a name server that takes its time.
    const std::string hosts = folder / "hosts";
    ASSERT_EQ(::mkfifo(hosts.c_str(), 0644), 0);
    start_probe();
    define("db.test", postgres.port());
    ASSERT_TRUE(wait_until([&] { return ledger->of("db1").size() >= 4; })) << probe->output();
    for (const Ping& ping : ledger->of("db1")) {
        EXPECT_EQ(ping.verdict, Verdict::inconclusive) << to_string(ping.reason);
        EXPECT_EQ(ping.opinion, Opinion::undecided);
    }
    // The lookup ends, and the name is not there.
    EXPECT_TRUE(wait_until([&] {
        const support::FileDescriptor writer{::open(hosts.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC)};
        const auto pings = ledger->of("db1");
        return pings.back().verdict == Verdict::no_response && pings.back().reason == Reason::dns;
    })) << probe->output();
}

TEST_F(ProbeNames, AServerThatMovesIsFoundAtItsNewAddress) {
    support::PostgresServer postgres;
    set_hosts("127.0.0.2 db.test\n");
    start_probe();
    define("db.test", postgres.port());
    ASSERT_TRUE(becomes(Opinion::down)) << "it listens at 127.0.0.1 alone";
    set_hosts("127.0.0.1 db.test\n");
    EXPECT_TRUE(becomes(Opinion::up));
}

class ProbeNamesOfTwoAddresses : public ProbeNames, public testing::WithParamInterface<contract::Mode> {};

TEST_P(ProbeNamesOfTwoAddresses, ASilentFirstOneDoesNotHideTheSecond) {
    const support::PostgresServer postgres;
    const support::TcpPeer silent{{}, postgres.port(), "127.0.0.2"};
    set_hosts("127.0.0.2 db.test\n127.0.0.1 db.test\n");
    start_probe();
    define("db.test", postgres.port(), GetParam());
    ASSERT_TRUE(becomes(Opinion::up));
    if (GetParam() == contract::Mode::session) {
        EXPECT_TRUE(comes(0, [](const Ping& ping) { return ping.via == contract::Via::session; }));
    }
    const auto pings = ledger->of("db1");
    EXPECT_TRUE(std::ranges::none_of(pings, [](const Ping& ping) { return ping.opinion == Opinion::down; }));
}

INSTANTIATE_TEST_SUITE_P(Modes, ProbeNamesOfTwoAddresses,
                         testing::Values(contract::Mode::ping, contract::Mode::session),
                         [](const testing::TestParamInfo<contract::Mode>& info) {
                             return info.param == contract::Mode::ping ? "Ping" : "Session";
                         });

TEST_F(ProbeNames, Ipv6IsPingedByAddressAndByName) {
    const support::PostgresServer postgres{
        {.settings = {{"listen_addresses", "127.0.0.1,::1"}},
         .hba = {"host all all 127.0.0.1/32 trust", "host all all ::1/128 trust"}}};
    set_hosts("::1 db.test\n");
    start_probe();
    define("::1", postgres.port());
    ASSERT_TRUE(becomes(Opinion::up));
    define("db.test", postgres.port(), contract::Mode::session);
    EXPECT_TRUE(
        comes(ledger->of("db1").size(), [](const Ping& ping) { return ping.via == contract::Via::session; }));
}

}  // namespace
}  // namespace pgpulse
