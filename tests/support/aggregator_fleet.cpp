#include "tests/support/aggregator_fleet.hpp"

#include "aggregator/partitions.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <variant>

namespace pgpulse::support {

using aggregator::PutState;
using aggregator::RemoveState;
using aggregator::Written;
using contract::Opinion;
using contract::Reason;
using contract::Verdict;
using Message = StateBucketModel::Message;

namespace {

/// A write without an answer is given up.
constexpr AggregatorFleet::Time kAnswerTimeout{2000};

}  // namespace

AggregatorFleet::Time AggregatorFleet::delay() {
    return Time{static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(longest_delay.count() + 1))};
}

AggregatorFleet::Aggregator& AggregatorFleet::start(const std::string& id) {
    auto& slot = aggregators[id];
    slot = std::make_unique<Aggregator>(id, bucket.add_watch());
    Aggregator& started = *slot;
    started.tally.members(probes_, now, started.actions);
    for (const auto& [name, definition] : definitions_)
        started.tally.definition(definition, now, started.actions);
    for (const std::string& name : undefined_) started.tally.definition_removed(name, now, started.actions);
    started.tally.definitions_loaded(now, started.actions);
    bucket.open(started.watch);
    rank_all();
    read(started);
    return started;
}

void AggregatorFleet::kill(const std::string& id) {
    aggregators.at(id)->watch.blind = true;
    aggregators.erase(id);
    rank_all();
}

void AggregatorFleet::rank_all() {
    std::vector<std::string> ids;
    for (const auto& [id, each] : aggregators) ids.push_back(id);
    for (const auto& [id, each] : aggregators) {
        later(*each, "members", [this, id = id, ids, &to = *each] {
            to.tally.ranks(aggregator::ranks_of(id, ids), now, to.actions);
        });
    }
}

void AggregatorFleet::define(const contract::TargetDefinition& definition) {
    definitions_[definition.name] = definition;
    undefined_.erase(definition.name);
    for (const auto& [id, each] : aggregators) {
        later(*each, "definitions",
              [this, definition, &to = *each] { to.tally.definition(definition, now, to.actions); });
    }
}

void AggregatorFleet::undefine(const std::string& target) {
    definitions_.erase(target);
    undefined_.insert(target);
    for (const auto& [id, each] : aggregators) {
        later(*each, "definitions",
              [this, target, &to = *each] { to.tally.definition_removed(target, now, to.actions); });
    }
}

void AggregatorFleet::members(const std::vector<std::string>& probes) {
    probes_ = probes;
    for (const auto& [id, each] : aggregators) {
        later(*each, "members", [this, probes, &to = *each] { to.tally.members(probes, now, to.actions); });
    }
}

void AggregatorFleet::publish(const contract::Ping& ping) {
    for (const auto& [id, each] : aggregators) {
        if (each->unheard.contains(ping.worker)) continue;
        later(*each, ping.worker,
              [this, ping, &to = *each] { ++to.heard[to.tally.ping(ping, now, to.actions)]; });
    }
}

void AggregatorFleet::reopen(Aggregator& aggregator) { bucket.open(aggregator.watch); }

void AggregatorFleet::later(Aggregator& to, const std::string& kind, std::function<void()> what, Time least) {
    Mono& last = to.last[kind];
    last = std::max(last, now.mono + std::max(least, delay()));
    to.inbox.emplace(last, std::move(what));
    if (longest_delay > Time{0} || least > Time{0}) return;
    // Without delays all is done at once.
    while (!to.inbox.empty() && to.inbox.begin()->first <= now.mono) {
        const auto next = to.inbox.extract(to.inbox.begin());
        next.mapped()();
        carry_out(to);
    }
}

void AggregatorFleet::carry_out(Aggregator& aggregator) {
    const auto actions = std::exchange(aggregator.actions, {});
    for (const aggregator::Action& action : actions) {
        if (const auto* const put = std::get_if<PutState>(&action))
            write(aggregator, put->state.target, put->state, put->expected, put->put_back);
        if (const auto* const remove = std::get_if<RemoveState>(&action))
            write(aggregator, remove->target, std::nullopt, remove->expected, false);
    }
}

