#include "probe/worker.hpp"
#include "tests/support/ping_results.hpp"

#include <gtest/gtest.h>

#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

// A worker over a simulated network: whatever its targets' paces and however its attempts fail, a blind
// observer reports no outage before it has doubted itself for two intervals, and one dead server among healthy
// ones is found as fast as by an observer that never doubts itself.
namespace pgpulse::probe {
namespace {

using namespace std::chrono_literals;
using contract::Opinion;
using contract::Reason;
using contract::Verdict;
using std::chrono::milliseconds;

constexpr milliseconds kTurn{5};

/// How an attempt that started just now ends; empty: in silence.
struct Attempt {
    milliseconds after{};
    PingResult result;
};
using Answer = std::optional<Attempt>;

/// One result as the worker took it.
struct Heard {
    Mono at{};
    contract::Ping ping;
    Opinion without_doubt{};  // what an observer that never doubts itself holds
};

class Observer {
  public:
    /// `answer` says how an attempt to reach this target ends that starts at this time.
    explicit Observer(std::function<Answer(TargetIndex, Mono)> answer) : answer_(std::move(answer)) {}

    Mono now{1000s};
    std::vector<Heard> heard;

    void observe(const std::vector<contract::TargetDefinition>& definitions) {
        for (const contract::TargetDefinition& definition : definitions) {
            const TargetIndex index = worker_.put_target(definition, now);
            RC_ASSERT(index == plain_.size());
            definitions_.push_back(definition);
            plain_.emplace_back();
        }
    }

    void run(milliseconds time) {
        for (const Mono end = now + time; now < end; now += kTurn) turn();
    }

  private:
    struct UnderWay {
        PingId ping;
        PingResult result;
    };

