#include "probe/worker.hpp"

#include <algorithm>
#include <tuple>

namespace pgpulse::probe {
namespace {

/// FNV-1a, 64 bit.
std::uint64_t hash_of(std::string_view text) {
    std::uint64_t hash = 0xcbf29ce484222325ULL;
    for (const char c : text) {
        hash ^= static_cast<unsigned char>(c);
        hash *= 0x100000001b3ULL;
    }
    return hash;
}

Schedule::Pace pace_of(const contract::TargetDefinition& definition) {
    return {definition.interval, definition.fast_interval};
}

}  // namespace

bool same_endpoint(const contract::TargetDefinition& a, const contract::TargetDefinition& b) {
    const auto endpoint = [](const contract::TargetDefinition& d) {
        return std::tie(d.address, d.port, d.user, d.database, d.mode, d.sslmode, d.sslrootcert, d.sslcert,
                        d.sslkey, d.credentials);
    };
    return endpoint(a) == endpoint(b);
}

Worker::Worker(Identity identity, Schedule::Limits limits)
    : identity_(std::move(identity)), schedule_(limits, hash_of(identity_.id)) {}

TargetIndex Worker::put_target(const contract::TargetDefinition& definition, Mono now) {
    if (const auto known = by_name_.find(definition.name); known != by_name_.end()) {
        Target& target = targets_[known->second];
        const bool moved = !same_endpoint(target.definition, definition);
        const bool repaced = target.definition.interval != definition.interval ||
                             target.definition.fast_interval != definition.fast_interval;
        target.definition = definition;
        if (moved) {
            ++target.endpoint;
            target.opinion = {};
            schedule_.set_settled(known->second, false, now);
        }
        if (moved || repaced) schedule_.change(known->second, pace_of(definition), now);
        return known->second;
    }
    TargetIndex index = static_cast<TargetIndex>(targets_.size());
    if (free_targets_.empty()) {
        targets_.emplace_back();
    } else {
        index = free_targets_.back();
        free_targets_.pop_back();
    }
    Target& target = targets_[index];
    target.definition = definition;
    target.opinion = {};
    target.present = true;
    ++target.life;
    by_name_.emplace(definition.name, index);
    schedule_.add(index, hash_of(definition.name), pace_of(definition), now);
    return index;
}

std::optional<TargetIndex> Worker::remove_target(std::string_view name) {
    const auto known = by_name_.find(std::string{name});
    if (known == by_name_.end()) return std::nullopt;
    const TargetIndex index = known->second;
    by_name_.erase(known);
    targets_[index].present = false;
    targets_[index].definition = {};
    free_targets_.push_back(index);
    schedule_.remove(index);
    return index;
}

void Worker::tick(Mono now, std::size_t starts, std::vector<Action>& actions) {
    hear_time(now);
    while (!deadlines_.empty() && deadlines_.top().at <= now) {
        const PingId ping = deadlines_.top().ping;
        deadlines_.pop();
        if (under_way(ping)) actions.emplace_back(ExpirePing{ping});
    }
    for (; starts > 0; --starts) {
        const auto start = schedule_.next_start(now);
        if (!start) return;
        const Target& target = targets_[start->target];
        const PingId ping = take_slot();
        InFlight& in_flight = pings_[ping.slot];
        in_flight.target = start->target;
        in_flight.life = target.life;
        in_flight.endpoint = target.endpoint;
        in_flight.fast = start->fast;
        in_flight.started = now;
        in_flight.stalled_before = stalled_for_;
        deadlines_.push({now + target.definition.timeout, ping});
        actions.emplace_back(StartPing{ping, start->target, start->due});
    }
}

std::optional<contract::Ping> Worker::finished(PingId id, const PingResult& raw, Mono now,
                                               contract::WallTime at) {
    hear_time(now);
    if (!under_way(id)) return std::nullopt;
    InFlight& in_flight = pings_[id.slot];
    in_flight.active = false;
    free_slots_.push_back(id.slot);
    Target& target = targets_[in_flight.target];
    const bool same_target = target.present && target.life == in_flight.life;
    schedule_.ended(same_target ? std::optional{in_flight.target} : std::nullopt, in_flight.fast);
    if (!same_target || target.endpoint != in_flight.endpoint) return std::nullopt;

    const contract::TargetDefinition& definition = target.definition;
    const PingResult result = judged(raw, in_flight, definition);
    target.opinion.feed(result.verdict, in_flight.started, {definition.rise, definition.fall});
    schedule_.set_settled(in_flight.target, target.opinion.settled(), now);

    contract::Ping ping;
    ping.target = definition.name;
    ping.worker = identity_.id;
    ping.site = identity_.site;
    ping.run = identity_.run;
    ping.seq = ++seq_;
    ping.mono_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
    ping.at = at;
    ping.verdict = result.verdict;
    ping.reason = result.reason;
    ping.sqlstate = result.sqlstate_text();
    if (result.rtt) ping.rtt_us = result.rtt->count();
    ping.via = contract::Via::fresh;
    ping.opinion = target.opinion.opinion();
    ping.streak = target.opinion.streak();
    return ping;
}

Mono Worker::next_due(Mono now) {
    while (!deadlines_.empty()) {
        if (under_way(deadlines_.top().ping)) break;
        deadlines_.pop();
    }
    const Mono deadline = deadlines_.empty() ? Mono::max() : deadlines_.top().at;
    return std::min(deadline, schedule_.next_due(now));
}

bool Worker::under_way(PingId ping) const {
    return ping.slot < pings_.size() && pings_[ping.slot].active &&
           pings_[ping.slot].generation == ping.generation;
}

void Worker::hear_time(Mono now) {
    if (heard_ && now - *heard_ > 2 * kLongestTurn) {
        stalled_for_ += now - *heard_;
        schedule_.stalled(*heard_, now);
    }
    heard_ = heard_ ? std::max(*heard_, now) : now;
}

PingId Worker::take_slot() {
    std::uint32_t slot = static_cast<std::uint32_t>(pings_.size());
    if (free_slots_.empty()) {
        pings_.emplace_back();
    } else {
        slot = free_slots_.back();
        free_slots_.pop_back();
    }
    pings_[slot].active = true;
    return {slot, ++pings_[slot].generation};
}

PingResult Worker::judged(const PingResult& result, const InFlight& ping,
                          const contract::TargetDefinition& definition) const {
    if (result.verdict != contract::Verdict::no_response || contract::is_hard_evidence(result.reason))
        return result;
    const auto lost = stalled_for_ - ping.stalled_before;
    if (lost == std::chrono::nanoseconds::zero() || lost < definition.timeout / 4) return result;
    return {contract::Verdict::inconclusive, contract::Reason::observer_stalled, {}, std::nullopt};
}

}  // namespace pgpulse::probe