void AggregatorFleet::write(Aggregator& by, const std::string& key,
                            const std::optional<contract::State>& state, std::uint64_t expected,
                            bool put_back) {
    const bool lost_on_its_way = random_() % 100 < writes_fail_of_100;
    const bool answer_lost = random_() % 100 < writes_fail_of_100;
    std::optional<std::uint64_t> revision;
    if (!lost_on_its_way) {
        const auto before = bucket.state_of(key);
        revision = bucket.write(key, state, expected);
        if (revision && state) stored.push_back({*state, before, put_back, state->decided_by, now.mono});
    }
    const bool failed = lost_on_its_way || answer_lost;
    const Written outcome = failed ? Written::failed : revision ? Written::stored : Written::lost;
    later(
        by, failed ? "timeouts" : "answers " + key,
        [this, key, expected, revision, outcome, losses = bucket.losses(), &by] {
            const Written learned = losses == bucket.losses() ? outcome : Written::failed;
            by.tally.written(key, learned, expected, learned == Written::stored ? *revision : 0, now,
                             by.actions);
        },
        failed ? kAnswerTimeout : Time{0});
    for (const auto& [id, each] : aggregators) {
        if (longest_delay == Time{0} && each.get() != &by) read(*each);
    }
}

void AggregatorFleet::read(Aggregator& aggregator) {
    while (!aggregator.watch.unread.empty()) {
        const Message message = aggregator.watch.unread.front();
        aggregator.watch.unread.pop_front();
        later(aggregator, "watch", [this, message, &to = aggregator] { told(to, message); });
    }
}

void AggregatorFleet::told(Aggregator& to, const Message& message) {
    switch (message.kind) {
        case Message::Kind::opened:
            return to.tally.states_opened();
        case Message::Kind::loaded:
            return to.tally.states_loaded(now, to.actions);
        case Message::Kind::spoiled:
            return to.tally.unreadable_state(message.key, message.revision, now, to.actions);
        case Message::Kind::removed:
            return to.tally.state_removed(message.key, message.revision, message.by_aggregator, now,
                                          to.actions);
        case Message::Kind::value:
            return to.tally.state(message.key, message.state, message.revision, message.by_aggregator, now,
                                  to.actions);
    }
}

void AggregatorFleet::pass(Time time) {
    for (const Mono end = now.mono + time; now.mono < end;) {
        const Time step = std::min(kTick, std::chrono::duration_cast<Time>(end - now.mono));
        now.mono += step;
        now.wall += step;
        for (const auto& [id, each] : aggregators) {
            read(*each);
            if (each->stopped_until > now.mono) continue;
            // What has arrived is handled before time is looked at.
            while (!each->inbox.empty() && each->inbox.begin()->first <= now.mono) {
                const auto next = each->inbox.extract(each->inbox.begin());
                next.mapped()();
                carry_out(*each);
            }
            if (each->hears_itself) {
                each->tally.echo(now);
                each->tally.stored_echo(now);
            }
            each->tally.tick(now, each->actions);
            carry_out(*each);
        }
    }
}

std::size_t AggregatorFleet::under_way() const {
    std::size_t count = 0;
    for (const auto& [id, each] : aggregators) count += each->inbox.size() + each->watch.unread.size();
    return count;
}

contract::TargetDefinition a_target(const std::string& name, const std::string& service) {
    contract::TargetDefinition definition;
    definition.name = name;
    definition.service = service.empty() ? name : service;
    definition.address = "127.0.0.1";
    return definition;
}

contract::Ping PingSource::says(const std::string& target, Opinion opinion, aggregator::Now now) {
    contract::Ping ping;
    ping.target = target;
    ping.worker = worker_;
    ping.run = fmt::format("{:016x}", run_);
    ping.seq = ++seq_;
    ping.mono_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.mono.time_since_epoch()).count();
    ping.at = now.wall;
    ping.opinion = opinion;
    ping.verdict = opinion == Opinion::down ? Verdict::no_response : Verdict::accepting;
    ping.reason = opinion == Opinion::down ? Reason::refused : Reason::ok;
    return ping;
}

contract::Ping PingSource::tells(const std::string& target, contract::Role role, aggregator::Now now,
                                 std::optional<contract::WallTime> started_at,
                                 std::optional<contract::WallTime> crashed_at) {
    contract::Ping ping = says(target, Opinion::up, now);
    ping.via = contract::Via::session;
    ping.role = role;
    ping.writable = role == contract::Role::primary;
    ping.started_at = started_at;
    ping.crashed_at = crashed_at;
    return ping;
}

}  // namespace pgpulse::support
