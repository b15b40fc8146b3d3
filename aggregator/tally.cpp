#include "aggregator/tally.hpp"

#include <algorithm>
#include <array>

namespace pgpulse::aggregator {
namespace {

using contract::Health;
using contract::Opinion;
using contract::Reason;
using contract::Verdict;
using std::chrono::milliseconds;

constexpr std::size_t kMostVoters = 64;
constexpr std::size_t kMostWorkers = 4096;
constexpr int kTicksASweep = 10;
constexpr int kSilentFreshnessesBeforeForgotten = 10;
constexpr milliseconds kLeastFreshness{5000};
constexpr milliseconds kLeastLateness{1000};
constexpr milliseconds kRetryAfterLost{1000};
constexpr milliseconds kRetryAfterFailure{500};

/// How long an opinion stands without a new ping.
milliseconds freshness(const contract::TargetDefinition& definition) {
    return std::max(3 * definition.interval + definition.timeout, kLeastFreshness);
}

/// How late a ping may be and still count: later ones come out of a reconnect buffer, and newer ones follow.
milliseconds longest_lateness(const contract::TargetDefinition& definition) {
    return std::max(definition.interval, kLeastLateness);
}

bool conclusive(Verdict verdict) {
    return verdict != Verdict::inconclusive && verdict != Verdict::not_attempted;
}

Health to_health(Ruling ruling) {
    switch (ruling) {
        case Ruling::up:
            return Health::up;
        case Ruling::down:
            return Health::down;
        default:
            return Health::unknown;
    }
}

/// Whether this evidence is a ground for that state.
bool speaks_for(const contract::Evidence& evidence, Health health) {
    switch (health) {
        case Health::up:
            return evidence.opinion == Opinion::up && evidence.verdict == Verdict::accepting;
        case Health::down:
            return evidence.opinion == Opinion::down && evidence.verdict != Verdict::accepting;
        case Health::unknown:
            return evidence.verdict == Verdict::not_attempted;
    }
    return false;
}

/// The reason most of `reasons` give; among equals the hard one, then the first.
Reason most_common(const std::vector<Reason>& reasons, Reason none) {
    Reason best = none;
    long best_count = 0;
    for (const Reason reason : reasons) {
        const auto count = std::ranges::count(reasons, reason);
        const bool harder = contract::is_hard_evidence(reason) && !contract::is_hard_evidence(best);
        if (count > best_count || (count == best_count && harder)) {
            best = reason;
            best_count = count;
        }
    }
    return best;
}

}  // namespace

Tally::Tally(std::string id) : id_(std::move(id)) {}

Tally::Target* Tally::find(std::string_view name) {
    const auto it = index_.find(name);
    return it == index_.end() ? nullptr : &targets_[it->second];
}

Tally::Target& Tally::target_named(std::string_view name) {
    if (Target* target = find(name)) return *target;
    index_.emplace(name, targets_.size());
    targets_.emplace_back().name = name;
    return targets_.back();
}

void Tally::definition(const contract::TargetDefinition& definition, Now now, Actions& out) {
    Target& target = target_named(definition.name);
    if (!target.definition) target.taken_over = hearing_.now();
    target.definition = definition;
    target.freshness = freshness(definition);
    target.removing = false;
    evaluate(target, now, out);
}

void Tally::definition_removed(std::string_view name, Now now, Actions& out) {
    // The target may not be known yet: its state can still be on its way from the bucket.
    Target& target = target_named(name);
    target.definition.reset();
    target.removing = true;
    target.voters.clear();
    evaluate(target, now, out);
}

void Tally::definitions_loaded(Now now, Actions& out) {
    definitions_loaded_ = true;
    evaluate_all(now, out);
}

void Tally::states_opened() {
    states_loaded_ = false;
    for (Target& target : targets_) target.seen = false;
}

void Tally::state(std::string_view name, contract::State state, std::uint64_t revision, Now now,
                  Actions& out) {
    Target& target = target_named(name);
    const bool own_write = target.seen && revision == target.revision;
    target.seen = true;
    if (own_write) return;
    if (states_loaded_ && revision < target.revision) return;
    const bool others_word = state.decided_by != id_;
    const bool foreign = states_loaded_ && others_word;
    if (!target.belief) target.taken_over = hearing_.now();
    const auto life_before = target.lives.present();
    adopt(target, std::move(state));
    // Whoever wrote of another life may have seen a later one; what is true is told again by the next ping.
    if (others_word && target.lives.present() != life_before) target.restarted.reset();
    target.revision = revision;
    target.rewrite = false;
    if (foreign && target.definition) target.quiet_until = now.mono + target.definition->interval;
    evaluate(target, now, out);
}

void Tally::unreadable_state(std::string_view name, std::uint64_t revision, Now now, Actions& out) {
    Target& target = target_named(name);
    target.seen = true;
    target.revision = revision;
    target.rewrite = target.belief.has_value();
    evaluate(target, now, out);
}

void Tally::state_removed(std::string_view name, std::uint64_t revision, Now now, Actions& out) {
    Target& target = target_named(name);
    target.seen = true;
    target.revision = revision;
    if (!target.definition) {
        target.belief.reset();
        target.rewrite = false;
        return;
    }
    target.rewrite = target.belief.has_value();
    evaluate(target, now, out);
}

void Tally::states_loaded(Now now, Actions& out) {
    states_loaded_ = true;
    for (Target& target : targets_) {
        if (target.seen) continue;
        target.revision = 0;
        target.in_flight.reset();
        target.rewrite = target.belief.has_value() && target.definition.has_value();
    }
    evaluate_all(now, out);
}

Heard Tally::ping(const contract::Ping& ping, Now now, Actions& out) {
    Target* target = find(ping.target);
    if (target == nullptr || !target->definition) return Heard::unknown_target;

    auto worker = workers_.find(ping.worker);
    if (worker == workers_.end()) {
        if (workers_.size() >= kMostWorkers) return Heard::too_many_workers;
        worker = workers_.try_emplace(ping.worker).first;
    }
    if (worker->second.meet(ping.run) == WorkerRun::Standing::ended) return Heard::replayed;
    const auto receipt = std::chrono::duration_cast<milliseconds>(now.mono.time_since_epoch());
    const milliseconds lateness = worker->second.lateness(receipt, milliseconds{ping.mono_ms});

    auto voter =
        std::ranges::find(target->voters, ping.worker, [](const Voter& v) { return v.evidence.worker; });
    if (voter != target->voters.end() && voter->run == ping.run && ping.seq <= voter->seq)
        return Heard::replayed;
    if (lateness > longest_lateness(*target->definition)) return Heard::late;
    if (voter == target->voters.end()) {
        if (target->voters.size() >= kMostVoters) return Heard::too_many_workers;
        voter = target->voters.emplace(target->voters.end());
    }
    voter->run = ping.run;
    voter->seq = ping.seq;
    voter->suspect = ping.suspect;
    contract::Evidence& evidence = voter->evidence;
    evidence.worker = ping.worker;
    evidence.site = ping.site;
    evidence.opinion = ping.opinion;
    evidence.verdict = ping.verdict;
    evidence.reason = ping.reason;
    evidence.sqlstate = ping.sqlstate;
    evidence.rtt_us = ping.rtt_us;
    evidence.at = ping.at;
    if (conclusive(ping.verdict)) voter->heard = hearing_.now() - lateness;
    if (ping.role && ping.writable) {
        voter->role = HeardRole{{*ping.role, *ping.writable}, hearing_.now() - lateness};
    }
    // Until the bucket is read there is no life to compare with; the next ping tells of this one again.
    if (const auto life = life_of(ping); life && loaded() && target->lives.tells_restart(*life))
        target->restarted = life;
    evaluate(*target, now, out);
    return Heard::counted;
}

void Tally::tick(Now now, Actions& out) {
    hearing_.tick(now.mono);
    // Silence is the only thing that comes without an event; a tenth of the targets is looked at each tick.
    const std::size_t share = targets_.size() / kTicksASweep + 1;
    for (std::size_t i = 0; i < share && !targets_.empty(); ++i) {
        sweep_ = (sweep_ + 1) % targets_.size();
        forget_silent_voters(targets_[sweep_]);
        evaluate(targets_[sweep_], now, out);
    }
}

void Tally::written(std::string_view name, Written outcome, std::uint64_t expected, std::uint64_t revision,
                    Now now, Actions& out) {
    Target* target = find(name);
    if (target == nullptr || !target->in_flight || target->in_flight->expected != expected) return;
    const Write write = std::move(*target->in_flight);
    target->in_flight.reset();
    switch (outcome) {
        case Written::stored:
            // The watch may have told of this write, or of a later one, before its acknowledgement came.
            if (revision > target->revision) {
                target->revision = revision;
                target->seen = true;
                if (write.state.target.empty())
                    target->belief.reset();
                else
                    adopt(*target, write.state);
                target->rewrite = false;
            }
            if (!write.state.target.empty()) ++counts_.transitions;
            break;
        case Written::lost:
            ++counts_.writes_lost;
            // What won comes through the watch; where it has come already there is nothing to wait for.
            if (target->revision == expected) target->quiet_until = now.mono + kRetryAfterLost;
            break;
        case Written::failed:
            ++counts_.writes_failed;
            target->quiet_until = now.mono + kRetryAfterFailure;
            break;
    }
    evaluate(*target, now, out);
}

std::map<Health, std::size_t> Tally::targets_by_state() const {
    std::map<Health, std::size_t> counts{{Health::up, 0}, {Health::down, 0}, {Health::unknown, 0}};
    for (const Target& target : targets_) {
        if (target.definition && target.belief) ++counts[target.belief->state];
    }
    return counts;
}

bool Tally::fresh(const Target& target, const Voter& voter) const {
    return voter.heard && hearing_.now() - *voter.heard <= target.freshness;
}

bool Tally::young(const Target& target) const {
    return hearing_.now() - target.taken_over <= target.freshness;
}

const Rule& Tally::rule_for(const Target& target) const {
    std::array<Vote, kMostVoters> votes;
    std::size_t count = 0;
    for (const Voter& voter : target.voters) {
        if (!fresh(target, voter)) continue;
        votes[count++] = {voter.evidence.opinion, voter.evidence.reason, voter.suspect};
    }
    Ballot ballot;
    ballot.votes = std::span{votes.data(), count};
    ballot.quorum = target.definition ? target.definition->quorum : std::nullopt;
    if (young(target)) {
        if (target.belief) {
            for (const contract::Evidence& evidence : target.belief->evidence) {
                const bool heard = std::ranges::any_of(target.voters, [&](const Voter& voter) {
                    return voter.evidence.worker == evidence.worker;
                });
                if (!heard) ++ballot.unheard;
            }
        } else {
            ballot.first_decision_is_young = true;
        }
    }
    return decide(ballot);
}

void Tally::evaluate(Target& target, Now now, Actions& out) {
    if (!loaded() || target.in_flight || now.mono < target.quiet_until) return;
    if (target.removing) {
        if (!target.belief) return;
        target.in_flight = Write{{}, target.revision};
        out.emplace_back(RemoveState{target.name, target.revision});
        return;
    }
    if (!target.definition) return;
    if (target.rewrite && target.belief) {
        ++counts_.put_back;
        out.emplace_back(
            Notice{"the bucket lost or spoiled the state of '" + target.name + "': putting it back"});
        target.in_flight = Write{*target.belief, target.revision};
        out.emplace_back(PutState{*target.belief, target.revision});
        return;
    }
    const Rule& rule = rule_for(target);
    const bool decides = rule.ruling != Ruling::keep && !(rule.ruling == Ruling::unknown && young(target));
    if (!decides && !target.belief) return;
    const Findings found = findings(target, decides ? to_health(rule.ruling) : target.belief->state);
    if (target.belief && target.belief->state == found.health && target.belief->role == found.role &&
        target.belief->writable == found.writable && !found.restarted)
        return;
    target.in_flight = Write{next_state(target, found, now), target.revision};
    out.emplace_back(PutState{target.in_flight->state, target.revision});
}

void Tally::adopt(Target& target, contract::State state) {
    if (const auto life = life_of(state)) target.lives.adopt(*life);
    if (target.restarted && target.restarted == target.lives.present()) target.restarted.reset();
    target.belief = std::move(state);
}

Tally::Findings Tally::findings(const Target& target, Health health) const {
    RoleReports reports;
    for (const Voter& voter : target.voters) {
        if (voter.role && hearing_.now() - voter.role->heard <= target.freshness)
            reports.add(voter.role->report);
    }
    const auto* const belief = target.belief ? &*target.belief : nullptr;
    return {health, reports.role(belief != nullptr ? belief->role : std::nullopt),
            reports.writable(belief != nullptr ? belief->writable : std::nullopt),
            // While it is held down nobody is told of a new life: the word comes with its return.
            target.restarted.has_value() && health == Health::up};
}

void Tally::evaluate_all(Now now, Actions& out) {
    if (!loaded()) return;
    for (Target& target : targets_) evaluate(target, now, out);
}

contract::State Tally::next_state(const Target& target, const Findings& found, Now now) const {
    const Health health = found.health;
    contract::State next;
    next.target = target.name;
    next.state = health;
    next.role = found.role;
    next.writable = found.writable;
    next.since = now.wall;
    next.transition = 1;
    if (target.belief) {
        next.transition = target.belief->transition + 1;
        next.previous = target.belief->state;
        if (target.belief->state == health) next.since = target.belief->since;
        next.restarts = target.belief->restarts;
    }
    // A restart that is not counted yet stays untold: once told it would never count.
    const auto& life = found.restarted ? target.restarted : target.lives.present();
    if (life) {
        next.started_at = life->started_at;
        next.crashed_at = life->crashed_at;
    }
    if (found.restarted) ++next.restarts;

    std::vector<Reason> reasons;
    for (const Voter& voter : target.voters) {
        if (speaks_for(voter.evidence, health) && (health == Health::unknown || fresh(target, voter))) {
            reasons.push_back(voter.evidence.reason);
        }
        next.evidence.push_back(voter.evidence);
    }
    next.reason = most_common(reasons, health == Health::up ? Reason::ok : Reason::observer_stalled);
    if (found.restarted) next.reason = Reason::restarted;
    std::ranges::sort(next.evidence, {}, &contract::Evidence::worker);
    next.decided_by = id_;
    next.decided_at = now.wall;
    return next;
}

void Tally::forget_silent_voters(Target& target) const {
    if (!target.definition) return;
    const auto limit = kSilentFreshnessesBeforeForgotten * target.freshness;
    std::erase_if(target.voters,
                  [&](const Voter& voter) { return voter.heard && hearing_.now() - *voter.heard > limit; });
}

}  // namespace pgpulse::aggregator
