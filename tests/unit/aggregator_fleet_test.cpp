#include "tests/support/aggregator_fleet.hpp"

#include "common/cluster/rendezvous.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

// One to four aggregators over one bucket, whatever happens to them and to what they hear.
namespace pgpulse::aggregator {
namespace {

using namespace std::chrono_literals;
using contract::Change;
using contract::Evidence;
using contract::Health;
using contract::Opinion;
using contract::Reason;
using contract::Role;
using contract::State;
using contract::Verdict;
using std::chrono::milliseconds;
using support::a_target;
using support::AggregatorFleet;
using support::PingSource;
using Message = support::StateBucketModel::Message;

constexpr milliseconds kInterval{1000};
const std::vector<std::string> kTargets{"db0", "db1", "db2", "db3"};
const std::vector<std::string> kWorkers{"w0", "w1", "w2", "w3"};

Opinion opinion_of(Health health) { return health == Health::up ? Opinion::up : Opinion::down; }

/// Some of the evidence is a ground for the state; soft evidence for `down` is so by two alone, where several observe.
bool is_grounded(const State& state) {
    if (state.state == Health::unknown) return true;
    const auto grounds = [&](const Evidence& word) { return word.opinion == opinion_of(state.state); };
    if (std::ranges::none_of(state.evidence, grounds)) return false;
    if (state.state == Health::up || !state.changed.test(static_cast<std::size_t>(Change::state)))
        return true;
    const auto hard = [&](const Evidence& word) {
        return grounds(word) && contract::is_hard_evidence(word.reason);
    };
    return state.evidence.size() == 1 || std::ranges::count_if(state.evidence, grounds) > 1 ||
           std::ranges::any_of(state.evidence, hard);
}

/// Servers, the workers that observe them, and the aggregators.
class Scene {
  public:
    /// What is true of a server.
    struct Server {
        Health health = Health::up;
        Reason reason = Reason::refused;  // where it is down
        Role role = Role::replica;
        std::optional<contract::WallTime> started_at;
        std::optional<contract::WallTime> crashed_at;
    };

    AggregatorFleet fleet;
    std::map<std::string, Server> servers;
    std::size_t transitions_checked = 0;

    Scene(std::uint32_t seed, milliseconds longest_delay) : fleet(seed, longest_delay), random_(seed) {
        for (const std::string& worker : kWorkers) start_worker(worker);
        fleet.members(members_);
        for (const std::string& target : kTargets) {
            servers[target];
            fleet.define(definition(target));
        }
    }

    unsigned pick(unsigned below) { return static_cast<unsigned>(random_() % below); }
    bool chance(unsigned of) { return pick(of) == 0; }
    template <typename T>
    const T& any(const std::vector<T>& of) {
        return of[pick(static_cast<unsigned>(of.size()))];
    }

    void start_worker(const std::string& worker) {
        workers_.insert_or_assign(worker, PingSource{worker, ++runs_});
    }

    contract::TargetDefinition definition(const std::string& target) {
        contract::TargetDefinition definition = a_target(target, target < "db2" ? "orders" : target);
        definition.observers = 1 + pick(4);
        if (chance(4)) definition.quorum = 1 + pick(3);
        return definition;
    }

    void members(const std::vector<std::string>& members) {
        members_ = members;
        fleet.members(members);
    }

    /// What the worker truly sees.
    contract::Ping true_ping(const std::string& worker, const std::string& target) {
        const Server& server = servers.at(target);
        PingSource& source = workers_.at(worker);
        if (server.health == Health::up)
            return source.tells(target, server.role, fleet.now, server.started_at, server.crashed_at);
        contract::Ping ping = source.says(target, Opinion::down, fleet.now);
        ping.reason = server.reason;
        return ping;
    }

    /// Whatever a worker may say, true or not.
    contract::Ping some_ping(const std::string& worker, const std::string& target) {
        contract::Ping ping = true_ping(worker, target);
        if (chance(2)) {
            ping.opinion = any(std::vector{Opinion::up, Opinion::down, Opinion::undecided});
            ping.verdict = ping.opinion == Opinion::down ? Verdict::no_response : Verdict::accepting;
            ping.reason = ping.opinion != Opinion::down ? Reason::ok
                          : chance(2)                   ? Reason::refused
                                                        : Reason::timeout;
        }
        if (ping.role && chance(4)) ping.role = chance(2) ? Role::primary : Role::replica;
        if (chance(6)) ping.suspect = true;
        if (chance(10)) {
            ping.verdict = Verdict::inconclusive;
            ping.reason = Reason::observer_stalled;
        }
        return ping;
    }

