#include "probe/worker.hpp"
#include "tests/support/ping_results.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

// The worker's rule sessions_bound (probe/worker.hpp).
namespace pgpulse::probe {
namespace {

using namespace std::chrono_literals;
using contract::Reason;
using contract::Verdict;

constexpr std::size_t kBound = 2;

/// A worker that may hold two sessions. Its servers answer pings and checks at once, and logins as the test
/// says.
class SessionsBoundTest : public testing::Test {
  protected:
    Worker worker{{"w1", "", "00000000000000aa"}, {1000, 250, 10'000}, false, kBound};
    Mono now{1000s};
    std::set<std::string> down;            // do not answer
    std::set<std::string> wrong_password;  // refuse the login
    std::map<std::string, SessionId> held;
    std::map<std::string, int> fresh;  // how often it was pinged by a fresh connection
    std::map<TargetIndex, std::string> names;

    void put(const std::string& name, contract::Mode mode = contract::Mode::session,
             const std::string& address = "10.0.0.1") {
        contract::TargetDefinition target;
        target.name = target.service = name;
        target.address = address;
        target.mode = mode;
        names[worker.put_target(target, now)] = name;
    }

    void run(std::chrono::seconds time) {
        for (const Mono end = now + time; now < end; now += 10ms) {
            std::vector<Action> actions;
            worker.tick(now, 1000, actions);
            for (const Action& action : actions) carry_out(action);
            ASSERT_LE(worker.sessions(), kBound);
            ASSERT_LE(held.size(), kBound);
        }
    }

    void end(const std::string& name) {
        const SessionId session = held.at(name);
        held.erase(name);
        worker.session_ended(session, now);
    }

    [[nodiscard]] std::set<std::string> holders() const {
        std::set<std::string> all;
        for (const auto& [name, session] : held) all.insert(name);
        return all;
    }

  private:
    void carry_out(const Action& action) {
        if (const auto* ping = std::get_if<StartPing>(&action)) {
            const std::string& name = names.at(ping->target);
            ++fresh[name];
            worker.finished(ping->ping, down.contains(name) ? kRefused : kAccepting, now, kWall);
        } else if (const auto* check = std::get_if<StartCheck>(&action)) {
            worker.checked(check->ping, kAccepting, {}, now, kWall);
        } else if (const auto* opening = std::get_if<OpenSession>(&action)) {
            const std::string& name = names.at(opening->session.target);
            if (wrong_password.contains(name)) {
                worker.session_refused(opening->session, kWrongPassword, now, kWall);
            } else {
                held[name] = opening->session;
                worker.session_opened(opening->session, {}, now, kWall);
            }
        } else if (const auto* closing = std::get_if<CloseSession>(&action)) {
            std::erase_if(held, [&](const auto& entry) { return entry.second == closing->session; });
        }
    }
};

TEST_F(SessionsBoundTest, WhoeverHasNoPlaceIsPingedByFreshConnections) {
    for (const char* name : {"a", "b", "c", "d"}) put(name);
    run(3s);
    EXPECT_EQ(worker.sessions(), kBound);
    EXPECT_EQ(worker.session_targets(), 4U);
    fresh.clear();
    run(5s);
    int by_fresh = 0;
    for (const char* name : {"a", "b", "c", "d"}) {
        if (held.contains(name)) continue;
        ++by_fresh;
        EXPECT_GE(fresh[name], 4) << name;
    }
    EXPECT_EQ(by_fresh, 2);
}

TEST_F(SessionsBoundTest, APlaceIsKeptOverTheSessionsEnd) {
    put("a");
    put("b");
    run(3s);
    put("c");
    run(3s);
    ASSERT_EQ(holders(), (std::set<std::string>{"a", "b"}));
    down.insert("a");
    end("a");
    run(30s);
    EXPECT_EQ(holders(), (std::set<std::string>{"b"}));
    down.clear();
    run(5s);
    EXPECT_EQ(holders(), (std::set<std::string>{"a", "b"}));
}

TEST_F(SessionsBoundTest, ARefusedLoginGivesThePlaceToAnother) {
    wrong_password = {"a", "b"};
    put("a");
    put("b");
    run(3s);
    EXPECT_TRUE(held.empty());
    put("c");
    put("d");
    run(70s);
    EXPECT_EQ(holders(), (std::set<std::string>{"c", "d"}));
}

TEST_F(SessionsBoundTest, WhatIsRemovedOrChangesItsModeGivesItsPlaceBack) {
    for (const char* name : {"a", "b"}) put(name);
    run(3s);
    ASSERT_EQ(holders(), (std::set<std::string>{"a", "b"}));
    for (const char* name : {"c", "d"}) put(name);
    ASSERT_TRUE(worker.remove_target("a"));
    put("b", contract::Mode::ping);
    EXPECT_EQ(worker.session_targets(), 2U);
    run(3s);
    EXPECT_EQ(holders(), (std::set<std::string>{"c", "d"}));
    // One that moved begins anew like any other; nobody waits, so it has a place again.
    put("c", contract::Mode::session, "10.0.0.2");
    run(3s);
    EXPECT_EQ(holders(), (std::set<std::string>{"c", "d"}));
}

}  // namespace
}  // namespace pgpulse::probe
