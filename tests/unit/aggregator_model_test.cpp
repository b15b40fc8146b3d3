#include "tests/support/state_bucket_model.hpp"
#include "tests/support/tally_model.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <variant>
#include <vector>

// One tally and the naive model of the specification beside it, led through the same random events: after each of them
// both want the same written, and believe the same.
namespace pgpulse::aggregator {
namespace {

using namespace std::chrono_literals;
using contract::Health;
using contract::Opinion;
using contract::Reason;
using contract::Role;
using contract::State;
using contract::Verdict;
using std::chrono::milliseconds;
using support::StateBucketModel;
using support::TallyModel;
using Message = StateBucketModel::Message;

constexpr contract::WallTime kModelStart{1'700'000'000s};
const std::vector<std::string> kModelTargets{"db0", "db1", "db2"};
const std::vector<std::string> kModelWorkers{"w0", "w1", "w2", "w3", "w4"};
const std::string kSelf = "aggregator-1";

class Walk {
  public:
    explicit Walk(std::uint32_t seed) : random_(seed) {
        bucket_.open(watch_);
        members();
        ranks(Rank::first);
        // Some walks begin with definitions read and targets served, others come to it.
        for (const std::string& name : kModelTargets) define(name);
        done({}, [&] {
            tally_.definitions_loaded(now_, actions_);
            model_.definitions_loaded();
        });
    }

    void step() {
        pass();
        for (unsigned events = pick(4); events > 0 && fine(); --events) event();
    }

    /// All writes are answered, and all that the bucket tells is read.
    void come_to_rest() {
        ranks(Rank::first);
        if (watch_.blind) bucket_.open(watch_);
        for (int rounds = 0; rounds < 300 && fine(); ++rounds) {
            pass();
            for (int messages = 0; messages < 100 && !watch_.unread.empty() && fine(); ++messages)
                read_watch();
            for (int writes = 0; writes < 20 && !under_way_.empty() && fine(); ++writes) move_writes();
        }
    }

    /// The tally believes what the bucket says.
    void expect_the_buckets_word() {
        for (const std::string& name : kModelTargets) {
            if (!definitions_.contains(name) || model_.writing(name)) continue;
            const auto& belief = model_.belief(name);
            const auto stored = bucket_.state_of(name);
            EXPECT_EQ(name + (belief ? encode(*belief) : "none"), name + (stored ? encode(*stored) : "none"));
        }
    }

    [[nodiscard]] static bool fine() { return !testing::Test::HasFailure(); }
    [[nodiscard]] std::uint64_t puts() const { return puts_; }

  private:
    enum class Way { sent, arrived, gone };
    /// A write on its way to the bucket, or its answer on the way back.
    struct UnderWay {
        std::string key;
        std::optional<State> state;
        std::uint64_t expected = 0;
        std::chrono::steady_clock::time_point sent_at;
        Way way = Way::sent;
        std::optional<std::uint64_t> revision;  // of one that was stored
        bool answered = false;                  // the tally was told of an outcome
    };
    struct Worker {
        unsigned run = 0;
        std::int64_t clock = 0;  // its monotonic clock less the tally's
        std::uint64_t seq = 0;
        unsigned heard_run = 0;
        bool suspect = false;
    };
    /// What a worker makes of a target.
    struct View {
        Opinion opinion = Opinion::up;
        Reason reason = Reason::ok;
        Role role = Role::replica;
        bool session = false;
    };

    std::mt19937 random_;
    Tally tally_{kSelf};
    TallyModel model_{kSelf};
    StateBucketModel bucket_;
    StateBucketModel::Watch& watch_ = bucket_.add_watch();
    Tally::Actions actions_;
    Now now_{std::chrono::steady_clock::time_point{1h}, kModelStart};
    std::vector<UnderWay> under_way_;
    std::map<std::string, Worker> workers_;
    std::map<std::pair<std::string, std::string>, View> views_;
    std::vector<contract::Ping> pings_;  // that were sent, heard or not
    std::map<std::string, contract::TargetDefinition> definitions_;
    int lives_ = 0;
    std::uint64_t future_ = 1;
    std::uint64_t puts_ = 0;
    bool deaf_ = false;

    unsigned pick(unsigned below) { return static_cast<unsigned>(random_() % below); }
    bool chance(unsigned of) { return pick(of) == 0; }
    template <typename T>
    const T& any(const std::vector<T>& of) {
        return of[pick(static_cast<unsigned>(of.size()))];
    }

    /// Both have been told the same, and the tally has looked at `looked_at`.
    template <typename Tell>
    void done(const std::set<std::string>& looked_at, Tell&& tell) {
        tell();
        compare(looked_at);
    }

    void compare(const std::set<std::string>& looked_at) {
        std::set<std::string> written;
        for (const Action& action : actions_) {
            if (const auto* const put = std::get_if<PutState>(&action)) {
                ++puts_;
                ASSERT_TRUE(written.insert(put->state.target).second) << put->state.target;
                expect_wanted(looked_at, *put);
            } else if (const auto* const remove = std::get_if<RemoveState>(&action)) {
                ASSERT_TRUE(written.insert(remove->target).second) << remove->target;
                const auto wanted = model_.wants(remove->target, now_);
                ASSERT_TRUE(looked_at.contains(remove->target) && wanted && !wanted->state) << remove->target;
                ASSERT_EQ(remove->expected, wanted->expected);
                send(remove->target, std::nullopt, remove->expected);
            }
        }
        actions_.clear();
        for (const std::string& name : looked_at) {
            if (written.contains(name)) continue;
            const auto wanted = model_.wants(name, now_);
            ASSERT_FALSE(wanted) << name << ": nothing was written where the model wants "
                                 << (wanted->state ? encode(*wanted->state) : "a removal");
        }
        compare_census();
    }

    void expect_wanted(const std::set<std::string>& looked_at, const PutState& put) {
        const std::string& name = put.state.target;
        ASSERT_TRUE(looked_at.contains(name)) << name;
        const auto wanted = model_.wants(name, now_);
        ASSERT_TRUE(wanted && wanted->state) << "the model wants nothing of this: " << encode(put.state);
        State expected = *wanted->state;
        if (!put.put_back) {
            ASSERT_TRUE(wanted->reasons.contains(put.state.reason)) << encode(put.state);
            expected.reason = put.state.reason;
        }
        ASSERT_EQ(put.put_back, wanted->put_back) << encode(put.state);
        ASSERT_EQ(encode(put.state), encode(expected));
        ASSERT_EQ(put.expected, wanted->expected);
        send(name, put.state, put.expected);
    }

    void send(const std::string& name, const std::optional<State>& state, std::uint64_t expected) {
        model_.sent(name, state, expected);
        under_way_.push_back({name, state, expected, now_.mono, Way::sent, std::nullopt, false});
    }

    void compare_census() {
        Census expected;
        expected.by_state = {{Health::up, 0}, {Health::down, 0}, {Health::unknown, 0}};
        expected.in_maintenance = expected.by_state;
        for (const std::string& name : model_.targets()) {
            if (model_.writing(name)) ++expected.writing;
            const auto& belief = model_.belief(name);
            if (!belief || !model_.defined(name)) continue;
            ++expected.by_state[belief->state];
            if (belief->maintenance) ++expected.in_maintenance[belief->state];
            if (!belief->conflicts_with.empty()) ++expected.in_conflict;
            if (belief->role_unexpected) ++expected.role_unexpected;
        }
        const Census census = tally_.census();
        ASSERT_EQ(census.by_state, expected.by_state);
        ASSERT_EQ(census.writing, expected.writing);
        ASSERT_EQ(census.in_maintenance, expected.in_maintenance);
        ASSERT_EQ(census.in_conflict, expected.in_conflict);
        ASSERT_EQ(census.role_unexpected, expected.role_unexpected);
    }

    void pass() {
        milliseconds time{50};
        if (chance(5)) time = milliseconds{10 * (1 + pick(25))};
        if (chance(40)) time = milliseconds{251 + pick(2000)};
        now_.mono += time;
        now_.wall += time;
        if (chance(200)) now_.wall += chance(2) ? 1h : -1h;
        if (chance(60)) deaf_ = !deaf_;
        if (!deaf_) {
            tally_.echo(now_);
            tally_.stored_echo(now_);
            model_.echo(now_);
        }
        model_.tick(now_);
        // Each tick looks at a tenth of the targets, at one at least.
        for (std::size_t i = 0; i < model_.targets().size(); ++i) tally_.tick(now_, actions_);
        compare(model_.targets());
    }

    void event() {
        switch (pick(24)) {
            case 0:
                return on_definition();
            case 1:
                if (chance(3)) members();
                return;
            case 2:
                if (chance(8)) ranks(chance(5) ? Rank::none : chance(2) ? Rank::first : Rank::second);
                return;
            case 3:
                if (chance(3)) others_write(any(kModelTargets));
                return;
            case 4:
                if (chance(6)) hand(any(kModelTargets));
                return;
            case 5:
                return damage_bucket();
            case 6:
            case 7:
            case 8:
            case 9:
                return read_watch();
            case 10:
            case 11:
            case 12:
                return move_writes();
            case 13:
                return change_mind();
            default:
                return ping();
        }
    }

    void on_definition() {
        if (!chance(4)) return;
        const std::string& name = any(kModelTargets);
        if (definitions_.contains(name) && chance(4)) {
            definitions_.erase(name);
            done({name}, [&] {
                tally_.definition_removed(name, now_, actions_);
                model_.definition_removed(name);
            });
        } else {
            define(name);
        }
    }

    void define(const std::string& name) {
        contract::TargetDefinition& definition = definitions_[name];
        definition.name = name;
        definition.service = chance(3) ? name : chance(2) ? "orders" : "billing";
        definition.interval = any(std::vector<milliseconds>{500ms, 1000ms, 2500ms});
        definition.timeout = any(std::vector<milliseconds>{100ms, 500ms});
        definition.observers = 1 + pick(4);
        definition.quorum.reset();
        if (chance(3)) definition.quorum = 1 + pick(3);
        definition.expect_role.reset();
        if (chance(3)) definition.expect_role = chance(2) ? Role::primary : Role::replica;
        if (chance(3)) definition.maintenance_until.reset();
        if (chance(3)) definition.maintenance_until = now_.wall + milliseconds{pick(20'000)} - 5s;
        done({name}, [&] {
            tally_.definition(definition, now_, actions_);
            model_.definition(definition);
        });
    }

    void members() {
        std::vector<std::string> probes;
        for (const std::string& worker : kModelWorkers) {
            if (!chance(4)) probes.push_back(worker);
        }
        done(model_.targets(), [&] {
            tally_.members(probes, now_, actions_);
            model_.members(probes);
        });
    }

    void ranks(Rank rank) {
        Ranks ranks{};
        ranks.fill(rank);
        done(model_.targets(), [&] {
            tally_.ranks(ranks, now_, actions_);
            model_.ranks(ranks);
        });
    }

    State some_state(const std::string& name) {
        State state = bucket_.state_of(name).value_or(State{});
        state.target = name;
        if (chance(2)) state.state = any(std::vector<Health>{Health::up, Health::down, Health::unknown});
        if (chance(3)) {
            state.role = chance(2) ? Role::primary : Role::replica;
            state.writable = state.role == Role::primary;
        }
        if (chance(6)) {
            ++state.restarts;
            state.started_at = kModelStart + std::chrono::seconds{chance(3) ? pick(5) : ++lives_};
        }
        if (chance(6)) state.maintenance = !state.maintenance;
        if (state.maintenance || chance(4)) state.maintenance_until = definitions_[name].maintenance_until;
        if (definitions_[name].name.empty()) definitions_.erase(name);
        state.conflicts_with.clear();
        if (chance(6)) {
            const std::string& other = any(kModelTargets);
            if (other != name) state.conflicts_with = {other};
        }
        ++state.transition;
        return state;
    }

    void others_write(const std::string& name) {
        const auto stored = bucket_.state_of(name);
        if (stored && chance(8)) {
            bucket_.write(name, std::nullopt, bucket_.revision_of(name));
            return;
        }
        State state = some_state(name);
        state.decided_by = "aggregator-2";
        // One that has lost nothing puts the same back.
        if (!stored && model_.belief(name) && chance(2)) state = *model_.belief(name);
        bucket_.write(name, state, bucket_.revision_of(name));
    }

    void hand(const std::string& name) {
        Message message;
        message.key = name;
        message.kind = any(std::vector{Message::Kind::value, Message::Kind::spoiled, Message::Kind::removed});
        message.state = some_state(name);
        if (chance(3)) message.state.transition += 5;
        if (chance(3) && bucket_.state_of(name)) message.state = *bucket_.state_of(name);
        bucket_.edit(message);
    }

    void damage_bucket() {
        const bool wiped = chance(20);
        const bool rolled_back = chance(20);
        if (wiped) bucket_.wipe();
        if (rolled_back) bucket_.roll_back(1 + pick(3));
        // Whatever does that to a server ends its connections as well.
        for (UnderWay& write : under_way_) {
            if ((wiped || rolled_back) && write.way == Way::arrived) write.way = Way::gone;
        }
        if (watch_.blind ? chance(3) : chance(20)) bucket_.open(watch_);
    }

    void read_watch() {
        for (unsigned messages = 1 + pick(6); messages > 0 && !watch_.unread.empty() && fine(); --messages) {
            const Message message = watch_.unread.front();
            watch_.unread.pop_front();
            const std::string& key = message.key;
            switch (message.kind) {
                case Message::Kind::opened:
                    tally_.states_opened();
                    model_.states_opened();
                    break;
                case Message::Kind::loaded:
                    done(model_.targets(), [&] {
                        tally_.states_loaded(now_, actions_);
                        model_.states_loaded(now_);
                    });
                    break;
                case Message::Kind::spoiled:
                    done({key}, [&] {
                        tally_.unreadable_state(key, message.revision, now_, actions_);
                        model_.unreadable_state(key, message.revision, now_);
                    });
                    break;
                case Message::Kind::value: {
                    tally_.state(key, message.state, message.revision, message.by_aggregator, now_, actions_);
                    const bool news =
                        model_.state(key, message.state, message.revision, message.by_aggregator, now_);
                    compare(news ? std::set{key} : std::set<std::string>{});
                    break;
                }
                case Message::Kind::removed: {
                    tally_.state_removed(key, message.revision, message.by_aggregator, now_, actions_);
                    const bool news =
                        model_.state_removed(key, message.revision, message.by_aggregator, now_);
                    compare(news ? std::set{key} : std::set<std::string>{});
                    break;
                }
            }
        }
    }

    void answer(UnderWay& write, Written outcome) {
        if (std::exchange(write.answered, true)) return;
        const std::uint64_t revision = outcome == Written::stored ? *write.revision : 0;
        done({write.key}, [&] {
            tally_.written(write.key, outcome, write.expected, revision, now_, actions_);
            model_.written(write.key, outcome, write.expected, revision, now_);
        });
    }

    void move_writes() {
        if (under_way_.empty()) return;
        const std::size_t i = pick(static_cast<unsigned>(under_way_.size()));
        UnderWay write = under_way_[i];
        const bool given_up = now_.mono - write.sent_at >= 2s;
        if (write.way == Way::sent) {
            // What was given up may arrive all the same.
            if (chance(given_up ? 2 : 12)) {
                write.way = Way::gone;
            } else if (!given_up || chance(2)) {
                write.revision = bucket_.write(write.key, write.state, write.expected);
                write.way = Way::arrived;
                if (chance(12)) write.way = Way::gone;  // its answer is lost
            }
        } else if (write.way == Way::arrived) {
            under_way_.erase(under_way_.begin() + static_cast<std::ptrdiff_t>(i));
            return answer(write, write.revision ? Written::stored : Written::lost);
        }
        under_way_[i].way = write.way;
        under_way_[i].revision = write.revision;
        if (!given_up) return;
        if (write.way == Way::gone) {
            under_way_.erase(under_way_.begin() + static_cast<std::ptrdiff_t>(i));
        } else {
            under_way_[i].answered = true;
        }
        answer(write, Written::failed);
    }

    void change_mind() {
        View& view = views_[{any(kModelWorkers), any(kModelTargets)}];
        view.opinion = any(
            std::vector<Opinion>{Opinion::up, Opinion::up, Opinion::down, Opinion::down, Opinion::undecided});
        view.reason = Reason::ok;
        if (view.opinion == Opinion::down) view.reason = chance(2) ? Reason::refused : Reason::timeout;
        view.role = chance(2) ? Role::primary : Role::replica;
        view.session = chance(2);
        Worker& worker = workers_[any(kModelWorkers)];
        if (chance(4)) worker.suspect = !worker.suspect;
    }

    contract::Ping new_ping(const std::string& name, const std::string& target) {
        Worker& worker = workers_[name];
        if (worker.run == 0 || chance(150)) {
            ++worker.run;
            worker.seq = 0;
            worker.clock = static_cast<std::int64_t>(pick(1'000'000'000)) - 3'000'000;
        }
        const View& view = views_[{name, target}];
        contract::Ping ping;
        ping.target = target;
        ping.worker = name;
        if (name < "w3") ping.site = "fra1";
        ping.run = fmt::format("{:016x}", worker.run);
        ping.seq = ++worker.seq;
        ping.mono_ms =
            std::chrono::duration_cast<milliseconds>(now_.mono.time_since_epoch()).count() + worker.clock;
        ping.at = now_.wall;
        ping.opinion = view.opinion;
        ping.verdict = view.opinion == Opinion::up ? Verdict::accepting : Verdict::no_response;
        ping.reason = view.reason;
        if (chance(10)) {
            ping.verdict = any(std::vector{Verdict::accepting, Verdict::rejecting, Verdict::no_response,
                                           Verdict::not_attempted, Verdict::inconclusive});
            ping.reason = any(std::vector{Reason::ok, Reason::starting_up, Reason::timeout, Reason::reset,
                                          Reason::refused, Reason::config, Reason::observer_stalled});
            if (ping.reason == Reason::starting_up) ping.sqlstate = "57P03";
        }
        if (chance(2)) ping.rtt_us = pick(1000);
        ping.suspect = worker.suspect;
        if (view.session) {
            ping.role = view.role;
            ping.writable = view.role == Role::primary;
            if (!chance(4)) {
                if (chance(30)) ++lives_;
                // A late ping tells of the life before.
                ping.started_at = kModelStart + std::chrono::seconds{chance(10) ? lives_ / 3 : lives_ / 2};
                if (lives_ % 2 == 1) ping.crashed_at = *ping.started_at + std::chrono::seconds{lives_};
            }
        }
        return ping;
    }

    void ping() {
        const std::string& target = chance(50) ? std::string{"stranger"} : any(kModelTargets);
        contract::Ping ping = new_ping(any(kModelWorkers), target);
        pings_.push_back(ping);
        if (chance(12)) return;  // on its way for longer, or lost
        if (chance(8)) {
            // One that was heard before, or was not heard yet.
            ping = pings_[pings_.size() - 1 - pick(std::min(200U, static_cast<unsigned>(pings_.size())))];
        } else if (workers_[ping.worker].heard_run == workers_[ping.worker].run && chance(60)) {
            ping.mono_ms += static_cast<std::int64_t>(++future_) * 3'600'000;
        }
        const Heard heard = tally_.ping(ping, now_, actions_);
        const Heard expected = model_.ping(ping, now_);
        ASSERT_EQ(static_cast<int>(heard), static_cast<int>(expected)) << encode(ping);
        const bool of_known_run = heard != Heard::unknown_target && heard != Heard::not_tallied;
        if (of_known_run) workers_[ping.worker].heard_run = workers_[ping.worker].run;
        const bool counts = heard == Heard::counted || heard == Heard::no_observer;
        compare(counts ? std::set{ping.target} : std::set<std::string>{});
    }
};

class AggregatorModel : public testing::TestWithParam<std::uint32_t> {};

TEST_P(AggregatorModel, AgreesWithTheTally) {
    Walk walk{GetParam()};
    for (int step = 0; step < 1500 && walk.fine(); ++step) {
        SCOPED_TRACE(fmt::format("seed {}, step {}", GetParam(), step));
        walk.step();
    }
    EXPECT_GT(walk.puts(), 5U);
    walk.come_to_rest();
    walk.expect_the_buckets_word();
}

INSTANTIATE_TEST_SUITE_P(Seeds, AggregatorModel, testing::Range(1U, 41U));

}  // namespace
}  // namespace pgpulse::aggregator