    /// For that long all observers say what is true.
    void calm(milliseconds time) {
        for (auto passed = 0ms; passed < time; passed += kInterval / 4) {
            fleet.pass(kInterval / 4);
            // Each at its own time.
            for (std::size_t w = static_cast<std::size_t>(passed / (kInterval / 4)) % 4; w < kWorkers.size();
                 w += 4)
                for (const std::string& target : kTargets) {
                    if (observes(kWorkers[w], target)) fleet.publish(true_ping(kWorkers[w], target));
                }
        }
    }

    bool observes(const std::string& worker, const std::string& target) const {
        return cluster::Rendezvous{members_}.owns(worker, target, 4);
    }

    void start_aggregators(unsigned count) {
        for (unsigned i = 0; i < count; ++i) fleet.start(fmt::format("aggregator-{}", i));
    }

    enum class Damage { none, bucket };

    /// Anything happens.
    void chaos(int steps, Damage damage) {
        for (int step = 0; step < steps; ++step) {
            fleet.pass(milliseconds{pick(4) * 50});
            for (unsigned pings = pick(6); pings > 0; --pings)
                fleet.publish(some_ping(any(kWorkers), any(kTargets)));
            if (chance(8)) something(damage);
        }
    }

    /// Everybody is there, hears and is heard.
    void heal(unsigned aggregators) {
        fleet.writes_fail_of_100 = 0;
        for (unsigned i = 0; i < 4; ++i) {
            const std::string id = fmt::format("aggregator-{}", i);
            const bool alive = fleet.aggregators.contains(id);
            if (i < aggregators && !alive) fleet.start(id);
            if (i >= aggregators && alive) fleet.kill(id);
        }
        for (const auto& [id, each] : fleet.aggregators) {
            each->hears_itself = true;
            each->unheard.clear();
            if (each->watch.blind) fleet.reopen(*each);
        }
        members(kWorkers);
        for (const std::string& target : kTargets) {
            if (!defined_[target]) fleet.define(definition(target));
            defined_[target] = true;
        }
    }

    void expect_the_truth() {
        std::map<Health, std::size_t> truth{{Health::up, 0}, {Health::down, 0}, {Health::unknown, 0}};
        for (const auto& [target, server] : servers) {
            ++truth[server.health];
            const auto state = fleet.state(target);
            ASSERT_TRUE(state) << target;
            EXPECT_EQ(state->state, server.health) << encode(*state);
            if (server.health == Health::down) continue;
            EXPECT_EQ(state->role, server.role) << encode(*state);
            EXPECT_EQ(state->writable, server.role == Role::primary) << encode(*state);
            EXPECT_FALSE(state->maintenance);
        }
        for (const auto& [id, each] : fleet.aggregators) {
            EXPECT_EQ(each->tally.census().by_state, truth) << id;
            EXPECT_EQ(each->tally.census().disputed, 0U) << id;
            EXPECT_EQ(each->tally.census().writing, 0U) << id;
        }
    }

    /// Of everything that was stored since the last call.
    void expect_a_story(Damage damage) {
        for (; transitions_checked < fleet.stored.size(); ++transitions_checked) {
            const auto& stored = fleet.stored[transitions_checked];
            if (damage == Damage::bucket && stored.put_back) continue;
            EXPECT_TRUE(damage == Damage::bucket || is_grounded(stored.state)) << encode(stored.state);
            if (damage == Damage::bucket) continue;
            EXPECT_FALSE(stored.put_back) << encode(stored.state);
            const State before = stored.before.value_or(State{});
            EXPECT_EQ(stored.state.transition, before.transition + 1) << encode(stored.state);
            EXPECT_EQ(stored.state.previous, stored.before ? std::optional{before.state} : std::nullopt);
            const std::array<bool, contract::kChanges> changed{
                !stored.before || before.state != stored.state.state,
                before.role != stored.state.role,
                before.writable != stored.state.writable,
                before.restarts != stored.state.restarts,
                before.maintenance != stored.state.maintenance,
                before.conflicts_with != stored.state.conflicts_with,
                before.role_unexpected != stored.state.role_unexpected,
            };
            EXPECT_TRUE(stored.state.changed.any()) << encode(stored.state);
            for (std::size_t i = 0; i < changed.size(); ++i)
                EXPECT_EQ(stored.state.changed.test(i), changed.at(i)) << i << " of " << encode(stored.state);
        }
    }

