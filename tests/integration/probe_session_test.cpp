#include "common/contract/names.hpp"
#include "probe/loop.hpp"
#include "tests/support/certificate_authority.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/ping_ledger.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <prometheus/registry.h>

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <set>
#include <sstream>

// Mode `session` against real servers: what the held sessions find of a server's life, its end and its role.
namespace pgpulse::probe {
namespace {

using namespace std::chrono_literals;
using contract::Opinion;
using contract::Ping;
using contract::Reason;
using contract::Role;
using contract::Verdict;
using contract::Via;
using support::PostgresAuth;
using support::PostgresServer;
using support::PostgresServerOptions;
using support::ShutdownMode;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

/// The password of the role `pgpulse`, under which the observers log in.
const std::string kPassword = "a secret of a test";

/// The observers of a test, who call each other as they do through NATS.
class Calls {
  public:
    void add(Loop& loop) {
        const std::lock_guard lock{mutex_};
        loops_.push_back(&loop);
    }
    void remove(Loop& loop) {
        const std::lock_guard lock{mutex_};
        std::erase(loops_, &loop);
    }
    void call(const std::string& target) {
        const std::lock_guard lock{mutex_};
        for (Loop* loop : loops_) loop->call(target);
    }

  private:
    std::mutex mutex_;
    std::vector<Loop*> loops_;
};

/// One observer: the worker's loop with all it publishes.
class Observer {
  public:
    Observer(Calls& calls, const std::string& id)
        : calls_(calls),
          publisher_([this](const std::string& subject, std::string_view payload) {
              take(subject, payload);
              return true;
          }),
          loop_({id, "", "00000000000000aa"}, {1000, 250, 10'000}, {}, publisher_, metrics_) {
        calls_.add(loop_);
    }
    Observer(const Observer&) = delete;
    Observer& operator=(const Observer&) = delete;
    ~Observer() { calls_.remove(loop_); }

    void observe(const contract::TargetDefinition& target) { loop_.change_targets({TargetPut{target}}); }
    void remove(const std::string& target) { loop_.change_targets({TargetRemoved{target}}); }
    void set_probes(std::size_t probes) { loop_.set_probes(probes); }

    [[nodiscard]] std::vector<Ping> pings(std::size_t from = 0) const {
        const std::lock_guard lock{mutex_};
        return {pings_.begin() + static_cast<std::ptrdiff_t>(std::min(from, pings_.size())), pings_.end()};
    }
    [[nodiscard]] std::size_t count() const { return pings().size(); }

    /// The first ping from the `from`th on that is so.
    template <typename Condition>
    std::optional<Ping> first(std::size_t from, Condition condition) const {
        for (const Ping& ping : pings(from)) {
            if (condition(ping)) return ping;
        }
        return std::nullopt;
    }

    /// Waits for it; a failure of the test where it does not come.
    template <typename Condition>
    Ping wait_for(std::size_t from, Condition condition) const {
        const auto ping = support::eventually([&] { return first(from, condition); });
        if (!ping) {
            ADD_FAILURE() << "no such ping among\n" << told(from);
        }
        return ping.value_or(Ping{});
    }

    /// What it said last, for messages.
    [[nodiscard]] std::string told(std::size_t from) const {
        std::ostringstream text;
        for (const Ping& ping : pings(from)) {
            text << ping.worker << ' ' << to_string(ping.via) << ' ' << to_string(ping.verdict) << ' '
                 << to_string(ping.reason) << ' ' << ping.sqlstate << ' ' << to_string(ping.opinion) << ' '
                 << ping.streak << '\n';
        }
        return text.str();
    }

  private:
    Calls& calls_;
    mutable std::mutex mutex_;
    std::vector<Ping> pings_;
    prometheus::Registry registry_;
    Metrics metrics_{registry_};
    Publisher publisher_;
    Loop loop_;

    void take(const std::string& subject, std::string_view payload) {
        if (const auto called = contract::parse_check_subject(subject)) {
            calls_.call(std::string{*called});
            return;
        }
        const std::lock_guard lock{mutex_};
        pings_.push_back(contract::decode_ping(payload).value());
    }
};

bool by_session(const Ping& ping) { return ping.via == Via::session; }
bool is_down(const Ping& ping) { return ping.opinion == Opinion::down; }
bool held_up_by_session(const Ping& ping) { return by_session(ping) && ping.opinion == Opinion::up; }

/// What a session tells of who the server is.
auto life_of(const Ping& ping) { return std::pair{ping.started_at, ping.crashed_at}; }

/// A session of a test's own.
class Session {
  public:
    explicit Session(const PostgresServer& server)
        : connection_(PQconnectdb(server.conninfo().c_str()), &PQfinish) {
        if (PQstatus(connection_.get()) != CONNECTION_OK)
            throw std::runtime_error(PQerrorMessage(connection_.get()));
    }

