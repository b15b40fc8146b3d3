#include "common/cluster/membership.hpp"

#include <gtest/gtest.h>

#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <vector>

// Several members over one simulated bucket: messages come late, programs are killed, stopped and started,
// and the bus goes away, in any order.
namespace pgpulse::cluster {
namespace {

using namespace std::chrono_literals;
using contract::Member;
using contract::MemberKind;
using contract::MemberPhase;
using std::chrono::milliseconds;
using Mono = Membership::Mono;
using Standing = Membership::Standing;
using Names = std::vector<std::string>;

constexpr milliseconds kStep{10};
constexpr milliseconds kRandomTick{50};
constexpr milliseconds kLatency{100};  // at most

/// What the bucket stores: a value, or a delete marker.
struct Entry {
    Member member;
    bool removed = false;
    std::uint64_t number = 0;
    Mono at{};
};

/// One program: the core as its shell drives it.
struct Program {
    explicit Program(const Member& own) : membership(own), id(own.id) {}

    Membership membership;
    std::string id;
    Mono connected_at{};  // it is connected from then on
    Mono goes_on_at{};    // it is stopped until then
    Mono next_refresh{};
    std::deque<std::pair<Mono, Entry>> under_way;  // to it, by when they arrive
    std::uint64_t told = 0;                        // the newest entry that is under way or was heard
    bool connected = false;
    Names first_view;  // since the last `mark_views`
    bool view_changed = false;
};

class Simulation {
  public:
    explicit Simulation(std::uint32_t seed) : random_(seed) {}

    Mono now{1000s};
    std::vector<std::unique_ptr<Program>> programs;  // those alive

    [[nodiscard]] Program* find(const std::string& id) {
        for (const auto& program : programs) {
            if (program->id == id) return program.get();
        }
        return nullptr;
    }

    void start(const std::string& id) {
        std::string run;
        for (int i = 0; i < 16; ++i) run += "0123456789abcdef"[random_() % 16];
        auto program =
            std::make_unique<Program>(Member{MemberKind::probe, id, run, "", MemberPhase::starting});
        program->connected_at = std::max(now, bus_back_at_ + up_to(spread_));
        programs.push_back(std::move(program));
    }

    void kill(const Program* program) {
        std::erase_if(programs, [program](const auto& each) { return each.get() == program; });
    }

    void leave(Program* program) {
        if (program->connected && program->membership.standing() != Standing::taken &&
            program->membership.rival(now).empty()) {
            publish({program->membership.own(), true, 0, {}});
        }
        kill(program);
    }

    void stop(Program* program, milliseconds time) { program->goes_on_at = now + time; }

    /// Nothing reaches the bucket until then. Programs find it again one after the other.
    void interrupt(milliseconds time) {
        // Where one program has found the bus again within kEchoGap another one may not be away for a TTL:
        // that is not to be told from its death.
        spread_ = time > 1200ms ? 2000ms : std::min(time, 1300ms - time);
        bus_back_at_ = now + time;
        for (const auto& program : programs) {
            program->connected = false;
            program->connected_at = bus_back_at_ + up_to(spread_);
        }
    }

    void pass(milliseconds time) {
        for (const Mono end = now + time; now < end; now += kStep) {
            for (std::size_t i = 0; i < programs.size(); ++i) {
                // Each turns at instants of its own.
                if ((now.time_since_epoch() / kStep + static_cast<std::int64_t>(i)) % (kRandomTick / kStep) ==
                    0)
                    turn(*programs[i]);
            }
        }
    }

    /// The bus is there and nobody is stopped, for long enough.
    void quiet() {
        Mono over = std::max(now, bus_back_at_ + spread_);
        for (const auto& program : programs) over = std::max(over, program->goes_on_at);
        pass(std::chrono::ceil<milliseconds>(over - now) + 12s);
    }

    [[nodiscard]] Names living() const {
        Names names;
        for (const auto& program : programs) names.push_back(program->id);
        std::ranges::sort(names);
        return names;
    }

    [[nodiscard]] auto serving() const {
        return std::ranges::count_if(programs, [](const auto& program) {
            return program->membership.standing() == Standing::serving;
        });
    }

    void mark_views() {
        for (const auto& program : programs) {
            program->first_view = program->membership.view().probes;
            program->view_changed = false;
        }
    }

    [[nodiscard]] std::size_t most_that_served() const { return most_that_served_; }

  private:
    milliseconds up_to(milliseconds most) {
        return milliseconds{std::uniform_int_distribution<std::int64_t>{0, most.count()}(random_)};
    }

    void publish(Entry entry) {
        entry.number = ++entries_;
        entry.at = now;
        bucket_[entry.member.id] = entry;
        for (const auto& program : programs) {
            if (program->connected) send(*program, entry);
        }
    }

    void send(Program& program, const Entry& entry) {
        const Mono arrives = now + up_to(kLatency);
        auto& under_way = program.under_way;
        under_way.emplace_back(under_way.empty() ? arrives : std::max(arrives, under_way.back().first),
                               entry);
        program.told = entry.number;
    }

    /// The watch goes on where it was: the newest value of each key that has not expired.
    void connect(Program& program) {
        program.connected = true;
        std::vector<Entry> stored;
        for (const auto& [id, entry] : bucket_) {
            if (entry.number > program.told && now - entry.at <= Membership::kTtl) stored.push_back(entry);
        }
        std::ranges::sort(stored, {}, &Entry::number);
        for (const Entry& entry : stored) send(program, entry);
    }