  private:
    std::mt19937 random_;
    std::map<std::string, PingSource> workers_;
    std::vector<std::string> members_ = kWorkers;
    std::map<std::string, bool> defined_{{"db0", true}, {"db1", true}, {"db2", true}, {"db3", true}};
    std::uint64_t runs_ = 0;

    AggregatorFleet::Aggregator& any_aggregator() {
        auto it = fleet.aggregators.begin();
        std::advance(it, pick(static_cast<unsigned>(fleet.aggregators.size())));
        return *it->second;
    }

    void something(Damage damage) {
        const std::string id = fmt::format("aggregator-{}", pick(4));
        switch (pick(damage == Damage::bucket ? 12 : 9)) {
            case 0:
                if (fleet.aggregators.contains(id)) fleet.kill(id);
                if (fleet.aggregators.empty() || chance(2)) fleet.start(id);
                break;
            case 1: {
                std::vector<std::string> members;
                for (const std::string& worker : kWorkers) {
                    if (!chance(3)) members.push_back(worker);
                }
                this->members(members);
                break;
            }
            case 2:
                any_aggregator().hears_itself = chance(2);
                break;
            case 3:
                any_aggregator().stopped_until = fleet.now.mono + milliseconds{pick(5000)};
                break;
            case 4: {
                auto& unheard = any_aggregator().unheard;
                unheard.clear();
                for (const std::string& worker : kWorkers) {
                    if (chance(2)) unheard.insert(worker);
                }
                break;
            }
            case 5:
                fleet.writes_fail_of_100 = chance(2) ? 30 : 0;
                break;
            case 6: {
                const std::string& target = any(kTargets);
                defined_[target] = !chance(3);
                if (defined_[target])
                    fleet.define(definition(target));
                else
                    fleet.undefine(target);
                break;
            }
            case 7:
                start_worker(any(kWorkers));
                break;
            case 8: {
                Server& server = servers[any(kTargets)];
                server.health = chance(2) ? Health::up : Health::down;
                server.reason = chance(2) ? Reason::refused : Reason::timeout;
                server.role = chance(2) ? Role::primary : Role::replica;
                break;
            }
            case 9:
                if (chance(2))
                    fleet.bucket.wipe();
                else
                    fleet.bucket.roll_back(1 + pick(5));
                break;
            case 10:
                fleet.reopen(any_aggregator());
                break;
            default: {
                Message message;
                message.key = any(kTargets);
                message.kind =
                    any(std::vector{Message::Kind::value, Message::Kind::spoiled, Message::Kind::removed});
                message.state.target = message.key;
                message.state.transition = pick(20);
                message.state.state = chance(2) ? Health::up : Health::down;
                fleet.bucket.edit(message);
            }
        }
    }
};

class AggregatorFleetOfSeed : public testing::TestWithParam<std::uint32_t> {};

TEST_P(AggregatorFleetOfSeed, HealthyObserversConvergeWhateverWasBefore) {
    const std::uint32_t seed = GetParam();
    SCOPED_TRACE(fmt::format("seed {}", seed));
    const auto damage = seed % 2 == 0 ? Scene::Damage::bucket : Scene::Damage::none;
    Scene scene{seed, milliseconds{seed % 3 * 100}};
    scene.start_aggregators(1 + seed % 4);
    for (int round = 0; round < 3; ++round) {
        scene.chaos(100, damage);
        scene.heal(1 + scene.pick(4));
        scene.calm(15s);
        scene.expect_the_truth();
        scene.expect_a_story(damage);
        const std::size_t stored = scene.fleet.stored.size();
        scene.calm(5s);
        EXPECT_EQ(scene.fleet.stored.size(), stored)
            << "what is settled stays: " << encode(scene.fleet.stored.back().state);
        if (HasFailure()) break;
    }
}

TEST_P(AggregatorFleetOfSeed, OneCrashSeenBySeveralObserversCountsOnce) {
    const std::uint32_t seed = GetParam();
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random{seed};
    const auto pick = [&random](unsigned below) { return static_cast<unsigned>(random() % below); };
    AggregatorFleet fleet{seed, milliseconds{seed % 3 * 100}};
    const std::vector<std::string> workers{"w0", "w1", "w2"};
    std::vector<PingSource> sources{PingSource{"w0"}, PingSource{"w1"}, PingSource{"w2"}};
    fleet.members(workers);
    std::vector<std::string> aggregators{"aggregator-0", "aggregator-1"};
    for (const std::string& id : aggregators) fleet.start(id);
    fleet.define(a_target("db1"));

    contract::WallTime started_at{1000s};
    std::optional<contract::WallTime> crashed_at;
    const auto life_of = [&](PingSource& source) {
        return source.tells("db1", Role::primary, fleet.now, started_at, crashed_at);
    };
    const auto live = [&](milliseconds time) {
        for (auto passed = 0ms; passed < time; passed += 250ms) {
            fleet.pass(250ms);
            fleet.publish(life_of(sources[pick(3)]));
        }
    };
    live(8s);
    ASSERT_TRUE(fleet.state("db1"));
    fleet.writes_fail_of_100 = seed % 4 * 5;
    std::uint64_t crashes = 0;
    for (int round = 0; round < 8; ++round) {
        // The last words of the life that ends may come after the first ones of the next.
        std::vector<contract::Ping> last_words;
        for (PingSource& source : sources) {
            if (pick(2) == 0) last_words.push_back(life_of(source));
        }
        ++crashes;
        if (pick(2) == 0) {
            started_at += 1h;
            crashed_at.reset();
        } else {
            crashed_at = started_at + std::chrono::seconds{10 * crashes};
        }
        // The workers log in again one by one; an aggregator may die at any moment, and another one be started.
        const unsigned dies_at = pick(6);
        for (unsigned i = 0; i < 6; ++i) {
            if (i == dies_at) {
                const unsigned who = pick(2);
                fleet.kill(aggregators[who]);
                aggregators[who] = fmt::format("aggregator-{}", 2 + round);
                fleet.start(aggregators[who]);
            }
            fleet.publish(life_of(sources[pick(3)]));
            for (const contract::Ping& late : last_words) {
                if (pick(3) == 0) fleet.publish(late);
            }
            fleet.pass(milliseconds{pick(4) * 50});
        }
        live(8s);
    }
    fleet.writes_fail_of_100 = 0;
    live(4s);
    EXPECT_EQ(fleet.state("db1")->restarts, crashes);
    EXPECT_EQ(fleet.state("db1")->started_at, started_at);
    EXPECT_EQ(fleet.state("db1")->crashed_at, crashed_at);
    std::uint64_t told = 0;
    for (const auto& stored : fleet.stored) {
        EXPECT_NE(stored.state.state, Health::down);
        if (!stored.state.changed.test(static_cast<std::size_t>(Change::restarts))) continue;
        EXPECT_EQ(stored.state.restarts, ++told) << encode(stored.state);
        EXPECT_EQ(stored.state.reason, Reason::restarted);
    }
    EXPECT_EQ(told, crashes);
}

TEST_P(AggregatorFleetOfSeed, TheOrderOfPingsAndTheirRepetitionChangeNothingButTime) {
    const std::uint32_t seed = GetParam();
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random{seed};
    const auto pick = [&random](unsigned below) { return static_cast<unsigned>(random() % below); };
    AggregatorFleet in_order{seed};
    AggregatorFleet in_disorder{seed};
    for (AggregatorFleet* fleet : {&in_order, &in_disorder}) {
        fleet->members({"w0", "w1", "w2"});
        fleet->start("aggregator-0");
        fleet->define(a_target("db1"));
    }
    std::vector<PingSource> sources{PingSource{"w0"}, PingSource{"w1"}, PingSource{"w2"}};
    std::vector<std::pair<Opinion, Role>> views(3, {Opinion::up, Role::replica});
    contract::WallTime started_at{1000s};
    std::multimap<AggregatorFleet::Mono, contract::Ping> under_way;
    // Each of them arrives on time once, so that lateness has its measure.
    for (int step = 0; step < 400; ++step) {
        const bool settled = step >= 240;
        for (std::size_t w = 0; w < sources.size(); ++w) {
            auto& [opinion, role] = views[w];
            if (!settled && pick(20) == 0) opinion = pick(2) == 0 ? Opinion::up : Opinion::down;
            if (!settled && pick(20) == 0) role = pick(2) == 0 ? Role::primary : Role::replica;
            if (step % 5 != static_cast<int>(w)) continue;
            contract::Ping ping = sources[w].tells("db1", role, in_order.now, started_at);
            ping.opinion = opinion;
            if (opinion == Opinion::down) {
                ping.verdict = Verdict::no_response;
                ping.reason = Reason::refused;
            }
            in_order.publish(ping);
            in_disorder.publish(ping);
            if (step > 20 && pick(2) == 0) continue;
            for (unsigned copies = pick(4); copies > 0; --copies)
                under_way.emplace(in_order.now.mono + milliseconds{pick(5000)}, ping);
        }
        if (!settled && pick(60) == 0) started_at += 1h;
        in_order.pass(100ms);
        in_disorder.pass(100ms);
        while (!under_way.empty() && under_way.begin()->first <= in_disorder.now.mono)
            in_disorder.publish(under_way.extract(under_way.begin()).mapped());
    }
    ASSERT_TRUE(in_order.state("db1") && in_disorder.state("db1"));
    EXPECT_EQ(encode(*in_disorder.state("db1")), encode(*in_order.state("db1")));
    EXPECT_EQ(in_disorder.stored.size(), in_order.stored.size());
}

TEST_P(AggregatorFleetOfSeed, PingsThatOvertakeEachOtherEndInTheSameState) {
    const std::uint32_t seed = GetParam();
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random{seed};
    const auto pick = [&random](unsigned below) { return static_cast<unsigned>(random() % below); };
    AggregatorFleet in_order{seed};
    AggregatorFleet in_disorder{seed};
    for (AggregatorFleet* fleet : {&in_order, &in_disorder}) {
        fleet->members({"w0", "w1", "w2"});
        fleet->start("aggregator-0");
        fleet->define(a_target("db1"));
    }
    std::vector<PingSource> sources{PingSource{"w0"}, PingSource{"w1"}, PingSource{"w2"}};
    Opinion opinion = Opinion::up;
    Role role = Role::replica;
    contract::WallTime started_at{1000s};
    std::multimap<AggregatorFleet::Mono, contract::Ping> under_way;
    for (int step = 0; step < 300; ++step) {
        const bool settled = step >= 240;
        if (!settled && pick(40) == 0) opinion = pick(2) == 0 ? Opinion::up : Opinion::down;
        if (!settled && pick(40) == 0) role = pick(2) == 0 ? Role::primary : Role::replica;
        if (!settled && step % 60 == 0) started_at += 1h;
        PingSource& source = sources[pick(3)];
        contract::Ping ping = opinion == Opinion::up ? source.tells("db1", role, in_order.now, started_at)
                                                     : source.says("db1", opinion, in_order.now);
        in_order.publish(ping);
        if (step < 5 || step % 10 == 0)
            in_disorder.publish(ping);
        else
            under_way.emplace(in_order.now.mono + milliseconds{pick(900)}, ping);
        in_order.pass(100ms);
        in_disorder.pass(100ms);
        while (!under_way.empty() && under_way.begin()->first <= in_disorder.now.mono)
            in_disorder.publish(under_way.extract(under_way.begin()).mapped());
    }
    ASSERT_TRUE(in_order.state("db1") && in_disorder.state("db1"));
    const State expected = *in_order.state("db1");
    const State state = *in_disorder.state("db1");
    EXPECT_EQ(state.state, expected.state);
    if (expected.state != Health::up) return;
    EXPECT_EQ(state.role, expected.role);
    EXPECT_EQ(state.writable, expected.writable);
    EXPECT_EQ(state.started_at, expected.started_at);
}

/// What one worker goes on saying, and who hears it.
struct Voice {
    Opinion opinion = Opinion::up;
    Reason reason = Reason::ok;
    Role role = Role::replica;
    bool first_hears = true;
    bool second_hears = true;
};

/// How many transitions two aggregators write in a minute that hear different workers, who say the same all the time.
std::size_t transitions_of(const std::vector<Voice>& voices, std::optional<std::uint32_t> quorum,
                           std::uint32_t seed) {
    AggregatorFleet fleet{seed, milliseconds{seed % 3 * 100}};
    std::vector<std::string> members;
    std::vector<PingSource> sources;
    for (std::size_t i = 0; i < voices.size(); ++i) {
        members.push_back(kWorkers[i]);
        sources.emplace_back(kWorkers[i]);
    }
    fleet.members(members);
    AggregatorFleet::Aggregator& first = fleet.start("aggregator-0");
    AggregatorFleet::Aggregator& second = fleet.start("aggregator-1");
    contract::TargetDefinition definition = a_target("db1");
    definition.observers = 4;
    definition.quorum = quorum;
    fleet.define(definition);
    for (std::size_t i = 0; i < voices.size(); ++i) {
        if (!voices[i].first_hears) first.unheard.insert(members[i]);
        if (!voices[i].second_hears) second.unheard.insert(members[i]);
    }
    for (auto passed = 0ms; passed < 60s; passed += 1s) {
        fleet.pass(1s);
        for (std::size_t i = 0; i < voices.size(); ++i) {
            contract::Ping ping = sources[i].tells("db1", voices[i].role, fleet.now);
            ping.opinion = voices[i].opinion;
            ping.reason = voices[i].reason;
            if (ping.opinion == Opinion::down) ping.verdict = Verdict::no_response;
            fleet.publish(ping);
        }
    }
    return fleet.stored.size();
}

TEST_P(AggregatorFleetOfSeed, TwoThatHearDifferentWorkersDoNotContradictEachOtherForEver) {
    std::mt19937 random{GetParam()};
    const auto chance = [&random](unsigned of) { return random() % of == 0; };
    std::vector<Voice> voices(2 + random() % 3);
    for (Voice& voice : voices) {
        if (chance(2)) {
            voice.opinion = chance(3) ? Opinion::undecided : Opinion::down;
            voice.reason = chance(2) ? Reason::refused : Reason::timeout;
        }
        voice.role = chance(2) ? Role::primary : Role::replica;
        voice.first_hears = !chance(3);
        voice.second_hears = !chance(3);
    }
    std::optional<std::uint32_t> quorum;
    if (chance(3)) quorum = voices.size() / 2 + 1;
    EXPECT_LE(transitions_of(voices, quorum, GetParam()), 6U) << "seed " << GetParam();
}

/// Two aggregators of which each is the first of some targets; three workers that say what they say every second.
class AggregatorsThatHearDifferentWorkers : public testing::TestWithParam<std::string> {
  protected:
    AggregatorFleet fleet{1};
    std::map<std::string, Opinion> says{{"w0", Opinion::up}, {"w1", Opinion::up}, {"w2", Opinion::up}};
    std::map<std::string, PingSource> sources;
    std::string target = GetParam();

