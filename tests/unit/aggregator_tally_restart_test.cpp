#include "aggregator/tally.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <string>
#include <variant>
#include <vector>

// Restarts and roles as transitions of the tally: what aggregator/server_facts.hpp finds, counted once.
namespace pgpulse::aggregator {
namespace {

using namespace std::chrono_literals;
using contract::Health;
using contract::Opinion;
using contract::Reason;
using contract::Role;
using contract::Verdict;

constexpr contract::WallTime kRestartStart{1'700'000'000s};

/// A life that started so long after the first one, and crashed so long after its own start.
ServerLife life(std::chrono::seconds start, std::optional<std::chrono::seconds> crash = std::nullopt) {
    ServerLife result{kRestartStart + start, std::nullopt};
    if (crash) result.crashed_at = kRestartStart + start + *crash;
    return result;
}

/// The bucket `health` beside aggregators that all write to it: the first write against a revision wins, and every
/// aggregator's watch tells of it when `settle` is called.
class TallyRestartTest : public testing::Test {
  protected:
    struct Aggregator {
        explicit Aggregator(const std::string& id) : tally(id) {}
        Tally tally;
        Tally::Actions actions;
    };

    std::vector<std::unique_ptr<Aggregator>> aggregators;
    Now now{std::chrono::steady_clock::time_point{1h}, contract::WallTime{kRestartStart + 24h}};
    std::vector<contract::State> history;  // each of another transition
    std::uint64_t revision = 0;
    std::uint64_t pings = 0;

    void SetUp() override {
        add("aggregator-1");
        load(*aggregators[0]);
    }

    static contract::TargetDefinition definition() {
        contract::TargetDefinition d;
        d.name = d.service = "db1";
        d.address = "127.0.0.1";
        d.mode = contract::Mode::session;
        return d;
    }

    /// The first one is first in all partitions, the next one second.
    Aggregator& add(const std::string& id) {
        Ranks ranks{};
        ranks.fill(aggregators.empty() ? Rank::first : Rank::second);
        Aggregator& added = *aggregators.emplace_back(std::make_unique<Aggregator>(id));
        added.tally.members({"w1", "w2", "w3"}, now, added.actions);
        added.tally.ranks(ranks, now, added.actions);
        return added;
    }

    void load(Aggregator& aggregator) {
        aggregator.tally.definition(definition(), now, aggregator.actions);
        aggregator.tally.definitions_loaded(now, aggregator.actions);
        aggregator.tally.states_opened();
        if (!history.empty())
            aggregator.tally.state("db1", history.back(), revision, true, now, aggregator.actions);
        aggregator.tally.states_loaded(now, aggregator.actions);
    }

    /// Carries out what the aggregators want until they want no more.
    void settle() {
        for (bool quiet = false; !quiet;) {
            quiet = true;
            for (const auto& aggregator : aggregators) {
                const Tally::Actions actions = std::exchange(aggregator->actions, {});
                for (const Action& action : actions) {
                    const auto* const put = std::get_if<PutState>(&action);
                    if (put == nullptr) continue;
                    quiet = false;
                    write(*aggregator, *put);
                }
            }
        }
    }

    void pass(std::chrono::milliseconds time) {
        for (auto passed = 0ms; passed < time; passed += 50ms) {
            now.mono += 50ms;
            now.wall += 50ms;
            for (const auto& aggregator : aggregators) {
                aggregator->tally.echo(now);
                aggregator->tally.stored_echo(now);
                aggregator->tally.tick(now, aggregator->actions);
            }
            settle();
        }
    }

    contract::Ping ping(const std::string& worker, Opinion opinion) {
        contract::Ping p;
        p.target = "db1";
        p.worker = worker;
        p.run = "00000000000000aa";
        p.seq = ++pings;
        p.mono_ms =
            std::chrono::duration_cast<std::chrono::milliseconds>(now.mono.time_since_epoch()).count();
        p.at = now.wall;
        p.opinion = opinion;
        p.verdict = opinion == Opinion::down ? Verdict::no_response : Verdict::accepting;
        p.reason = opinion == Opinion::down ? Reason::refused : Reason::ok;
        return p;
    }

    /// What a session tells.
    contract::Ping session_ping(const std::string& worker, const ServerLife& of, Role role = Role::primary,
                                Opinion opinion = Opinion::up) {
        contract::Ping p = ping(worker, opinion);
        p.verdict = Verdict::accepting;
        p.reason = Reason::ok;
        p.via = contract::Via::session;
        p.role = role;
        p.writable = role == Role::primary;
        p.started_at = of.started_at;
        p.crashed_at = of.crashed_at;
        return p;
    }

    /// Every aggregator hears the ping before any of them has written.
    void hear(const contract::Ping& p) {
        for (const auto& aggregator : aggregators) aggregator->tally.ping(p, now, aggregator->actions);
        settle();
    }

    void all_say(const ServerLife& of, Role role = Role::primary) {
        for (const char* worker : {"w1", "w2", "w3"}) hear(session_ping(worker, of, role));
    }

    /// They go on saying so for that long.
    void all_keep_saying(const ServerLife& of, std::chrono::milliseconds time, Role role = Role::primary) {
        for (auto passed = 0ms; passed < time; passed += 500ms) {
            pass(500ms);
            all_say(of, role);
        }
    }

    void expect_counted_without_gap() const {
        for (std::size_t i = 0; i < history.size(); ++i) EXPECT_EQ(history[i].transition, i + 1);
    }

    const contract::State& newest() { return history.back(); }

  private:
    void write(Aggregator& writer, const PutState& put) {
        if (put.expected != revision) {
            writer.tally.written("db1", Written::lost, put.expected, 0, now, writer.actions);
            return;
        }
        history.push_back(put.state);
        ++revision;
        for (const auto& aggregator : aggregators) {
            if (aggregator.get() != &writer)
                aggregator->tally.state("db1", put.state, revision, true, now, aggregator->actions);
        }
        writer.tally.written("db1", Written::stored, put.expected, revision, now, writer.actions);
    }
};

TEST_F(TallyRestartTest, FirstLifeIsNoRestart) {
    all_say(life(0s, 10s));
    pass(1s);
    EXPECT_EQ(newest().state, Health::up);
    EXPECT_EQ(newest().restarts, 0U);
    EXPECT_EQ(newest().started_at, life(0s).started_at);
    EXPECT_EQ(newest().crashed_at, life(0s, 10s).crashed_at);
    EXPECT_EQ(newest().role, Role::primary);
    EXPECT_EQ(newest().writable, true);
    expect_counted_without_gap();
}

TEST_F(TallyRestartTest, OneVoiceRestartsAndTheOthersSayTheSameInAnyOrder) {
    std::array<std::string, 3> workers{"w1", "w2", "w3"};
    all_say(life(0s));
    all_keep_saying(life(0s), 6s);
    std::uint64_t restarts = 0;
    auto crash = 0s;
    do {
        ++restarts;
        crash += 60s;
        const std::size_t before = history.size();
        hear(session_ping(workers[0], life(0s, crash)));
        ASSERT_EQ(history.size(), before + 1) << "one voice is enough";
        EXPECT_EQ(newest().restarts, restarts);
        EXPECT_EQ(newest().reason, Reason::restarted);
        EXPECT_EQ(newest().state, Health::up);
        EXPECT_EQ(newest().previous, Health::up);
        EXPECT_EQ(newest().started_at, life(0s).started_at);
        EXPECT_EQ(newest().crashed_at, life(0s, crash).crashed_at);
        // The second one's old session still answers a check, the others log in.
        hear(session_ping(workers[1], crash == 60s ? life(0s) : life(0s, crash - 60s)));
        hear(session_ping(workers[1], life(0s, crash)));
        hear(session_ping(workers[0], life(0s, crash)));
        hear(session_ping(workers[2], life(0s, crash)));
        all_keep_saying(life(0s, crash), 2s);
        EXPECT_EQ(history.size(), before + 1) << "and counts once";
    } while (std::ranges::next_permutation(workers).found);
    EXPECT_EQ(restarts, 6U);
    expect_counted_without_gap();
}

TEST_F(TallyRestartTest, OneVoiceRestartsWithAnotherStart) {
    all_say(life(0s, 10s));
    all_keep_saying(life(0s, 10s), 6s);
    hear(session_ping("w2", life(60s)));
    EXPECT_EQ(newest().restarts, 1U);
    EXPECT_EQ(newest().started_at, life(60s).started_at);
    EXPECT_EQ(newest().crashed_at, std::nullopt) << "the crash was the former life's";
}

TEST_F(TallyRestartTest, OneVoiceRestartsThoughAllOthersHaveNoSession) {
    all_say(life(0s));
    all_keep_saying(life(0s), 6s);
    for (const char* worker : {"w1", "w2"}) hear(ping(worker, Opinion::up));
    hear(session_ping("w3", life(0s, 5s)));
    EXPECT_EQ(newest().restarts, 1U);
}

TEST_F(TallyRestartTest, KnownLifeAgainInLatePingsSaysNothing) {
    all_say(life(0s));
    all_keep_saying(life(0s), 6s);
    const auto late = session_ping("w1", life(0s));
    hear(session_ping("w2", life(60s)));
    hear(session_ping("w3", life(60s)));
    pass(900ms);
    hear(late);
    all_say(life(60s));
    EXPECT_EQ(newest().restarts, 1U);
    EXPECT_EQ(newest().started_at, life(60s).started_at);
    const std::size_t before = history.size();
    all_keep_saying(life(60s), 3s);
    EXPECT_EQ(history.size(), before);
}

TEST_F(TallyRestartTest, CrashNeedsATime) {
    all_say(life(0s, 10s));
    all_keep_saying(life(0s, 10s), 6s);
    const std::size_t before = history.size();
    all_say(life(0s));  // somebody has reset the statistics by hand, and the sessions were opened again
    pass(1s);
    EXPECT_EQ(history.size(), before);
    hear(session_ping("w1", life(0s, 20s)));
    EXPECT_EQ(newest().restarts, 1U);
}

TEST_F(TallyRestartTest, ToldWhenUpAfterAnOutage) {
    all_say(life(0s));
    all_keep_saying(life(0s), 6s);
    for (const char* worker : {"w1", "w2", "w3"}) hear(ping(worker, Opinion::down));
    ASSERT_EQ(newest().state, Health::down);
    EXPECT_EQ(newest().restarts, 0U);
    EXPECT_EQ(newest().started_at, life(0s).started_at);
    const std::size_t down = history.size();
    pass(1s);
    // Sessions are open before `rise` has made anybody's opinion `up`.
    for (const char* worker : {"w1", "w2", "w3"})
        hear(session_ping(worker, life(60s), Role::primary, Opinion::down));
    EXPECT_EQ(history.size(), down) << "while it is held down nobody is told";
    all_say(life(60s));
    ASSERT_EQ(history.size(), down + 1) << "one transition tells both";
    EXPECT_EQ(newest().state, Health::up);
    EXPECT_EQ(newest().previous, Health::down);
    EXPECT_EQ(newest().restarts, 1U);
    EXPECT_EQ(newest().reason, Reason::restarted);
    EXPECT_EQ(newest().started_at, life(60s).started_at);
    all_keep_saying(life(60s), 3s);
    EXPECT_EQ(history.size(), down + 1);
}

TEST_F(TallyRestartTest, ToldWhenUpThoughTheRoleChangedWhileItWasDown) {
    all_say(life(0s));
    all_keep_saying(life(0s), 6s);
    for (const char* worker : {"w1", "w2", "w3"}) hear(ping(worker, Opinion::down));
    const std::size_t down = history.size();
    // It comes back as a replica, which is told with its return.
    for (const char* worker : {"w1", "w2", "w3"})
        hear(session_ping(worker, life(60s), Role::replica, Opinion::down));
    EXPECT_EQ(history.size(), down);
    all_say(life(60s), Role::replica);
    ASSERT_EQ(history.size(), down + 1);
    EXPECT_EQ(newest().state, Health::up);
    EXPECT_EQ(newest().role, Role::replica);
    EXPECT_EQ(newest().restarts, 1U);
    EXPECT_EQ(newest().started_at, life(60s).started_at);
    expect_counted_without_gap();
}

TEST_F(TallyRestartTest, ASecondAggregatorAdoptsAndCountsNothingAgain) {
    load(add("aggregator-2"));
    all_say(life(0s));
    all_keep_saying(life(0s), 6s);
    for (int crash = 1; crash <= 5; ++crash) {
        // Both hear each ping, both write, one wins.
        all_say(life(0s, crash * 60s));
        all_keep_saying(life(0s, crash * 60s), 3s);
        EXPECT_EQ(newest().restarts, static_cast<std::uint64_t>(crash));
    }
    expect_counted_without_gap();
    std::map<std::uint64_t, int> written;
    for (const auto& state : history) ++written[state.restarts];
    for (std::uint64_t restarts = 1; restarts <= 5; ++restarts) EXPECT_EQ(written[restarts], 1) << restarts;
}

TEST_F(TallyRestartTest, ASecondAggregatorThatHearsLaterThanTheFirstHasWrittenCountsNothingAgain) {
    Aggregator& second = add("aggregator-2");
    load(second);
    all_say(life(0s));
    all_keep_saying(life(0s), 6s);
    const auto told = session_ping("w1", life(60s));
    aggregators[0]->tally.ping(told, now, aggregators[0]->actions);
    settle();
    ASSERT_EQ(newest().restarts, 1U);
    second.tally.ping(told, now, second.actions);
    settle();
    all_keep_saying(life(60s), 3s);
    EXPECT_EQ(newest().restarts, 1U);
}

TEST_F(TallyRestartTest, ALifeThatAnotherAggregatorHasPassedOverIsNotTold) {
    Aggregator& second = add("aggregator-2");
    load(second);
    all_say(life(0s));
    all_keep_saying(life(0s), 6s);
    for (const char* worker : {"w1", "w2", "w3"}) hear(ping(worker, Opinion::down));
    ASSERT_EQ(newest().state, Health::down);
    // The second one alone hears of a life that ends at once.
    const auto short_life = session_ping("w1", life(60s), Role::primary, Opinion::down);
    second.tally.ping(short_life, now, second.actions);
    settle();
    for (const char* worker : {"w1", "w2", "w3"}) {
        const auto p = session_ping(worker, life(120s));
        aggregators[0]->tally.ping(p, now, aggregators[0]->actions);
    }
    settle();
    ASSERT_EQ(newest().started_at, life(120s).started_at);
    all_keep_saying(life(120s), 6s);
    EXPECT_EQ(newest().started_at, life(120s).started_at);
    EXPECT_EQ(newest().restarts, 1U);
}

TEST_F(TallyRestartTest, ARestartWhileNoAggregatorRanIsCounted) {
    all_say(life(0s));
    all_keep_saying(life(0s), 6s);
    for (const bool ping_comes_first : {false, true}) {
        const ServerLife next = ping_comes_first ? life(120s) : life(60s);
        const std::uint64_t before = newest().restarts;
        aggregators.clear();
        pass(60s);
        Aggregator& started = add("aggregator-1");
        if (ping_comes_first) {
            // The definitions are read, the states are not.
            started.tally.definition(definition(), now, started.actions);
            started.tally.definitions_loaded(now, started.actions);
            hear(session_ping("w1", next));
        }
        load(started);
        all_say(next);
        all_keep_saying(next, 6s);
        EXPECT_EQ(newest().restarts, before + 1) << (ping_comes_first ? "ping first" : "state first");
        EXPECT_EQ(newest().started_at, next.started_at);
    }
}

TEST_F(TallyRestartTest, MajorityOfRolesTellsAPromotion) {
    all_say(life(0s), Role::replica);
    all_keep_saying(life(0s), 6s, Role::replica);
    ASSERT_EQ(newest().role, Role::replica);
    const std::size_t before = history.size();
    hear(session_ping("w1", life(0s), Role::primary));
    EXPECT_EQ(history.size(), before) << "one of three";
    hear(session_ping("w2", life(0s), Role::replica));
    hear(session_ping("w3", life(0s), Role::replica));
    EXPECT_EQ(history.size(), before);
    hear(session_ping("w2", life(0s), Role::primary));
    ASSERT_EQ(history.size(), before + 1);
    EXPECT_EQ(newest().role, Role::primary);
    EXPECT_EQ(newest().writable, true);
    EXPECT_EQ(newest().restarts, 0U);
    EXPECT_EQ(newest().state, Health::up);
    // The last one is late by a check; nothing goes back and forth.
    hear(session_ping("w3", life(0s), Role::replica));
    hear(session_ping("w1", life(0s), Role::primary));
    hear(session_ping("w3", life(0s), Role::primary));
    all_keep_saying(life(0s), 6s);
    EXPECT_EQ(history.size(), before + 1);
}

TEST_F(TallyRestartTest, MajorityOfRolesIsOfThoseWhoKnow) {
    all_say(life(0s), Role::replica);
    all_keep_saying(life(0s), 6s, Role::replica);
    // Two lose their sessions; what they said of the role is stale after one freshness.
    for (int i = 0; i < 14; ++i) {
        pass(500ms);
        for (const char* worker : {"w1", "w2"}) hear(ping(worker, Opinion::up));
        hear(session_ping("w3", life(0s), Role::primary));
    }
    EXPECT_EQ(newest().role, Role::primary);
}

TEST_F(TallyRestartTest, MajorityOfRolesKeepsTheRoleNobodyTellsAnyMore) {
    all_say(life(0s));
    all_keep_saying(life(0s), 6s);
    const std::size_t before = history.size();
    for (int i = 0; i < 30; ++i) {
        pass(500ms);
        for (const char* worker : {"w1", "w2", "w3"}) hear(ping(worker, Opinion::up));
    }
    EXPECT_EQ(history.size(), before);
    EXPECT_EQ(newest().role, Role::primary);
}

}  // namespace
}  // namespace pgpulse::aggregator
