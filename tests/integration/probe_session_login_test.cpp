#include "tests/support/daemons.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/ping_ledger.hpp"
#include "tests/support/session_stage.hpp"

#include <algorithm>
#include <cstdlib>

// Mode `session` against real servers: the ways to log in, and what comes of a login that fails.
namespace pgpulse::probe {
namespace {

using namespace std::chrono_literals;
using contract::Opinion;
using contract::Ping;
using contract::Reason;
using contract::Role;
using contract::Verdict;
using contract::Via;
using support::held_up_by_session;
using support::is_down;
using support::kObserverPassword;
using testing::HasSubstr;
using testing::Not;

class ProbeSessionLogin : public support::SessionStage {};

TEST_F(ProbeSessionLogin, LogsInWithAPassfile) {
    const auto server = start();
    auto target = target_at(*server);
    target.credentials =
        "passfile:" + file_of("passfile", "127.0.0.1:" + std::to_string(server->port()) +
                                              ":postgres:pgpulse:" + kObserverPassword + "\n");
    observer(target)->wait_for(0, held_up_by_session);
}

/// A service file that libpq finds as long as this object lives.
class ServiceFile {
  public:
    explicit ServiceFile(const std::string& file) { ::setenv("PGSERVICEFILE", file.c_str(), 1); }
    ServiceFile(const ServiceFile&) = delete;
    ServiceFile& operator=(const ServiceFile&) = delete;
    ~ServiceFile() { ::unsetenv("PGSERVICEFILE"); }
};

TEST_F(ProbeSessionLogin, LogsInWithAService) {
    const auto server = start();
    server->exec_sql("CREATE DATABASE watched");
    const ServiceFile file{file_of("services", "[billing]\nuser=pgpulse\npassword=" + kObserverPassword +
                                                   "\ndbname=watched\nhost=192.0.2.1\n")};
    auto target = target_at(*server);
    target.credentials = "service:billing";
    target.user = "postgres";
    const auto one = observer(target);
    one->wait_for(0, held_up_by_session);
    EXPECT_EQ(server->exec_sql("SELECT datname FROM pg_stat_activity WHERE usename = 'pgpulse'"),
              (std::vector<std::vector<std::string>>{{"watched"}}));
}

TEST_F(ProbeSessionLogin, LogsInWithAServiceThatTriesAgainWithoutTls) {
    const auto server = start({.hba = {"host all postgres 127.0.0.1/32 scram-sha-256",
                                       "hostnossl all pgpulse 127.0.0.1/32 scram-sha-256"},
                               .tls = true});
    const ServiceFile file{
        file_of("services", "[billing]\nuser=pgpulse\npassword=" + kObserverPassword + "\nsslmode=prefer\n")};
    auto target = target_at(*server);
    target.credentials = "service:billing";
    target.sslmode = contract::SslMode::disable;
    target.user = "postgres";
    observer(target)->wait_for(0, held_up_by_session);
}

TEST_F(ProbeSessionLogin, AWrongPasswordIsNoOutageAndIsTriedMoreAndMoreSlowly) {
    const auto server = start();
    auto target = target_at(*server);
    target.credentials = file_of("wrong", "not " + kObserverPassword);
    const auto one = observer(target);
    const auto refusals = [&] {
        auto pings = one->pings();
        std::erase_if(pings, [](const Ping& ping) { return ping.reason != Reason::auth; });
        return pings;
    };
    // After 1, 2 and 4 seconds.
    ASSERT_TRUE(support::wait_until([&] { return refusals().size() >= 4; }, 60s)) << one->told(0);
    const auto told = refusals();
    EXPECT_EQ(lines_with(*server, "FATAL:  password authentication failed"), told.size()) << server->log();
    for (std::size_t i = 1; i < told.size(); ++i)
        EXPECT_GE(told[i].mono_ms - told[i - 1].mono_ms, 1000 << (i - 1)) << i;
    for (const Ping& ping : told) {
        EXPECT_EQ(ping.verdict, Verdict::accepting);
        EXPECT_EQ(ping.sqlstate, "28P01");
        EXPECT_EQ(ping.via, Via::session);
    }
    EXPECT_EQ(one->pings().back().opinion, Opinion::up);
    EXPECT_EQ(one->first(0, is_down), std::nullopt);

    // The file is read for each login.
    file_of("wrong", kObserverPassword);
    one->wait_for(0, [](const Ping& ping) { return ping.role == Role::primary; });
}

TEST_F(ProbeSessionLogin, TlsIsVerifiedByTheRootThatIsGiven) {
    const auto server = start({.hba = {"host all postgres 127.0.0.1/32 scram-sha-256",
                                       "hostssl all pgpulse 127.0.0.1/32 scram-sha-256"},
                               .tls = true});
    auto target = target_at(*server);
    target.sslmode = contract::SslMode::verify_full;
    target.sslrootcert = server->authority().root();
    const auto one = observer(target);
    one->wait_for(0, held_up_by_session);
    EXPECT_EQ(server->exec_sql("SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
                               "WHERE usename = 'pgpulse'"),
              (std::vector<std::vector<std::string>>{{"t"}}));

    const support::CertificateAuthority another;
    target.sslrootcert = another.root();
    const std::size_t from = one->count();
    one->observe(target);
    const Ping refused = one->wait_for(from, is_down);
    EXPECT_EQ(refused.verdict, Verdict::no_response);
    EXPECT_EQ(refused.reason, Reason::tls);
}

TEST_F(ProbeSessionLogin, LogsInByACertificate) {
    const auto server = start(
        {.hba = {"host all postgres 127.0.0.1/32 scram-sha-256", "hostssl all pgpulse 127.0.0.1/32 cert"},
         .tls = true});
    const auto issued = server->authority().issue("pgpulse");
    auto target = target_at(*server);
    target.credentials.clear();
    target.sslmode = contract::SslMode::verify_full;
    target.sslrootcert = server->authority().root();
    target.sslcert = issued.certificate;
    target.sslkey = issued.key;
    target.listener_interval = 200ms;
    const auto one = observer(target);
    one->wait_for(0, held_up_by_session);
    const std::string log = server->log();
    const std::size_t from = one->count();
    ASSERT_TRUE(support::wait_until(
        [&] { return std::ranges::count(one->pings(from), Via::fresh, &Ping::via) >= 3; }));
    EXPECT_EQ(server->log(), log);
}

TEST_F(ProbeSessionLogin, ACredentialsFileThatOthersMayReadIsNamedAndConcernsItsTargetAlone) {
    const auto server = start();
    support::NatsServer nats;
    nats::ConnectOptions options;
    options.url = nats.url();
    const auto connection = std::move(nats::Connection::open(options).value());
    support::PingLedger pings{*connection};
    const std::string open_to_all = file_of("open", kObserverPassword, 0644);
    const auto entry = [&](const std::string& name, const std::string& credentials) {
        return R"({"name": ")" + name + R"(", "address": "127.0.0.1", "port": )" +
               std::to_string(server->port()) + R"(, "credentials": ")" + credentials + R"("})";
    };
    const std::string targets =
        file_of("targets.json", R"({"defaults": {"mode": "session", "user": "pgpulse", "interval_ms": 200,
            "timeout_ms": 10000}, "targets": [)" +
                                    entry("good", secret) + ", " + entry("bad", open_to_all) + "]}");
    support::Daemon probe{"pgpulse-probe", "w1", {"--nats", nats.url(), "--targets", targets}};
    ASSERT_TRUE(support::wait_until([&] {
        const auto bad = pings.of("bad");
        return pings.newest_by_session("good", "w1") && bad.size() >= 5 && bad.back().opinion == Opinion::up;
    })) << probe.log();
    EXPECT_EQ(pings.newest_by_session("bad", "w1"), std::nullopt);
    EXPECT_EQ(pings.of("bad").back().reason, Reason::ok);
    const std::string log = probe.log();
    EXPECT_THAT(log, HasSubstr("target bad"));
    EXPECT_THAT(log, HasSubstr(open_to_all));
    EXPECT_THAT(log, Not(HasSubstr("target good: no session")));
    EXPECT_THAT(log, Not(HasSubstr(kObserverPassword)));
    EXPECT_EQ(probe.stop(), 0) << probe.log();
}

}  // namespace
}  // namespace pgpulse::probe