    void SetUp() override {
        for (const auto& [worker, opinion] : says) sources.emplace(worker, PingSource{worker});
        fleet.members({"w0", "w1", "w2"});
        fleet.start("aggregator-0");
        fleet.start("aggregator-1");
        fleet.define(a_target(target));
        pass(8s);
        ASSERT_EQ(state(), Health::up);
    }

    void pass(std::chrono::seconds time) {
        for (auto passed = 0s; passed < time; passed += 1s) {
            fleet.pass(1s);
            for (const auto& [worker, opinion] : says)
                fleet.publish(sources.at(worker).says(target, opinion, fleet.now));
        }
    }

    Health state() const { return fleet.state(target)->state; }
};

TEST_P(AggregatorsThatHearDifferentWorkers, OneThatHearsNobodyLeavesTheWordToTheOther) {
    const std::size_t stored = fleet.stored.size();
    fleet.aggregators.at("aggregator-0")->unheard = {"w0", "w1", "w2"};
    pass(60s);
    // It does not know yet what the other hears when it says so, and once is enough.
    EXPECT_LE(fleet.stored.size(), stored + 2);
    EXPECT_EQ(state(), Health::up);
    says = {{"w0", Opinion::down}, {"w1", Opinion::down}, {"w2", Opinion::down}};
    pass(3s);
    EXPECT_EQ(state(), Health::down);
    fleet.kill("aggregator-1");
    pass(8s);
    EXPECT_EQ(state(), Health::unknown) << "nobody is there who hears anybody";
}

TEST_P(AggregatorsThatHearDifferentWorkers, TheWordOfMoreStands) {
    const std::size_t stored = fleet.stored.size();
    fleet.aggregators.at("aggregator-0")->unheard = {"w1", "w2"};
    fleet.aggregators.at("aggregator-1")->unheard = {"w0"};
    says = {{"w0", Opinion::up}, {"w1", Opinion::down}, {"w2", Opinion::down}};
    pass(60s);
    EXPECT_EQ(state(), Health::down);
    EXPECT_LE(fleet.stored.size(), stored + 3);
    says = {{"w0", Opinion::down}, {"w1", Opinion::up}, {"w2", Opinion::up}};
    pass(60s);
    EXPECT_EQ(state(), Health::up);
    EXPECT_LE(fleet.stored.size(), stored + 6);
}

INSTANTIATE_TEST_SUITE_P(Targets, AggregatorsThatHearDifferentWorkers,
                         testing::Values("db0", "db1", "db2", "db3"));

INSTANTIATE_TEST_SUITE_P(Seeds, AggregatorFleetOfSeed, testing::Range(1U, 61U));

}  // namespace
}  // namespace pgpulse::aggregator