    void turn(Program& program) {
        // The server's data waits for a stopped program.
        if (!program.connected && now >= program.connected_at) connect(program);
        if (now < program.goes_on_at) return;
        Membership& membership = program.membership;
        for (; !program.under_way.empty() && program.under_way.front().first <= now;
             program.under_way.pop_front()) {
            const Entry& entry = program.under_way.front().second;
            if (entry.removed) {
                membership.left(entry.member.kind, entry.member.id);
            } else {
                membership.heard(entry.member, now);
            }
        }
        const bool served = membership.standing() == Standing::serving;
        membership.tick(now);
        if (membership.view().probes != program.first_view) program.view_changed = true;
        most_that_served_ = std::max(most_that_served_, static_cast<std::size_t>(serving()));
        if (membership.standing() == Standing::taken) return;
        if (!served && membership.standing() == Standing::serving) program.next_refresh = now;
        if (!program.connected || now < program.next_refresh) return;
        program.next_refresh = now + Membership::kRefresh;
        publish({membership.own(), false, 0, {}});
    }

    std::mt19937 random_;
    std::map<std::string, Entry> bucket_;
    std::uint64_t entries_ = 0;
    std::size_t most_that_served_ = 0;
    Mono bus_back_at_{};
    milliseconds spread_{0};
};

std::string name_of(int member) { return "w" + std::to_string(member); }

/// What happens, to which member, for how long, and how long it takes until something else does.
using Event = std::tuple<int, int, milliseconds, milliseconds>;

rc::Gen<milliseconds> a_time(int from, int below) {
    return rc::gen::map(rc::gen::inRange(from, below), [](int ms) { return milliseconds{ms}; });
}

constexpr int kMembers = 5;

rc::Gen<std::vector<Event>> events() {
    return rc::gen::container<std::vector<Event>>(rc::gen::tuple(
        rc::gen::inRange(0, 6), rc::gen::inRange(0, kMembers), a_time(0, 8000), a_time(0, 4000)));
}

RC_GTEST_PROP(MembershipRandomly, AfterQuietTimeAllLivingSeeTheSameAndThatIsTheLiving, ()) {
    Simulation simulation{*rc::gen::arbitrary<std::uint32_t>()};
    for (int member = 0; member < kMembers; ++member) simulation.start(name_of(member));
    for (const auto& [what, who, time, until_next] : *events()) {
        Program* const program = simulation.find(name_of(who));
        switch (what) {
            case 0:
                if (program != nullptr) simulation.kill(program);
                break;
            case 1:
                if (program != nullptr) simulation.leave(program);
                break;
            case 2:
                if (program != nullptr) simulation.stop(program, time);
                break;
            case 3:
                simulation.interrupt(time);
                break;
            default:  // killed and started at once, where it was alive
                if (program != nullptr) simulation.kill(program);
                simulation.start(name_of(who));
        }
        simulation.pass(until_next);
    }
    simulation.quiet();
    for (const auto& program : simulation.programs) {
        RC_ASSERT(program->membership.steady(simulation.now));
        RC_ASSERT(program->membership.view().probes == simulation.living());
    }
}

RC_GTEST_PROP(MembershipRandomly, AnOutageOfTheBusAloneChangesNobodysView, ()) {
    Simulation simulation{*rc::gen::arbitrary<std::uint32_t>()};
    for (int member = 0; member < kMembers; ++member) simulation.start(name_of(member));
    simulation.quiet();
    simulation.mark_views();
    // Of any length, and the next one may come before the last one is got over.
    const auto outages = *rc::gen::container<std::vector<std::pair<milliseconds, milliseconds>>>(
        rc::gen::pair(rc::gen::oneOf(a_time(0, 2000), a_time(0, 30'000)), a_time(0, 6000)));
    for (const auto& [time, until_next] : outages) {
        simulation.interrupt(time);
        simulation.pass(time + 2500ms + until_next);
    }
    simulation.quiet();
    for (const auto& program : simulation.programs) {
        RC_ASSERT(!program->view_changed);
        RC_ASSERT(program->membership.steady(simulation.now));
        RC_ASSERT(program->membership.view().probes == simulation.living());
    }
}

RC_GTEST_PROP(MembershipRandomly, AStopOfOneMemberNeverChangesItsOwnView, ()) {
    Simulation simulation{*rc::gen::arbitrary<std::uint32_t>()};
    for (int member = 0; member < kMembers; ++member) simulation.start(name_of(member));
    simulation.quiet();
    simulation.mark_views();
    for (const auto& [time, until_next] :
         *rc::gen::container<std::vector<std::pair<milliseconds, milliseconds>>>(
             rc::gen::pair(a_time(0, 10'000), a_time(0, 6000)))) {
        simulation.stop(simulation.find(name_of(0)), time);
        simulation.pass(time + until_next);
    }
    RC_ASSERT(!simulation.find(name_of(0))->view_changed);
}

RC_GTEST_PROP(MembershipRandomly, OfSeveralRunsOfOneIdOneServesAndNeverTwoDo, ()) {
    Simulation simulation{*rc::gen::arbitrary<std::uint32_t>()};
    for (const auto& [what, who, time, until_next] : *events()) {
        if (what < 4) {
            simulation.start("same");
        } else if (!simulation.programs.empty()) {
            simulation.kill(
                simulation.programs[static_cast<std::size_t>(who) % simulation.programs.size()].get());
        }
        simulation.pass(until_next);
    }
    simulation.quiet();
    // Which gave up would have ended.
    const auto taken = std::ranges::count_if(simulation.programs, [](const auto& program) {
        return program->membership.standing() == Standing::taken;
    });
    const auto all = static_cast<std::ptrdiff_t>(simulation.programs.size());
    RC_ASSERT(simulation.most_that_served() <= 1U);
    RC_ASSERT(simulation.serving() + taken == all);
}

}  // namespace
}  // namespace pgpulse::cluster