    [[nodiscard]] pid_t backend() const { return PQbackendPID(connection_.get()); }

  private:
    std::unique_ptr<PGconn, decltype(&PQfinish)> connection_;
};

class ProbeSession : public testing::Test {
  protected:
    support::TempDir folder;
    std::string secret = file_of("secret", kPassword + "\n");
    Calls calls;

    std::string file_of(const std::string& name, const std::string& text, mode_t mode = 0600) const {
        const std::string file = folder / name;
        std::ofstream{file} << text;
        EXPECT_EQ(::chmod(file.c_str(), mode), 0);
        return file;
    }

    /// A server with the role of the observers, who log in by scram: no fresh ping gets as far as that.
    static std::unique_ptr<PostgresServer> start(PostgresServerOptions options = {}) {
        options.auth = PostgresAuth::scram;
        auto server = std::make_unique<PostgresServer>(std::move(options));
        server->exec_sql("CREATE ROLE pgpulse LOGIN PASSWORD '" + kPassword + "'");
        return server;
    }

    [[nodiscard]] contract::TargetDefinition target_at(const PostgresServer& server) const {
        contract::TargetDefinition target;
        target.name = target.service = "db1";
        target.address = "127.0.0.1";
        target.port = server.port();
        target.mode = contract::Mode::session;
        target.user = "pgpulse";
        target.credentials = secret;
        target.interval = 100ms;
        target.fast_interval = 50ms;
        target.timeout = 10s;  // a loaded machine does not reach it
        return target;
    }

    std::unique_ptr<Observer> observer(const contract::TargetDefinition& target,
                                       const std::string& id = "w1") {
        auto one = std::make_unique<Observer>(calls, id);
        one->observe(target);
        return one;
    }

    std::vector<std::unique_ptr<Observer>> three_observers(const contract::TargetDefinition& target) {
        std::vector<std::unique_ptr<Observer>> three;
        for (const char* id : {"w1", "w2", "w3"}) {
            three.push_back(observer(target, id));
            three.back()->set_probes(3);
        }
        for (const auto& each : three) each->wait_for(0, held_up_by_session);
        return three;
    }

    /// The backends of the observers' sessions.
    static std::set<std::string> backends(const PostgresServer& server) {
        std::set<std::string> pids;
        for (const auto& row : server.exec_sql("SELECT pid FROM pg_stat_activity WHERE usename = 'pgpulse'"))
            pids.insert(row.at(0));
        return pids;
    }

    static std::string backend(const PostgresServer& server) {
        const auto all = backends(server);
        EXPECT_THAT(all, SizeIs(1));
        return all.empty() ? std::string{} : *all.begin();
    }

