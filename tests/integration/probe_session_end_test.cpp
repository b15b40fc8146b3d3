#include "tests/support/postgres_session.hpp"
#include "tests/support/session_stage.hpp"

#include <signal.h>

#include <algorithm>
#include <cstdlib>

// Mode `session` against real servers: how a session ends, and what its end is taken for.
namespace pgpulse::probe {
namespace {

using namespace std::chrono_literals;
using contract::Opinion;
using contract::Ping;
using contract::Reason;
using contract::Verdict;
using contract::Via;
using support::by_session;
using support::held_up_by_session;
using support::is_down;
using support::life_of;
using support::PostgresSession;
using support::ShutdownMode;
using testing::SizeIs;

class ProbeSessionEnd : public support::SessionStage {};

TEST_F(ProbeSessionEnd, EveryObserverSeesACrashAndNamesIt) {
    const auto server = start();
    auto target = target_at(*server);
    target.fall = 100;  // the server is back before that
    const auto three = three_observers(target);
    const auto before = life_of(*three[0]->first(0, by_session));
    const auto sessions = backends(*server);
    std::vector<std::size_t> from;
    for (const auto& each : three) from.push_back(each->count());
    {
        const PostgresSession victim{*server};
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

TEST_F(ProbeSessionEnd, SeesTheCrashOfItsOwnBackend) {
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

class ProbeSessionOfAShutdown : public ProbeSessionEnd, public testing::WithParamInterface<ShutdownMode> {};

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

TEST_F(ProbeSessionEnd, DoesNotHoldASmartShutdownUp) {
    const auto server = start();
    auto target = target_at(*server);
    target.listener_interval = 500ms;
    const auto three = three_observers(target);
    ASSERT_THAT(backends(*server), SizeIs(3));
    EXPECT_NO_THROW(server->stop(ShutdownMode::smart)) << three[0]->told(0);
    for (const auto& each : three) EXPECT_TRUE(is_down(each->wait_for(0, is_down)));
}

TEST_F(ProbeSessionEnd, AKilledPostmasterIsDownOnTheConfirmingPing) {
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

TEST_F(ProbeSessionEnd, ASessionThatAnAdministratorEndsIsOpenedAgain) {
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

TEST_F(ProbeSessionEnd, AnIdleTimeoutEndsNothingButTheSession) {
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

TEST_F(ProbeSessionEnd, AStoppedPostmasterIsFoundByTheListenersPingsAlone) {
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

}  // namespace
}  // namespace pgpulse::probe
