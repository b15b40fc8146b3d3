#pragma once

#include "probe/worker.hpp"
#include "tests/support/ping_results.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <vector>

namespace pgpulse::probe {

using namespace std::chrono_literals;
using contract::Opinion;
using contract::Ping;
using contract::Reason;
using contract::Role;
using contract::Verdict;
using contract::Via;

inline contract::TargetDefinition definition(const std::string& name) {
    contract::TargetDefinition target;
    target.name = target.service = name;
    target.address = "10.0.0.1";
    target.mode = contract::Mode::session;
    return target;
}

inline SessionFacts primary() {
    SessionFacts facts;
    facts.role = Role::primary;
    facts.writable = true;
    facts.started_at = kWall - 1h;
    facts.crashed_at = kWall - 1min;
    return facts;
}

/// What a check tells: who the server is was told at the login.
inline SessionFacts role_of_primary() {
    SessionFacts facts;
    facts.role = Role::primary;
    facts.writable = true;
    return facts;
}

/// A worker in mode `session`, all that it asks for, and the answers a test gives it.
class WorkerSessionStage : public testing::Test {
  protected:
    Worker worker{{"w1", "rack-1", "00000000000000aa"}, {1000, 250, 10'000}};
    Mono now{1000s};
    std::deque<StartPing> pings;
    std::deque<StartCheck> checks;
    std::deque<OpenSession> openings;
    std::deque<CloseSession> closings;
    std::deque<PingId> expired;

    void tick() {
        std::vector<Action> actions;
        worker.tick(now, 1000, actions);
        for (const Action& action : actions) {
            if (const auto* ping = std::get_if<StartPing>(&action)) pings.push_back(*ping);
            if (const auto* check = std::get_if<StartCheck>(&action)) checks.push_back(*check);
            if (const auto* opening = std::get_if<OpenSession>(&action)) openings.push_back(*opening);
            if (const auto* closing = std::get_if<CloseSession>(&action)) closings.push_back(*closing);
            if (const auto* late = std::get_if<ExpirePing>(&action)) expired.push_back(late->ping);
        }
    }

    template <typename T>
    static T take(std::deque<T>& from) {
        if (from.empty()) {
            ADD_FAILURE() << "nothing of this kind was asked for";
            return {};
        }
        T first = from.front();
        from.pop_front();
        return first;
    }

    /// Lets time pass until the core asks for one of these.
    template <typename T>
    T next(std::deque<T>& from, std::chrono::milliseconds patience = 60s) {
        for (const Mono end = now + patience; now < end; now += 5ms) {
            tick();
            if (!from.empty()) break;
        }
        return take(from);
    }

    /// What the core asks for at this instant.
    template <typename T>
    T at_once(std::deque<T>& from) {
        tick();
        return take(from);
    }

    std::optional<Finding> finish(PingId ping, const PingResult& result) {
        return worker.finished(ping, result, now, kWall);
    }

    Ping ping_with(const PingResult& result) { return finish(next(pings).ping, result).value().ping; }

    /// A ping that is made now, with this result.
    Finding found_at_once(const PingResult& result) {
        return finish(at_once(pings).ping, result).value_or(Finding{});
    }

    Ping check_with(const SessionFacts& facts) {
        return worker.checked(next(checks).ping, kAccepting, facts, now, kWall).value().ping;
    }

    /// The target gets a session and is held up.
    SessionId open() {
        ping_with(kAccepting);
        const SessionId session = at_once(openings).session;
        EXPECT_TRUE(worker.session_opened(session, primary(), now, kWall));
        for (int i = 0; i < 10 && ping_opinion != Opinion::up; ++i) {
            ping_opinion = check_or_ping().opinion;
        }
        drop_what_was_asked();
        return session;
    }

    /// The server ends the session.
    void end(SessionId session) {
        worker.session_ended(session, now);
        EXPECT_EQ(worker.sessions(), 0U);
    }

    void drop_what_was_asked() {
        tick();
        while (!pings.empty()) finish(take(pings).ping, kAccepting);
        while (!checks.empty()) worker.checked(take(checks).ping, kAccepting, role_of_primary(), now, kWall);
    }

  private:
    Opinion ping_opinion = Opinion::undecided;

    Ping check_or_ping() {
        for (; pings.empty() && checks.empty(); now += 5ms) tick();
        if (!pings.empty()) return finish(take(pings).ping, kAccepting).value().ping;
        return worker.checked(take(checks).ping, kAccepting, role_of_primary(), now, kWall).value().ping;
    }
};

}  // namespace pgpulse::probe