    static std::size_t lines_with(const PostgresServer& server, const std::string& words) {
        std::istringstream log{server.log()};
        std::size_t lines = 0;
        for (std::string line; std::getline(log, line);) lines += line.find(words) != std::string::npos;
        return lines;
    }
};

TEST_F(ProbeSession, TellsWhoTheServerIs) {
    const auto server = start();
    const auto one = observer(target_at(*server));
    const Ping ping = one->wait_for(0, held_up_by_session);
    EXPECT_EQ(ping.verdict, Verdict::accepting);
    EXPECT_EQ(ping.reason, Reason::ok);
    EXPECT_EQ(ping.role, Role::primary);
    EXPECT_EQ(ping.writable, true);
    const auto started = server->exec_sql(
        "SELECT to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
    EXPECT_EQ(ping.started_at, contract::parse_rfc3339(started.at(0).at(0)));
    EXPECT_EQ(ping.lag_ms, std::nullopt);
    EXPECT_EQ(ping.lag_bytes, std::nullopt);
    EXPECT_TRUE(one->wait_for(one->count(), by_session).rtt_us);
    EXPECT_EQ(one->pings().at(0).via, Via::fresh) << "the first ping finds out whether anybody is there";
}

TEST_F(ProbeSession, TellsThatNothingIsWrittenHere) {
    const auto server = start();
    server->exec_sql("ALTER ROLE pgpulse SET default_transaction_read_only = on");
    const auto one = observer(target_at(*server));
    const Ping ping = one->wait_for(0, held_up_by_session);
    EXPECT_EQ(ping.role, Role::primary);
    EXPECT_EQ(ping.writable, false);
}

TEST_F(ProbeSession, LogsInWithAPassfile) {
    const auto server = start();
    auto target = target_at(*server);
    target.credentials = "passfile:" + file_of("passfile", "127.0.0.1:" + std::to_string(server->port()) +
                                                               ":postgres:pgpulse:" + kPassword + "\n");
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

TEST_F(ProbeSession, LogsInWithAService) {
    const auto server = start();
    server->exec_sql("CREATE DATABASE watched");
    const ServiceFile file{file_of(
        "services", "[billing]\nuser=pgpulse\npassword=" + kPassword + "\ndbname=watched\nhost=192.0.2.1\n")};
    auto target = target_at(*server);
    target.credentials = "service:billing";
    target.user = "postgres";
    const auto one = observer(target);
    one->wait_for(0, held_up_by_session);
    EXPECT_EQ(server->exec_sql("SELECT datname FROM pg_stat_activity WHERE usename = 'pgpulse'"),
              (std::vector<std::vector<std::string>>{{"watched"}}));
}

TEST_F(ProbeSession, LogsInWithAServiceThatTriesAgainWithoutTls) {
    const auto server = start({.hba = {"host all postgres 127.0.0.1/32 scram-sha-256",
                                       "hostnossl all pgpulse 127.0.0.1/32 scram-sha-256"},
                               .tls = true});
    const ServiceFile file{
        file_of("services", "[billing]\nuser=pgpulse\npassword=" + kPassword + "\nsslmode=prefer\n")};
    auto target = target_at(*server);
    target.credentials = "service:billing";
    target.sslmode = contract::SslMode::disable;
    target.user = "postgres";
    observer(target)->wait_for(0, held_up_by_session);
}

TEST_F(ProbeSession, WritesNothingIntoTheServersLog) {
    const auto server = start();
    auto target = target_at(*server);
    target.listener_interval = 500ms;
    const auto one = observer(target);
    one->wait_for(0, held_up_by_session);
    const std::string log = server->log();
    const std::size_t before = one->count();
    ASSERT_TRUE(support::wait_until([&] {
        const auto pings = one->pings(before);
        return std::ranges::count(pings, Via::session, &Ping::via) >= 50 &&
               std::ranges::count(pings, Via::fresh, &Ping::via) >= 5;
    })) << one->told(before);
    EXPECT_EQ(server->log(), log);
    EXPECT_EQ(one->first(before, [](const Ping& ping) { return ping.verdict != Verdict::accepting; }),
              std::nullopt);
}

TEST_F(ProbeSession, WritesNothingIntoTheServersLogWhenItEnds) {
    const auto server = start();
    auto one = observer(target_at(*server));
    one->wait_for(0, held_up_by_session);
    const std::string log = server->log();
    one.reset();
    EXPECT_TRUE(support::wait_until([&] { return backends(*server).empty(); }));
    EXPECT_EQ(server->log(), log);
}

TEST_F(ProbeSession, EveryObserverSeesACrashAndNamesIt) {
    const auto server = start();
    auto target = target_at(*server);
    target.fall = 100;  // the server is back before that
    const auto three = three_observers(target);
    const auto before = life_of(*three[0]->first(0, by_session));
    const auto sessions = backends(*server);
    std::vector<std::size_t> from;
    for (const auto& each : three) from.push_back(each->count());
    {
        const Session victim{*server};
        ASSERT_EQ(::kill(victim.backend(), SIGKILL), 0);
    }
    std::set<std::optional<contract::WallTime>> crashes;
    for (std::size_t i = 0; i < three.size(); ++i) {
        const Ping back = three[i]->wait_for(
            from[i], [&](const Ping& ping) { return by_session(ping) && life_of(ping) != before; });
        EXPECT_EQ(back.started_at, before.first) << "the postmaster lives";
        EXPECT_GT(back.crashed_at, before.second) << "and says when it began anew";
        crashes.insert(back.crashed_at);
        EXPECT_TRUE(three[i]->first(from[i], [](const Ping& ping) { return ping.via == Via::fresh; }))
            << "the end was confirmed";
        EXPECT_FALSE(three[i]->first(from[i], is_down)) << three[i]->told(from[i]);
    }
    EXPECT_THAT(crashes, SizeIs(1)) << "all name the same instant";
    for (const auto& pid : backends(*server)) EXPECT_FALSE(sessions.contains(pid));
}

TEST_F(ProbeSession, SeesTheCrashOfItsOwnBackend) {
    const auto server = start();
    auto target = target_at(*server);
    target.fall = 100;
    const auto one = observer(target);
    const auto before = life_of(one->wait_for(0, by_session));
    const std::size_t from = one->count();
    ASSERT_EQ(::kill(std::atoi(backend(*server).c_str()), SIGKILL), 0);
    const Ping back =
        one->wait_for(from, [&](const Ping& ping) { return by_session(ping) && life_of(ping) != before; });
    EXPECT_EQ(back.started_at, before.first);
    EXPECT_GT(back.crashed_at, before.second);
}

class ProbeSessionOfAShutdown : public ProbeSession, public testing::WithParamInterface<ShutdownMode> {};

TEST_P(ProbeSessionOfAShutdown, IsDownAtTheFirstRefusalAndUpAgainAsAnotherLife) {
    const auto server = start();
    auto target = target_at(*server);
    target.fall = 100;
    const auto one = observer(target);
    const Ping before = one->wait_for(0, held_up_by_session);
    const std::size_t from = one->count();
    server->stop(GetParam());
    const Ping down = one->wait_for(from, is_down);
    EXPECT_EQ(down.reason, Reason::refused);
    EXPECT_LT(down.streak, 100U) << "nothing is waited for";
    server->start();
    const Ping up = one->wait_for(from, [&](const Ping& ping) {
        return held_up_by_session(ping) && ping.started_at != before.started_at;
    });
    EXPECT_GT(up.started_at, before.started_at);
}

INSTANTIATE_TEST_SUITE_P(Table, ProbeSessionOfAShutdown,
                         testing::Values(ShutdownMode::fast, ShutdownMode::immediate),
                         [](const testing::TestParamInfo<ShutdownMode>& info) {
                             return info.param == ShutdownMode::fast ? "Fast" : "Immediate";
                         });

TEST_F(ProbeSession, DoesNotHoldASmartShutdownUp) {
    const auto server = start();
    auto target = target_at(*server);
    target.listener_interval = 500ms;
    const auto three = three_observers(target);
    ASSERT_THAT(backends(*server), SizeIs(3));
    EXPECT_NO_THROW(server->stop(ShutdownMode::smart)) << three[0]->told(0);
    for (const auto& each : three) EXPECT_TRUE(is_down(each->wait_for(0, is_down)));
}

TEST_F(ProbeSession, AKilledPostmasterIsDownOnTheConfirmingPing) {
    const auto server = start();
    auto target = target_at(*server);
    target.fall = 100;
    target.interval = 60s;  // whatever comes is no regular ping
    target.listener_interval = 24h;
    const auto one = observer(target);
    one->wait_for(0, held_up_by_session);
    const std::size_t from = one->count();
    server->kill9();
    one->wait_for(from, is_down);
    const auto confirmations = one->pings(from);
    const auto refused = std::ranges::find(confirmations, Reason::refused, &Ping::reason);
    ASSERT_NE(refused, confirmations.end());
    EXPECT_EQ(refused->opinion, Opinion::down) << one->told(from);
    EXPECT_EQ(refused->via, Via::fresh);
    EXPECT_LT(refused->streak, 100U);
}

TEST_F(ProbeSession, ASessionThatAnAdministratorEndsIsOpenedAgain) {
    const auto server = start();
    auto target = target_at(*server);
    target.fall = 1;
    const auto one = observer(target);
    const auto life = life_of(one->wait_for(0, held_up_by_session));
    for (int i = 0; i < 3; ++i) {
        const std::string pid = backend(*server);
        const std::size_t from = one->count();
        server->exec_sql("SELECT pg_terminate_backend(" + pid + ")");
        one->wait_for(from, [](const Ping& ping) { return ping.via == Via::fresh; });
        ASSERT_TRUE(support::wait_until([&] {
            const auto now = backends(*server);
            return now.size() == 1 && !now.contains(pid);
        })) << one->told(from);
        const std::size_t again = one->count();
        EXPECT_EQ(life_of(one->wait_for(again, by_session)), life) << "the server is the same";
        EXPECT_EQ(one->first(from, [](const Ping& ping) { return ping.opinion != Opinion::up; }),
                  std::nullopt)
            << one->told(from);
    }
}

TEST_F(ProbeSession, AnIdleTimeoutEndsNothingButTheSession) {
    const auto server = start({.settings = {{"idle_session_timeout", "250ms"}}});
    auto target = target_at(*server);
    target.interval = 1000ms;
    target.fall = 1;
    const auto one = observer(target);
    const auto life = life_of(one->wait_for(0, held_up_by_session));
    const std::size_t from = one->count();
    ASSERT_TRUE(support::wait_until([&] { return lines_with(*server, "idle-session timeout") >= 3; }))
        << server->log();
    for (const Ping& ping : one->pings(from)) {
        EXPECT_EQ(ping.opinion, Opinion::up);
        if (by_session(ping)) {
            EXPECT_EQ(life_of(ping), life);
        }
    }
}

TEST_F(ProbeSession, AStoppedPostmasterIsFoundByTheListenersPingsAlone) {
    const auto server = start();
    auto target = target_at(*server);
    target.timeout = 1000ms;
    target.listener_interval = 300ms;
    target.interval = 200ms;  // below the timeout: checks succeed while the listener's ping waits
    const auto one = observer(target);
    one->wait_for(0, held_up_by_session);
    const std::string session = backend(*server);
    const std::size_t from = one->count();
    server->sigstop();
    const Ping down = one->wait_for(from, is_down);
    EXPECT_EQ(down.via, Via::fresh);
    EXPECT_EQ(down.reason, Reason::timeout);
    EXPECT_EQ(
        one->first(from,
                   [](const Ping& ping) { return by_session(ping) && ping.verdict == Verdict::no_response; }),
        std::nullopt)
        << "the sessions know nothing of it";
    server->cont();
    const std::size_t again = one->count();
    one->wait_for(again, held_up_by_session);
    EXPECT_EQ(backend(*server), session);
}

/// A streaming replica of a server.
std::unique_ptr<PostgresServer> replica_of(const PostgresServer& primary) {
    auto replica = std::make_unique<PostgresServer>(PostgresServerOptions{.replica_of = &primary});
    if (!support::wait_until([&] {
            return primary.exec_sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")
                       .at(0)
                       .at(0) == "1";
        }))
        throw std::runtime_error("the replica does not stream; it wrote:\n" + replica->log());
    return replica;
}

TEST_F(ProbeSession, APromotionIsSeenWithoutANewSession) {
    const auto primary = start();
    const auto replica = replica_of(*primary);
    const auto one = observer(target_at(*replica));
    const Ping before = one->wait_for(0, held_up_by_session);
    EXPECT_EQ(before.role, Role::replica);
    EXPECT_EQ(before.writable, false);
    const std::string session = backend(*replica);
    const std::size_t from = one->count();
    replica->promote();
    const Ping after = one->wait_for(from, [](const Ping& ping) { return ping.role == Role::primary; });
    EXPECT_EQ(after.via, Via::session);
    EXPECT_EQ(after.writable, true);
    EXPECT_EQ(life_of(after), life_of(before)) << "a promotion is no restart";
    EXPECT_EQ(backend(*replica), session);
    EXPECT_EQ(one->first(from, [](const Ping& ping) { return ping.opinion != Opinion::up; }), std::nullopt);
}

TEST_F(ProbeSession, LagIsToldWhereTheRoleMayKnowIt) {
    const auto primary = start();
    primary->exec_sql("GRANT pg_monitor TO pgpulse; CREATE TABLE written (n int)");
    const auto replica = replica_of(*primary);
    const auto one = observer(target_at(*replica));
    const auto caught_up = [](const Ping& ping) { return ping.lag_bytes == 0 && ping.lag_ms == 0; };
    one->wait_for(0, caught_up);
    // How far back its last transaction lies a replica knows once it has replayed one.
    primary->exec_sql("INSERT INTO written VALUES (0)");
    ASSERT_TRUE(support::wait_until([&] {
        return replica->exec_sql("SELECT pg_last_xact_replay_timestamp() IS NOT NULL").at(0).at(0) == "t";
    }));
    replica->exec_sql("SELECT pg_wal_replay_pause()");
    primary->exec_sql("INSERT INTO written SELECT generate_series(1, 1000)");
    const std::size_t paused = one->count();
    const Ping behind = one->wait_for(paused, [](const Ping& ping) { return ping.lag_bytes > 10'000; });
    EXPECT_EQ(behind.via, Via::session);
    EXPECT_TRUE(behind.lag_ms);
    replica->exec_sql("SELECT pg_wal_replay_resume()");
    const std::size_t resumed = one->count();
    one->wait_for(resumed, caught_up);
}

TEST_F(ProbeSession, LagIsLeftOutWhereTheRoleMayNotKnowIt) {
    const auto primary = start();
    const auto replica = replica_of(*primary);
    const auto one = observer(target_at(*replica));
    one->wait_for(0, held_up_by_session);
    ASSERT_TRUE(support::wait_until([&] {
        return std::ranges::count(one->pings(), Via::session, &Ping::via) >= 2 * SessionPlan::kLagEvery + 2;
    }));
    EXPECT_EQ(one->first(0, [](const Ping& ping) { return ping.lag_ms || ping.lag_bytes; }), std::nullopt);
    EXPECT_EQ(one->first(0, [](const Ping& ping) { return ping.verdict != Verdict::accepting; }),
              std::nullopt);
}

TEST_F(ProbeSession, AServerWithoutAFreeSlotIsUpAndSaysSo) {
    for (const std::string reserved : {"0", "3"}) {
        const auto server = start({.settings = {{"max_connections", "6"},
                                                {"superuser_reserved_connections", reserved},
                                                {"max_wal_senders", "0"}}});
        std::vector<Session> sessions;
        // The connections by which the server was found ready may hold a slot a moment longer.
        const auto take = [&](std::size_t slots) {
            return support::wait_until([&] {
                try {
                    sessions.emplace_back(*server);
                } catch (const std::exception&) {
                    return false;
                }
                return sessions.size() == slots;
            });
        };
        ASSERT_TRUE(take(reserved == "0" ? 6 : 4)) << "all slots, or all that ordinary roles may take";
        const auto one = observer(target_at(*server));
        const Ping full = one->wait_for(0, [&](const Ping& ping) {
            // With reserved slots a fresh ping gets as far as ever, and the login does not.
            return ping.reason == Reason::too_many_connections && ping.opinion == Opinion::up &&
                   (reserved == "0" || by_session(ping));
        });
        EXPECT_EQ(full.verdict, Verdict::accepting);
        EXPECT_EQ(full.sqlstate, "53300");
        EXPECT_EQ(one->first(0, is_down), std::nullopt);
        sessions.clear();
        one->wait_for(0, [](const Ping& ping) { return ping.role == Role::primary; });
    }
}

TEST_F(ProbeSession, AWrongPasswordIsNoOutageAndIsTriedMoreAndMoreSlowly) {
    const auto server = start();
    auto target = target_at(*server);
    target.credentials = file_of("wrong", "not " + kPassword);
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
    file_of("wrong", kPassword);
    one->wait_for(0, [](const Ping& ping) { return ping.role == Role::primary; });
}

TEST_F(ProbeSession, TlsIsVerifiedByTheRootThatIsGiven) {
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

TEST_F(ProbeSession, LogsInByACertificate) {
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

TEST_F(ProbeSession, ARemovedTargetsSessionIsClosed) {
    const auto server = start();
    Observer one{calls, "w1"};
    one.observe(target_at(*server));
    one.wait_for(0, held_up_by_session);
    ASSERT_THAT(backends(*server), SizeIs(1));
    one.remove("db1");
    EXPECT_TRUE(support::wait_until([&] { return backends(*server).empty(); }));
}

TEST_F(ProbeSession, ACredentialsFileThatOthersMayReadIsNamedAndConcernsItsTargetAlone) {
    const auto server = start();
    support::NatsServer nats;
    nats::ConnectOptions options;
    options.url = nats.url();
    const auto connection = std::move(nats::Connection::open(options).value());
    support::PingLedger pings{*connection};
    const std::string open_to_all = file_of("open", kPassword, 0644);
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
    EXPECT_THAT(log, Not(HasSubstr(kPassword)));
    EXPECT_EQ(probe.stop(), 0) << probe.log();
}

}  // namespace
}  // namespace pgpulse::probe
