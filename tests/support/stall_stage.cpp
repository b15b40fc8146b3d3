#include "tests/support/stall_stage.hpp"

#include "common/contract/target.hpp"
#include "tests/support/targets_bucket.hpp"
#include "tests/support/wait_until.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <stdexcept>

namespace pgpulse::support {
namespace {

using namespace std::chrono_literals;
using contract::Ping;
using contract::State;
using std::chrono::milliseconds;

/// So many stand at a PostgreSQL server itself: each ping costs it a fork, which on a virtual machine takes tens of
/// milliseconds of a processor. A stage that takes all of them makes its own targets late, and is never well.
constexpr int kAtPostgres = 1;
constexpr auto kOneWay = 30ms;
constexpr auto kWhile = 1000ms;  // longer than any ping is under way
/// A state rests on pings that are no older.
constexpr auto kLongestFreshness = 10'000ms;
constexpr std::size_t kShown = 20;

}  // namespace

StallStage::StallStage(const StallStageOptions& options)
    : to_postgres(postgres.port(), kOneWay),
      to_pooler(pooler.port(), kOneWay),
      connection(connect_with_targets_bucket(nats.url())),
      ledger(std::make_unique<CoverageLedger>(*connection, 2 * options.interval)),
      told(std::make_unique<ToldStates>(*connection)),
      options_(options) {
    for (int i = 0; i < options.targets; ++i) define(i);
    if (!connection->flush(5s)) throw std::runtime_error{"NATS does not take definitions"};
}

void StallStage::define(int number) const {
    contract::TargetDefinition target;
    target.name = target.service = "db" + std::to_string(number);
    target.address = "127.0.0.1";
    target.port = number < kAtPostgres ? to_postgres.port() : to_pooler.port();
    target.interval = options_.interval;
    target.rise = options_.rise;
    target.fall = options_.fall;
    target.observers = kObservers;
    // Every other one takes a second round trip, which is begun in time and answered too late.
    target.sslmode = number % 2 == 0 ? contract::SslMode::disable : contract::SslMode::prefer;
    put_target(*connection, target);
}

bool StallStage::start(const std::vector<std::string>& more) {
    const std::vector<std::string> common{"--nats", nats.url()};
    std::vector<std::string> arguments = common;
    arguments.insert(arguments.end(), more.begin(), more.end());
    ProcessOptions with_clock;
    if (options_.settable_clock) with_clock.environment = clock.environment();
    for (int i = 1; i <= kAggregators; ++i) {
        aggregators.push_back(std::make_unique<Daemon>("pgpulse-aggregator", "a" + std::to_string(i), common,
                                                       i == 1 ? with_clock : ProcessOptions{}));
    }
    for (int i = 1; i <= kWorkers; ++i) {
        workers.push_back(std::make_unique<Daemon>("pgpulse-probe", "w" + std::to_string(i), arguments,
                                                   i <= kWorkers / 2 ? with_clock : ProcessOptions{}));
    }
    return all_is_well();
}

bool StallStage::all_is_well() {
    return wait_until(
        [&] {
            const CoverageLedger::Owners owners = ledger->owners();
            if (!accusations(mono_ms() - 2 * kWhile.count()).empty()) return false;
            if (std::ssize(owners) != options_.targets || ledger->holding_up() != owners) return false;
            std::set<std::string> seen;
            for (const auto& [target, by] : owners) {
                const auto newest = told->newest(target);
                if (by.size() != kObservers || !newest || newest->state != contract::Health::up) return false;
                seen.insert(by.begin(), by.end());
            }
            return seen.size() == kWorkers && std::ranges::all_of(aggregators, [](const auto& aggregator) {
                       return aggregator->readiness() == 200;
                   });
        },
        60s);
}

std::vector<Ping> StallStage::accusations(std::int64_t since) {
    std::vector<Ping> found = ledger->accusations(since);
    std::erase_if(found, [&](const Ping& ping) {
        const std::chrono::steady_clock::time_point ended{milliseconds{ping.mono_ms}};
        const auto began = ended - kWhile;
        return ended > std::chrono::steady_clock::now() - kWhile || to_postgres.was_late(began, ended) ||
               to_pooler.was_late(began, ended);
    });
    return found;
}

std::vector<State> StallStage::false_states(std::uint64_t above) {
    const std::int64_t now_ms = mono_ms();
    const auto now = std::chrono::system_clock::now();
    std::vector<State> found;
    for (const ToldState& stored : stored_states(*connection)) {
        if (stored.revision <= above) continue;
        if (!stored.state) throw std::runtime_error{stored.target + ": its state was deleted"};
        const State& state = *stored.state;
        if (state.state == contract::Health::up) continue;
        // Excused is whoever is `down` by pings that are excused.
        const std::int64_t at =
            now_ms - std::chrono::duration_cast<milliseconds>(now - stored.stored_at).count();
        const auto count = [&](const std::vector<Ping>& pings) {
            return std::ranges::count_if(pings, [&](const Ping& ping) {
                return ping.target == state.target && ping.mono_ms <= at + kWhile.count();
            });
        };
        const std::int64_t since = at - kLongestFreshness.count();
        const bool excused = state.state == contract::Health::down && count(ledger->accusations(since)) > 0 &&
                             count(accusations(since)) == 0;
        if (!excused) found.push_back(state);
    }
    return found;
}

std::uint64_t StallStage::revision() const { return stored_states(*connection).back().revision; }

bool StallStage::accused_within(milliseconds time, std::int64_t since) {
    return wait_until([&] { return !accusations(since).empty(); }, time);
}

bool StallStage::stop_workers(std::size_t count, milliseconds stop, milliseconds interval,
                              std::int64_t since) {
    std::vector<Process*> stopped;
    while (stopped.size() < count) stopped.push_back(&workers[next_++ % workers.size()]->process());
    for (Process* const process : stopped) process->stop();
    const bool accused = accused_within(stop, since);
    for (const Process* const process : stopped) process->cont();
    return accused_within(interval, since) || accused;
}

std::string StallStage::logs() const {
    std::string text;
    for (std::size_t i = 0; i < workers.size(); ++i)
        text += fmt::format("w{}:\n{}", i + 1, workers[i]->log());
    for (std::size_t i = 0; i < aggregators.size(); ++i)
        text += fmt::format("a{}:\n{}", i + 1, aggregators[i]->log());
    return text;
}

std::string shown(const std::vector<State>& states) {
    std::string text = fmt::format("{} states\n", states.size());
    for (std::size_t i = 0; i < std::min(states.size(), kShown); ++i) text += encode(states[i]) + '\n';
    return text;
}

}  // namespace pgpulse::support