    Worker worker_{{"w1", "", "00000000000000aa"}, {1000, 250, 10'000}};
    std::function<Answer(TargetIndex, Mono)> answer_;
    std::multimap<Mono, UnderWay> under_way_;  // by when they end
    std::vector<contract::TargetDefinition> definitions_;
    std::vector<OpinionTracker> plain_;
    std::map<std::pair<std::uint32_t, std::uint32_t>, Mono> started_;

    void turn() {
        while (!under_way_.empty() && under_way_.begin()->first <= now) {
            const UnderWay ended = under_way_.begin()->second;
            under_way_.erase(under_way_.begin());
            finish(ended.ping, ended.result);
        }
        std::vector<Action> actions;
        worker_.tick(now, 1000, actions);
        for (const Action& action : actions) {
            if (const auto* const start = std::get_if<StartPing>(&action)) {
                started_[{start->ping.slot, start->ping.generation}] = now;
                if (const Answer answer = answer_(start->target, now))
                    under_way_.emplace(now + answer->after, UnderWay{start->ping, answer->result});
            } else {
                finish(std::get<ExpirePing>(action).ping, kTimeout);
            }
        }
    }

    void finish(PingId id, const PingResult& result) {
        if (!worker_.under_way(id)) return;
        const TargetIndex target = worker_.target_of(id);
        const auto finding = worker_.finished(id, result, now, kWall);
        RC_ASSERT(finding.has_value());
        const contract::TargetDefinition& definition = definitions_[target];
        plain_[target].feed(result.verdict, started_.at({id.slot, id.generation}),
                            {definition.rise, definition.fall});
        heard.push_back({now, finding->ping, plain_[target].opinion()});
    }
};

milliseconds any_of(int low, int high) { return milliseconds{*rc::gen::inRange(low, high + 1)}; }

/// Timeouts for which the properties hold: a control that is called when a first failure has ended fails within
/// the window. They are short, or one for all.
milliseconds any_timeout(bool short_ones) { return short_ones ? any_of(50, 700) : 2000ms; }

milliseconds any_interval(bool short_ones) {
    return short_ones ? *rc::gen::element(200ms, 700ms, 1000ms, 10'000ms) : any_of(4000, 10'000);
}

contract::TargetDefinition any_definition(std::size_t number, milliseconds interval, milliseconds timeout,
                                          milliseconds fast, std::uint32_t fall) {
    contract::TargetDefinition target;
    target.name = target.service = "db" + std::to_string(number);
    target.address = "10.0.0.1";
    target.interval = interval;
    target.timeout = timeout;
    target.fast_interval = std::min(fast, target.interval);
    target.rise = *rc::gen::inRange(1U, 4U);
    target.fall = fall;
    return target;
}

enum class Blindness { unreachable, reset, silent, mixed };

Answer of_the_blind(Blindness blindness, std::uint64_t attempt) {
    switch (blindness) {
        case Blindness::unreachable:
            return Attempt{0ms, kUnreachable};
        case Blindness::reset:
            return Attempt{milliseconds{attempt % 7}, kReset};
        case Blindness::silent:
            return std::nullopt;
        case Blindness::mixed:
            return of_the_blind(static_cast<Blindness>(attempt * 0x9e3779b9U / 3 % 3), attempt);
    }
    return std::nullopt;
}

/// How long a healthy server takes to answer.
milliseconds delay_of(TargetIndex target, std::uint64_t attempt, milliseconds longest) {
    return milliseconds{(std::uint64_t{target} * 7 + attempt * 13) %
                        static_cast<std::uint64_t>(longest.count() + 1)};
}

RC_GTEST_PROP(DoubtRandomly, ABlindObserverReportsNoOutageWithinTwoIntervals, ()) {
    const auto healthy = *rc::gen::inRange<std::size_t>(5, 25);
    const auto dead = *rc::gen::inRange<std::size_t>(0, 3);
    const auto blindness =
        *rc::gen::element(Blindness::unreachable, Blindness::reset, Blindness::silent, Blindness::mixed);
    const bool short_intervals = *rc::gen::arbitrary<bool>();
    const bool short_timeouts = *rc::gen::arbitrary<bool>();
    // Slow servers have several pings under way when the observer goes blind.
    const milliseconds slowest = any_of(20, short_timeouts ? 25 : 900);
    std::vector<contract::TargetDefinition> definitions;
    auto shortest = milliseconds::max();
    for (std::size_t i = 0; i < healthy + dead; ++i) {
        definitions.push_back(any_definition(i, any_interval(short_intervals), any_timeout(short_timeouts),
                                             any_of(10, 250), *rc::gen::inRange(2U, 6U)));
        shortest = std::min(shortest, definitions.back().interval);
    }
    Mono blind_from = Mono::max();
    std::uint64_t attempts = 0;
    Observer observer{[&](TargetIndex target, Mono now) -> Answer {
        ++attempts;
        if (now >= blind_from) return of_the_blind(blindness, attempts);
        if (target >= healthy) return std::nullopt;
        return Attempt{delay_of(target, attempts, slowest), kAccepting};
    }};
    observer.observe(definitions);
    observer.run(any_of(0, 4000));
    blind_from = observer.now;
    observer.heard.clear();
    observer.run(2 * shortest);

    for (const Heard& result : observer.heard) {
        if (result.ping.opinion != Opinion::down) continue;
        const auto number = std::stoul(result.ping.target.substr(2));
        RC_ASSERT(number >= healthy);  // what was dead before may be found dead
    }
}

RC_GTEST_PROP(DoubtRandomly, ALoneDeadTargetIsFoundAsFastAsWithoutDoubt, ()) {
    const auto others = *rc::gen::inRange<std::size_t>(1, 25);
    const milliseconds fast = any_of(20, 250);
    const auto blindness =
        *rc::gen::element(Blindness::unreachable, Blindness::reset, Blindness::silent, Blindness::mixed);
    const bool short_intervals = *rc::gen::arbitrary<bool>();
    const bool short_timeouts = *rc::gen::arbitrary<bool>();
    std::vector<contract::TargetDefinition> definitions;
    for (std::size_t i = 0; i <= others; ++i)
        definitions.push_back(any_definition(i, any_interval(short_intervals), any_timeout(short_timeouts),
                                             fast, *rc::gen::inRange(2U, 6U)));
    Mono dead_from = Mono::max();
    std::uint64_t attempts = 0;
    Observer observer{[&](TargetIndex target, Mono now) -> Answer {
        ++attempts;
        if (target == 0 && now >= dead_from) return of_the_blind(blindness, attempts);
        return Attempt{delay_of(target, attempts, std::min(fast / 4, 40ms)), kAccepting};
    }};
    observer.observe(definitions);
    observer.run(4s);  // all are up by then
    dead_from = observer.now;
    observer.heard.clear();
    observer.run(20s);

    std::optional<Mono> found;
    std::optional<Mono> found_without_doubt;
    for (const Heard& result : observer.heard) {
        if (result.ping.target != "db0") {
            RC_ASSERT(result.ping.opinion == Opinion::up);
            continue;
        }
        RC_ASSERT(!result.ping.suspect);
        if (!found && result.ping.opinion == Opinion::down) found = result.at;
        if (!found_without_doubt && result.without_doubt == Opinion::down) found_without_doubt = result.at;
    }
    RC_ASSERT(found.has_value());
    RC_ASSERT(found_without_doubt.has_value());
    if (others + 1 < Doubt::kFewest) RC_ASSERT(*found == *found_without_doubt);
    // The controls may answer after the failure that would have decided, and then the next one does. Of
    // failures of several kinds that can be a silent one.
    const milliseconds next =
        definitions[0].fast_interval + (blindness == Blindness::mixed ? definitions[0].timeout : 0ms);
    RC_ASSERT(*found - *found_without_doubt <= next + 2 * kTurn);
}

}  // namespace
}  // namespace pgpulse::probe
