#include "common/contract/names.hpp"
#include "probe/loop.hpp"
#include "tests/support/consul_agent.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/postgres_session.hpp"
#include "tests/support/pq_ping.hpp"
#include "tests/support/tcp_peer.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <tuple>

// What the worker's loop finds of real servers, each verdict beside that of PQping.
namespace pgpulse::probe {
namespace {

using namespace std::chrono_literals;
using contract::Ping;
using contract::Reason;
using contract::Verdict;
using support::PostgresAuth;
using support::PostgresServer;
using support::PostgresServerOptions;
using support::PostgresSession;
using support::pq_ping;
using support::target_at_port;

class ProbeVerdict : public testing::Test {
  protected:
    std::mutex mutex;
    std::vector<Ping> pings;
    prometheus::Registry registry;
    Metrics metrics{registry};
    Publisher publisher{[this](const std::string& subject, std::string_view payload) {
        if (contract::parse_check_subject(subject)) return true;
        const std::lock_guard lock{mutex};
        pings.push_back(contract::decode_ping(payload).value());
        return true;
    }};
    Loop loop{{"w1", "", "00000000000000aa"}, {1000, 250, 10'000}, {}, publisher, metrics};

    void observe(const contract::TargetDefinition& target) { loop.change_targets({TargetPut{target}}); }

    /// When a ping started at the latest.
    static Mono started(const Ping& ping) {
        const Mono ended{std::chrono::milliseconds{ping.mono_ms}};
        if (ping.reason == Reason::timeout) return ended - target_at_port(0).timeout;
        return ended - std::chrono::microseconds{ping.rtt_us.value_or(0)};
    }

    /// A ping that started after this call.
    Ping next_ping() {
        const Mono now = Mono::clock::now();
        const auto ping = support::eventually([&]() -> std::optional<Ping> {
            const std::lock_guard lock{mutex};
            if (pings.empty() || started(pings.back()) <= now) return std::nullopt;
            return pings.back();
        });
        if (!ping) ADD_FAILURE() << "no pings come";
        return ping.value_or(Ping{});
    }

    /// Waits until PQping before and after a ping agree on `verdict` and the ping gives `reason`; meanwhile
    /// no ping between two of PQping's answers that agree may differ from them.
    Ping expect(const contract::TargetDefinition& target, Verdict verdict, Reason reason) {
        observe(target);
        Ping ping;
        const bool seen = support::wait_until([&] {
            const Verdict before = pq_ping(target);
            ping = next_ping();
            const Verdict after = pq_ping(target);
            // A worker that was held up vouches for nothing, and so disagrees with nobody.
            if (before != after || ping.verdict == Verdict::inconclusive) return false;
            EXPECT_EQ(to_string(ping.verdict), to_string(before)) << "reason " << to_string(ping.reason);
            return before == verdict && ping.reason == reason;
        });
        EXPECT_TRUE(seen) << "last: " << to_string(ping.verdict) << ", " << to_string(ping.reason) << ", '"
                          << ping.sqlstate << "'";
        return ping;
    }
    /// Waits for a ping of this kind, where PQping judges otherwise or is not asked.
    void expect_ours(Verdict verdict, Reason reason) {
        Ping ping;
        const bool seen = support::wait_until([&] {
            ping = next_ping();
            return ping.verdict == verdict && ping.reason == reason;
        });
        EXPECT_TRUE(seen) << "last: " << to_string(ping.verdict) << ", " << to_string(ping.reason);
    }
};

/// An empty file that the server may write, whoever it runs as.
void touch(const std::filesystem::path& file) {
    std::ofstream{file}.close();
    std::filesystem::permissions(file, std::filesystem::perms{0666});
}

TEST_F(ProbeVerdict, AcceptingUnderTrust) {
    PostgresServer server;
    const Ping ping = expect(target_at_port(server.port()), Verdict::accepting, Reason::ok);
    EXPECT_TRUE(ping.rtt_us);
    EXPECT_EQ(ping.sqlstate, "");
    EXPECT_EQ(ping.via, contract::Via::fresh);
}

TEST_F(ProbeVerdict, AcceptingUnderScramWithoutAPasswordAndWithoutALogLine) {
    PostgresServer server{PostgresServerOptions{.auth = PostgresAuth::scram}};
    expect(target_at_port(server.port()), Verdict::accepting, Reason::ok);
    const std::string log = server.log();
    for (int i = 0; i < 10; ++i) EXPECT_EQ(next_ping().verdict, Verdict::accepting);
    EXPECT_EQ(server.log(), log);
}

TEST_F(ProbeVerdict, AcceptingWhereTheRoleDoesNotExist) {
    PostgresServer server;
    auto target = target_at_port(server.port());
    target.user = "nobody-of-this-name";
    EXPECT_EQ(expect(target, Verdict::accepting, Reason::ok).sqlstate, "28000");
}

TEST_F(ProbeVerdict, AcceptingWhereTheDatabaseDoesNotExist) {
    PostgresServer server;
    auto target = target_at_port(server.port());
    target.database = "none-of-this-name";
    EXPECT_EQ(expect(target, Verdict::accepting, Reason::ok).sqlstate, "3D000");
}

TEST_F(ProbeVerdict, AcceptingWithEveryWayToTlsTheServerHas) {
    PostgresServer server;
    auto target = target_at_port(server.port());
    for (const auto mode : {contract::SslMode::allow, contract::SslMode::prefer}) {
        target.sslmode = mode;
        expect(target, Verdict::accepting, Reason::ok);
    }
    target.sslmode = contract::SslMode::require;
    expect(target, Verdict::no_response, Reason::tls);
}

TEST_F(ProbeVerdict, NotAttemptedWithFilesThatLibpqWillNotUse) {
    PostgresServer server{{.hba = {"host all all 127.0.0.1/32 trust"}, .tls = true}};
    const support::TempDir folder;
    const auto issued = server.authority().issue("pgpulse");
    auto target = target_at_port(server.port());
    target.sslmode = contract::SslMode::verify_full;
    target.sslrootcert = server.authority().root();
    target.sslcert = issued.certificate;
    target.sslkey = folder / "client.key";
    std::filesystem::copy_file(issued.key, target.sslkey);
    const auto set_mode = [&](unsigned mode) {
        std::filesystem::permissions(target.sslkey, std::filesystem::perms{mode});
    };
    set_mode(0600);
    observe(target);
    expect_ours(Verdict::accepting, Reason::ok);
    set_mode(0644);
    expect_ours(Verdict::not_attempted, Reason::config);
    set_mode(0600);
    expect_ours(Verdict::accepting, Reason::ok);
    target.sslrootcert = folder / "none.pem";
    observe(target);
    expect_ours(Verdict::not_attempted, Reason::config);
    std::ofstream{folder / "garbage.pem"} << "no certificate\n";
    target.sslrootcert = folder / "garbage.pem";
    observe(target);
    expect_ours(Verdict::not_attempted, Reason::config);
    // What the server says before TLS counts all the same.
    server.kill9();
    expect_ours(Verdict::no_response, Reason::refused);
}

TEST_F(ProbeVerdict, AcceptingWithoutTheFilesThatLibpqCanDoWithout) {
    PostgresServer server{{.hba = {"host all all 127.0.0.1/32 trust"}, .tls = true}};
    const support::TempDir folder;
    auto target = target_at_port(server.port());
    target.sslmode = contract::SslMode::require;
    target.sslrootcert = folder / "none.pem";
    target.sslcert = folder / "none.crt";
    observe(target);
    expect_ours(Verdict::accepting, Reason::ok);
}

TEST_F(ProbeVerdict, NoResponseForTlsWithFilesThatLibpqCanDoWithout) {
    PostgresServer server;  // without TLS
    const support::TempDir folder;
    auto target = target_at_port(server.port());
    target.sslmode = contract::SslMode::require;
    target.sslcert = folder / "none.crt";
    observe(target);
    expect_ours(Verdict::no_response, Reason::tls);
}

TEST_F(ProbeVerdict, NoResponseWhereTheCertificateIsAnothersOrOfAnotherName) {
    PostgresServer server{{.settings = {{"listen_addresses", "127.0.0.1,127.0.0.2"}},
                           .hba = {"host all all 127.0.0.0/8 trust"},
                           .tls = true}};
    const support::CertificateAuthority another;
    auto target = target_at_port(server.port());
    target.sslmode = contract::SslMode::verify_full;
    target.sslrootcert = another.root();
    observe(target);
    expect_ours(Verdict::no_response, Reason::tls);
    // Another address of the same server, for which the certificate does not stand.
    target.sslrootcert = server.authority().root();
    target.address = "127.0.0.2";
    for (const auto& [mode, verdict, reason] :
         {std::tuple{contract::SslMode::verify_full, Verdict::no_response, Reason::tls},
          std::tuple{contract::SslMode::verify_ca, Verdict::accepting, Reason::ok}}) {
        target.sslmode = mode;
        observe(target);
        expect_ours(verdict, reason);
    }
}

TEST_F(ProbeVerdict, AcceptingWhereTheServerAsksForKerberosOverTls) {
    PostgresServer server{{.hba = {"host all postgres 127.0.0.1/32 trust",
                                   "hostssl all pgpulse 127.0.0.1/32 gss include_realm=0"},
                           .tls = true}};
    auto target = target_at_port(server.port());
    target.user = "pgpulse";
    target.sslmode = contract::SslMode::require;
    expect(target, Verdict::accepting, Reason::ok);
}

TEST_F(ProbeVerdict, RejectingWhileStartingUp) {
    PostgresServer server;
    server.stop();
    touch(server.data_dir() / "recovery.signal");
    server.set("restore_command", "sleep 600");  // the first file that is asked for never comes
    server.launch();
    EXPECT_EQ(expect(target_at_port(server.port()), Verdict::rejecting, Reason::starting_up).sqlstate,
              "57P03");
}

TEST_F(ProbeVerdict, RejectingOnAStandbyThatIsNotHot) {
    PostgresServer server;
    server.stop();
    touch(server.data_dir() / "standby.signal");
    server.set("hot_standby", "off");
    server.launch();
    EXPECT_EQ(expect(target_at_port(server.port()), Verdict::rejecting, Reason::in_recovery).sqlstate,
              "57P03");
}

TEST_F(ProbeVerdict, RejectingDuringASmartShutdown) {
    PostgresServer server;
    const PostgresSession holds_it_up{server};
    server.process().signal(SIGTERM);
    EXPECT_EQ(expect(target_at_port(server.port()), Verdict::rejecting, Reason::shutting_down).sqlstate,
              "57P03");
}

TEST_F(ProbeVerdict, AcceptingWithAllSlotsTaken) {
    PostgresServer server{PostgresServerOptions{.settings = {{"max_connections", "4"},
                                                             {"superuser_reserved_connections", "0"},
                                                             {"max_wal_senders", "0"}}}};
    std::vector<PostgresSession> sessions;
    // The connections by which the server was found ready may hold a slot a moment longer.
    ASSERT_TRUE(support::wait_until([&] {
        try {
            sessions.emplace_back(server);
        } catch (const std::exception&) {
            return false;
        }
        return sessions.size() == 4;
    }));
    EXPECT_EQ(
        expect(target_at_port(server.port()), Verdict::accepting, Reason::too_many_connections).sqlstate,
        "53300");
}

TEST_F(ProbeVerdict, NoResponseWhileStoppedAndAcceptingWhenContinued) {
    PostgresServer server;
    server.sigstop();
    expect(target_at_port(server.port()), Verdict::no_response, Reason::timeout);
    server.cont();
    expect(target_at_port(server.port()), Verdict::accepting, Reason::ok);
}

TEST_F(ProbeVerdict, NoResponseWhenKilledAndAcceptingWhenStarted) {
    PostgresServer server;
    expect(target_at_port(server.port()), Verdict::accepting, Reason::ok);
    server.kill9();
    const Ping ping = expect(target_at_port(server.port()), Verdict::no_response, Reason::refused);
    EXPECT_EQ(ping.rtt_us, std::nullopt);
    server.start();
    expect(target_at_port(server.port()), Verdict::accepting, Reason::ok);
}

TEST_F(ProbeVerdict, NoResponseForANameThatDoesNotResolve) {
    auto target = target_at_port(5432);
    target.address = "no-such-host.invalid";
    expect(target, Verdict::no_response, Reason::dns);
}

TEST_F(ProbeVerdict, EveryAddressOfANameIsTried) {
    PostgresServer server;  // at 127.0.0.1 alone, while the name may stand for ::1 as well
    auto target = target_at_port(server.port());
    target.address = "localhost";
    expect(target, Verdict::accepting, Reason::ok);
    server.kill9();
    expect(target, Verdict::no_response, Reason::refused);
}

TEST_F(ProbeVerdict, NoResponseFromANatsServer) {
    support::NatsServer server;
    expect(target_at_port(server.port()), Verdict::no_response, Reason::protocol);
}

TEST_F(ProbeVerdict, NoResponseFromAnHttpServer) {
    support::ConsulAgent server;  // waits for the end of what it takes for a request's first line
    expect(target_at_port(server.http_port()), Verdict::no_response, Reason::timeout);
}

/// A message of the protocol: its type, its length by what the peer claims, what it really sends.
std::string message(char type, std::uint32_t claimed, const std::string& body) {
    std::string text{type};
    for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(claimed >> shift);
    return text + body;
}

const std::string kAuthenticationOk = message('R', 8, std::string(4, '\0'));
const std::string kOneGigabyteOfNotice = message('N', 1'000'000'000, std::string(1'000'000, 'x'));

struct Peer {
    std::string name;
    support::TcpScript script;
    Verdict verdict;
    Reason reason;
};

/// A request for an authentication that libpq does not know.
const std::string kUnknownAuthentication = message('R', 8, std::string("\0\0\0\x63", 4));

class ProbeVerdictOfPeer : public ProbeVerdict, public testing::WithParamInterface<Peer> {};

TEST_P(ProbeVerdictOfPeer, IsPqPings) {
    const support::TcpPeer peer{GetParam().script};
    expect(target_at_port(peer.port()), GetParam().verdict, GetParam().reason);
    EXPECT_TRUE(support::wait_until([&] { return loop.turned_within(1s); }));
}

using End = support::TcpScript::End;

INSTANTIATE_TEST_SUITE_P(
    Table, ProbeVerdictOfPeer,
    testing::Values(
        Peer{"Silent", {}, Verdict::no_response, Reason::timeout},
        Peer{"GarbageAtOnce", {.greeting = "\x16\x03\x01garbage\n"}, Verdict::no_response, Reason::protocol},
        Peer{"GarbageAsReply",
             {.reply = std::string(100'000, '\xff')},
             Verdict::no_response,
             Reason::protocol},
        Peer{"HangsUpAtOnce", {.end = End::close}, Verdict::no_response, Reason::reset},
        Peer{
            "HangsUpOnTheFirstBytes", {.reply = "E", .end = End::close}, Verdict::no_response, Reason::reset},
        Peer{"Resets", {.end = End::reset}, Verdict::no_response, Reason::reset},
        Peer{"ErrorWithoutSqlstate",
             {.reply = std::string{"Ecould not fork new process for connection\n"} + '\0', .end = End::close},
             Verdict::no_response,
             Reason::protocol},
        Peer{"AuthenticationThenHangsUp",
             {.reply = kAuthenticationOk, .end = End::close},
             Verdict::accepting,
             Reason::ok},
        Peer{"AuthenticationThenSilence", {.reply = kAuthenticationOk}, Verdict::accepting, Reason::ok},
        Peer{"AuthenticationThenOneGigabyte",
             {.reply = kAuthenticationOk + kOneGigabyteOfNotice},
             Verdict::accepting,
             Reason::protocol},
        Peer{"UnknownAuthentication", {.reply = kUnknownAuthentication}, Verdict::accepting, Reason::ok},
        // libpq keeps what it has read of a message to itself until all of it is there.
        Peer{"BeginningOfAnAuthentication", {.reply = "R"}, Verdict::no_response, Reason::timeout},
        Peer{"MostOfAnAuthentication",
             {.reply = kUnknownAuthentication.substr(0, 8)},
             Verdict::no_response,
             Reason::timeout},
        Peer{"AuthenticationCutShort",
             {.reply = kUnknownAuthentication.substr(0, 8), .end = End::close},
             Verdict::no_response,
             Reason::reset},
        Peer{"AuthenticationInPieces",
             {.reply = kUnknownAuthentication.substr(0, 7),
              .forever = kUnknownAuthentication.substr(7),
              .pause = 50ms},
             Verdict::accepting,
             Reason::ok},
        Peer{"AuthenticationOfOneGigabyte",
             {.reply = message('R', 1'000'000'000, "xxxx")},
             Verdict::no_response,
             Reason::protocol},
        Peer{"OneGigabyte", {.reply = kOneGigabyteOfNotice}, Verdict::no_response, Reason::protocol}),
    [](const testing::TestParamInfo<Peer>& info) { return info.param.name; });

}  // namespace
}  // namespace pgpulse::probe
