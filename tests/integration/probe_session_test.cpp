#include "tests/support/postgres_session.hpp"
#include "tests/support/session_stage.hpp"

#include <algorithm>

// Mode `session` against real servers: what a held session tells while the server lives, and what it costs it.
namespace pgpulse::probe {
namespace {

using namespace std::chrono_literals;
using contract::Opinion;
using contract::Ping;
using contract::Reason;
using contract::Role;
using contract::Verdict;
using contract::Via;
using support::by_session;
using support::held_up_by_session;
using support::is_down;
using support::life_of;
using support::Observer;
using support::PostgresServer;
using support::PostgresServerOptions;
using support::PostgresSession;
using testing::SizeIs;

class ProbeSession : public support::SessionStage {};

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
        std::vector<PostgresSession> sessions;
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

TEST_F(ProbeSession, ARemovedTargetsSessionIsClosed) {
    const auto server = start();
    Observer one{calls, "w1"};
    one.observe(target_at(*server));
    one.wait_for(0, held_up_by_session);
    ASSERT_THAT(backends(*server), SizeIs(1));
    one.remove("db1");
    EXPECT_TRUE(support::wait_until([&] { return backends(*server).empty(); }));
}

}  // namespace
}  // namespace pgpulse::probe
