#include "aggregator/tally.hpp"

#include "common/contract/names.hpp"

#include <algorithm>
#include <charconv>

namespace pgpulse::aggregator {
namespace {

using contract::Change;
using contract::Health;
using contract::Opinion;
using contract::Reason;
using contract::Role;
using contract::Verdict;
using std::chrono::milliseconds;

constexpr int kTicksASweep = 10;
constexpr int kSilentFreshnessesBeforeForgotten = 10;
constexpr milliseconds kLeastLateness{1000};
constexpr milliseconds kRetryAfterLost{1000};
constexpr milliseconds kQuietAfterFailure{500};
/// Two watches tell of a target's end, one of its definition's delete marker and one of its state's.
constexpr milliseconds kDefinitionFollows{1000};
/// What a bucket lost is put back only then: a server that is up or down meanwhile is told of by its next pings, and
/// nobody is to read the old state for a moment before the true one.
constexpr milliseconds kPutBackAfter{1500};
/// Bounds the memory of a mass outage. What this program says of itself has to come through beside them: so many are
/// about 30 ms of a server's work.
constexpr std::size_t kMostInFlight = 2048;
/// Of the targets that another aggregator ranks first for only so many: each of two writes its own ones first, and finds
/// the other's written.
constexpr std::size_t kMostInFlightAsSecond = 64;

/// What only definitions and other targets' states say, and not the pings of this one.
constexpr std::bitset<contract::kChanges> kSaidByOthers{1U << static_cast<unsigned>(Change::maintenance) |
                                                        1U << static_cast<unsigned>(Change::conflicts_with) |
                                                        1U << static_cast<unsigned>(Change::role_unexpected)};

bool conclusive(Verdict verdict) {
    return verdict != Verdict::inconclusive && verdict != Verdict::not_attempted;
}

std::uint64_t as_number(std::string_view run) {
    std::uint64_t number = 0;
    std::from_chars(run.data(), run.data() + run.size(), number, 16);
    return number;
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

/// Whether this word is a ground for that state.
bool speaks_for(const Word& word, Health health) {
    switch (health) {
        case Health::up:
            return word.opinion == Opinion::up && word.verdict == Verdict::accepting;
        case Health::down:
            return word.opinion == Opinion::down && word.verdict != Verdict::accepting &&
                   conclusive(word.verdict);
        case Health::unknown:
            return word.verdict == Verdict::not_attempted;
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

/// Where nobody says any more what `state` rests on, those who said it when it was decided go on doing so in its
/// evidence: a change of something else takes no state its grounds.
void keep_grounds(const contract::State& before, Health state, std::vector<contract::Evidence>& evidence) {
    if (state == Health::unknown) return;
    const Opinion opinion = state == Health::up ? Opinion::up : Opinion::down;
    if (std::ranges::find(evidence, opinion, &contract::Evidence::opinion) != evidence.end()) return;
    for (const contract::Evidence& ground : before.evidence) {
        if (ground.opinion != opinion) continue;
        std::erase_if(evidence, [&](const contract::Evidence& word) { return word.worker == ground.worker; });
        evidence.push_back(ground);
    }
}

}  // namespace

Tally::Tally(std::string id) : id_(std::move(id)), index_(0, NameHash{targets_}, SameName{targets_}) {}

Tally::Target* Tally::find(std::string_view name) {
    const auto it = index_.find(name);
    return it == index_.end() ? nullptr : &targets_[*it];
}

Tally::Target& Tally::target_named(std::string_view name) {
    if (Target* target = find(name)) return *target;
    Target& target = targets_.emplace_back();
    target.name = name;
    target.partition = static_cast<std::uint8_t>(contract::partition_of(name));
    index_.insert(static_cast<Index>(targets_.size() - 1));
    return target;
}

Tally::Index Tally::index_of(const Target& target) const {
    return *index_.find(std::string_view{target.name});
}

std::string_view Tally::service_of(const Target& target) {
    return target.service ? *target.service : target.name;
}

Tally::Lives& Tally::lives_of(Target& target) {
    if (!target.lives) target.lives = std::make_unique<Lives>();
    return *target.lives;
}

const std::optional<ServerLife>& Tally::present_life(const Target& target) {
    static const std::optional<ServerLife> kNone;
    return target.lives ? target.lives->known.present() : kNone;
}

const std::optional<ServerLife>& Tally::restarted_as(const Target& target) {
    static const std::optional<ServerLife> kNone;
    return target.lives ? target.lives->restarted : kNone;
}

Tally::Time Tally::Terms::longest_lateness() const { return std::max(interval, kLeastLateness); }

Patience Tally::Terms::patience() const { return Patience::of(interval, timeout); }

void Tally::definition(const contract::TargetDefinition& definition, Now now, Actions& out) {
    Target& target = target_named(definition.name);
    const bool first = target.terms == nullptr;
    if (target.claims && service_of(target) != definition.service) {
        claims_.withdraw(service_of(target), index_of(target));
        target.claims = false;
    }
    const auto observers_before = first ? 0 : target.terms->observers;
    target.terms = &*terms_
                         .insert({definition.interval, definition.timeout, definition.observers,
                                  definition.quorum, definition.expect_role})
                         .first;
    if (target.terms->observers != observers_before) target.seated = 0;
    target.service =
        definition.service == target.name ? nullptr : std::make_unique<std::string>(definition.service);
    if (definition.maintenance_until && !target.maintenance)
        target.maintenance = std::make_unique<Maintenance>();
    if (target.maintenance) {
        target.maintenance->define(definition.maintenance_until);
        if (target.belief && !target.belief->maintenance)
            target.maintenance->over(target.belief->maintenance_until);
    }
    target.removing = false;
    if (first) begin(target);
    seat_voters(target);
    update_claim(target);
    evaluate(target, now, out);
}

void Tally::definition_removed(std::string_view name, Now now, Actions& out) {
    // The target may not be known yet: its state can still be on its way from the bucket.
    Target& target = target_named(name);
    if (target.claims) claims_.withdraw(service_of(target), index_of(target));
    target.claims = false;
    target.terms = nullptr;
    target.maintenance.reset();
    target.removing = true;
    target.voters.clear(workers_);
    if (!target.belief) forget_belief(target);
    evaluate(target, now, out);
}

void Tally::definitions_loaded(Now now, Actions& out) {
    definitions_loaded_ = true;
    evaluate_all(now, out);
}

void Tally::members(const std::vector<std::string>& probes, Now now, Actions& out) {
    workers_.members(probes, hearing_.now());
    for (Target& target : targets_) seat_voters(target);
    evaluate_all(now, out);
}

void Tally::ranks(const Ranks& ranks, Now now, Actions& out) {
    const Ranks before = std::exchange(ranks_, ranks);
    for (Target& target : targets_) {
        // Putting right is for those who tally it: their word may be the bucket's already, and nothing more may come.
        if (rank(target) == Rank::none && target.refused) take_word(target, std::move(*target.refused));
        // Whoever wrote it may have died.
        target.vouched = false;
        const Rank was = before.at(target.partition);
        if ((was == Rank::none) != (rank(target) == Rank::none)) begin(target);
    }
    evaluate_all(now, out);
}

void Tally::states_opened() {
    states_loaded_ = false;
    for (Target& target : targets_) target.seen = false;
}

void Tally::state(std::string_view name, contract::State state, std::uint64_t revision, bool by_aggregator,
                  Now now, Actions& out) {
    Target& target = target_named(name);
    // Of two writes against one revision, of which a bucket that was read anew made one forgotten, the other's
    // acknowledgement may have been taken for it.
    const bool own_write =
        target.seen && revision == target.revision && target.belief && *target.belief == state;
    target.seen = true;
    if (own_write || (states_loaded_ && revision < target.revision)) return;
    target.revision = revision;
    // Who does not tally the target knows no better than the bucket, and may have missed what became of it.
    const bool knows_better = target.belief && rank(target) != Rank::none;
    if (knows_better && !by_aggregator && *target.belief != state) {
        damaged(target, Damage::edited, std::make_unique<contract::State>(std::move(state)), now);
    } else if (knows_better && state.transition < target.belief->transition) {
        damaged(target, Damage::older, std::make_unique<contract::State>(std::move(state)), now);
    } else {
        take_word(target, std::move(state));
    }
    evaluate(target, now, out);
}

void Tally::unreadable_state(std::string_view name, std::uint64_t revision, Now now, Actions& out) {
    Target& target = target_named(name);
    target.seen = true;
    target.revision = revision;
    if (target.belief) damaged(target, Damage::spoiled, nullptr, now);
    evaluate(target, now, out);
}

void Tally::state_removed(std::string_view name, std::uint64_t revision, bool by_aggregator, Now now,
                          Actions& out) {
    Target& target = target_named(name);
    const bool known = target.seen && revision == target.revision && !target.belief;
    target.seen = true;
    if (known || (states_loaded_ && revision < target.revision)) return;
    target.revision = revision;
    if (!target.terms || by_aggregator) {
        // An aggregator deletes for a definition's delete marker alone, which this one may not have read yet.
        forget_belief(target);
        if (target.terms) target.quiet_until = now.mono + kDefinitionFollows;
    } else if (target.belief) {
        damaged(target, Damage::removed, nullptr, now);
    }
    evaluate(target, now, out);
}

void Tally::states_loaded(Now now, Actions& out) {
    states_loaded_ = true;
    for (Target& target : targets_) {
        if (target.seen) continue;
        target.revision = 0;
        forget_write(target);
        if (target.belief) damaged(target, Damage::lost, nullptr, now);
    }
    evaluate_all(now, out);
}

Heard Tally::ping(const contract::Ping& ping, Now now, Actions& out) {
    Target* const found = find(ping.target);
    if (found == nullptr || !found->terms) return Heard::unknown_target;
    Target& target = *found;
    if (rank(target) == Rank::none) return Heard::not_tallied;

    const auto index = workers_.meet(ping.worker);
    if (!index) return Heard::too_many_workers;
    Workers::Worker& worker = workers_.at(*index);
    if (worker.run.meet(ping.run) == WorkerRun::Standing::ended) return Heard::replayed;
    const auto receipt = std::chrono::duration_cast<milliseconds>(now.mono.time_since_epoch());
    const auto lateness = worker.run.lateness(receipt, milliseconds{ping.mono_ms});
    if (!lateness) return Heard::from_the_future;

    const std::uint64_t run = as_number(ping.run);
    const Word* const before = target.voters.find(*index);
    if (before != nullptr && before->run == run && ping.seq <= before->seq) return Heard::replayed;
    if (*lateness > target.terms->longest_lateness()) return Heard::late;
    seat_voters(target);
    Word* const word = target.voters.meet(*index, workers_);
    if (word == nullptr) return Heard::too_many_workers;

    const Time heard = hearing_.now() - *lateness;
    if (worker.site != ping.site) worker.site = ping.site;
    word->run = run;
    word->seq = ping.seq;
    word->opinion = ping.opinion;
    word->verdict = ping.verdict;
    word->reason = ping.reason;
    word->sqlstate = {};
    std::ranges::copy_n(ping.sqlstate.begin(), std::ssize(ping.sqlstate), word->sqlstate.begin());
    word->rtt_us = ping.rtt_us.value_or(-1);
    word->at = ping.at;
    if (ping.suspect && !word->suspect) word->suspect_since = heard;
    word->suspect = ping.suspect;
    if (conclusive(ping.verdict)) word->heard = heard;
    if (ping.role && ping.writable) {
        word->role = *ping.role;
        word->writable = *ping.writable;
        word->role_heard = heard;
        word->life = ping.started_at.value_or(contract::WallTime{});
    }
    const bool observer = target.voters.is_observer(*index);
    // Until the bucket is read there is no life to compare with; the next ping tells of this one again.
    if (const auto life = life_of(ping); observer && life && loaded()) {
        Lives& lives = lives_of(target);
        const bool waits = lives.known.waits(*life, hearing_.now(), target.terms->longest_lateness());
        if (lives.known.tells_restart(*life) && !waits) lives.restarted = life;
    }
    deciding_ping_ = now.mono - *lateness;
    evaluate(target, now, out);
    deciding_ping_.reset();
    return observer ? Heard::counted : Heard::no_observer;
}

void Tally::tick(Now now, Actions& out) {
    hearing_.tick(now.mono);
    // Silence, and the end of a maintenance, come without an event; a tenth of the targets is looked at each tick.
    const std::size_t share = targets_.size() / kTicksASweep + 1;
    for (std::size_t i = 0; i < share && !targets_.empty(); ++i) {
        sweep_ = (sweep_ + 1) % targets_.size();
        Target& target = targets_[sweep_];
        if (target.terms) {
            const Time limit =
                hearing_.now() - kSilentFreshnessesBeforeForgotten * target.terms->patience().freshness;
            target.voters.forget(limit, workers_);
        }
        evaluate(target, now, out);
    }
    evaluate_waiting(now, out);
    for (std::string& line : damage_.take()) out.emplace_back(Notice{std::move(line)});
}

void Tally::written(std::string_view name, Written outcome, std::uint64_t expected, std::uint64_t revision,
                    Now now, Actions& out) {
    Target* const found = find(name);
    if (found == nullptr || !found->in_flight || found->in_flight->expected != expected) return;
    Target& target = *found;
    const Write write = std::move(*target.in_flight);
    forget_write(target);
    target.retry = outcome != Written::stored;
    switch (outcome) {
        case Written::stored: {
            if (!write.state.target.empty() && !write.put_back) {
                ++counts_.transitions;
                std::optional<milliseconds> latency;
                if (write.decided_from)
                    latency = std::chrono::duration_cast<milliseconds>(now.mono - *write.decided_from);
                const contract::State& state = write.state;
                out.emplace_back(Decided{state.target, state.transition, state.previous, state.state,
                                         state.reason, state.changed, latency});
            }
            // The watch may have told of this write, or of a later one, before its acknowledgement came.
            if (revision <= target.revision) break;
            target.revision = revision;
            target.seen = true;
            target.foreign = false;
            if (write.state.target.empty()) {
                forget_belief(target);
            } else {
                adopt(target, write.state);
            }
            break;
        }
        case Written::lost:
            ++counts_.writes_lost;
            // What won comes through the watch; where it has come already there is nothing to wait for.
            if (target.revision == expected) target.quiet_until = now.mono + kRetryAfterLost;
            break;
        case Written::failed:
            ++counts_.writes_failed;
            target.quiet_until = now.mono + kQuietAfterFailure;
            break;
    }
    evaluate(target, now, out);
    evaluate_waiting(now, out);
}

Census Tally::census() const {
    Census census;
    census.by_state = {{Health::up, 0}, {Health::down, 0}, {Health::unknown, 0}};
    census.in_maintenance = census.by_state;
    census.writing = writing();
    for (const Target& target : targets_) {
        if (!target.terms || !target.belief) continue;
        ++census.by_state[target.belief->state];
        if (target.disputed) ++census.disputed;
        if (target.belief->maintenance) ++census.in_maintenance[target.belief->state];
        if (!target.belief->conflicts_with.empty()) ++census.in_conflict;
        if (target.belief->role_unexpected) ++census.role_unexpected;
    }
    return census;
}

void Tally::begin(Target& target) {
    target.taken_over = hearing_.now();
    target.voters.begin(hearing_.now(), workers_);
    if (target.lives) target.lives->restarted.reset();
    target.disputed = false;
}

void Tally::seat_voters(Target& target) {
    if (!target.terms || target.seated == workers_.generation()) return;
    target.seated = workers_.generation();
    target.voters.seat(workers_.observers(target.name, target.terms->observers), hearing_.now());
}

bool Tally::young(const Target& target) const {
    return hearing_.now() - target.taken_over <= target.terms->patience().freshness;
}

void Tally::evaluate_all(Now now, Actions& out) {
    if (!loaded()) return;
    for (Target& target : targets_) evaluate(target, now, out);
}

void Tally::evaluate_waiting(Now now, Actions& out) {
    for (const Rank as : {Rank::first, Rank::second}) {
        std::deque<Index>& waiting = waiting_as(as);
        for (std::size_t left = waiting.size(); left > 0 && in_flight_ < most_in_flight(as); --left) {
            Target& target = targets_[waiting.front()];
            waiting.pop_front();
            target.waiting = false;
            evaluate(target, now, out);
        }
    }
}

std::size_t Tally::most_in_flight(Rank as) {
    return as == Rank::second ? kMostInFlightAsSecond : kMostInFlight;
}

bool Tally::may_write(Target& target) {
    const Rank as = rank(target);
    if (in_flight_ < most_in_flight(as)) return true;
    if (!target.waiting) waiting_as(as).push_back(index_of(target));
    target.waiting = true;
    return false;
}

void Tally::write(Target& target, Write write, Actions& out) {
    if (std::exchange(target.retry, false)) ++counts_.writes_retried;
    ++in_flight_;
    target.in_flight = std::make_unique<Write>(std::move(write));
    const Write& flying = *target.in_flight;
    if (flying.state.target.empty())
        out.emplace_back(RemoveState{target.name, flying.expected});
    else
        out.emplace_back(PutState{flying.state, flying.expected, flying.put_back});
}

void Tally::forget_write(Target& target) {
    if (!target.in_flight) return;
    target.in_flight.reset();
    --in_flight_;
}

void Tally::evaluate(Target& target, Now now, Actions& out) {
    if (!loaded() || target.in_flight || rank(target) == Rank::none || now.mono < target.quiet_until) return;
    if (target.removing) {
        if (target.belief && may_write(target)) write(target, {{}, target.revision, false, {}}, out);
        return;
    }
    if (!target.terms) return;
    seat_voters(target);
    const Findings found = findings(target, now);
    if (!target.belief && !found.decides) return;
    if (const Changes changes = differences(target, found); changes.any() && !must_wait(target, changes)) {
        if (may_write(target))
            write(target, {next_state(target, found, changes, now), target.revision, false, deciding_ping_},
                  out);
    } else if (target.rewrite && target.belief && now.mono >= target.rewrite_from && may_write(target)) {
        ++counts_.put_back;
        write(target, {*target.belief, target.revision, true, {}}, out);
    }
}

Tally::Findings Tally::findings(Target& target, Now now) {
    const Terms& terms = *target.terms;
    const Patience patience = terms.patience();
    const contract::State* const belief = target.belief.get();
    Ballot ballot = target.voters.ballot(hearing_.now(), others_word(target), patience, workers_, votes_);
    ballot.young = young(target);
    ballot.quorum = terms.quorum;
    const Rule& rule = decide(ballot);
    target.disputed = rule.ruling == Ruling::keep && disagree(ballot);

    Findings found;
    found.decides = rule.ruling != Ruling::keep;
    if (found.decides)
        found.health = to_health(rule.ruling);
    else
        found.health = belief != nullptr ? belief->state : Health::unknown;
    // While it is held down nobody is told of a new life: the word comes with its return.
    found.restarted = restarted_as(target).has_value() && found.health == Health::up;
    found.maintenance = target.maintenance && target.maintenance->active(now.mono, now.wall);

    const RoleReports reports =
        target.voters.roles(hearing_.now(), others_word(target), patience, workers_,
                            restarted_as(target) ? restarted_as(target) : present_life(target));
    if (belief != nullptr) {
        found.role = belief->role;
        found.writable = belief->writable;
    }
    if (found.health == Health::up) {
        // A server that comes back, or has started anew, may have become another: what it was is no ground.
        const auto& life = present_life(target);
        const auto& next_life = restarted_as(target);
        const bool another_life =
            found.restarted && life && next_life && life->started_at != next_life->started_at;
        if (belief == nullptr || belief->state != Health::up || another_life) {
            found.role.reset();
            found.writable.reset();
        }
        found.role = reports.role(found.role);
        found.writable = reports.writable(found.writable);
    }
    found.role_unexpected = terms.expect_role && found.role && *found.role != *terms.expect_role;
    if (found.health == Health::up && found.role == Role::primary)
        found.conflicts_with = conflicts(target, reports);
    return found;
}

std::vector<std::string> Tally::conflicts(const Target& target, const RoleReports& reports) const {
    std::vector<std::string> names;
    const Index self = index_of(target);
    const std::string_view service = service_of(target);
    const auto claims = claims_.of(service);
    if (claims.size() < 2 && (claims.empty() || claims[0].target == self)) return names;
    const bool known_primary = reports.role(std::nullopt) == Role::primary;
    const auto own = std::ranges::find(claims, self, &Claims::Claim::target);
    for (const Claims::Claim& claim : claims) {
        const Target& other = targets_[claim.target];
        if (claim.target == self || service_of(other) != service) continue;
        const auto names_other = [](const Target& one, const Target& another) {
            return one.belief && std::ranges::binary_search(one.belief->conflicts_with, another.name);
        };
        // In a switchover the old primary's last words are still fresh when the new one is promoted: whoever
        // claimed first must have been heard to do so since the other did, and for an interval. Who claimed later
        // takes its word.
        const bool claimed_first = own != claims.end() && own->since <= claim.since;
        const bool stands = claimed_first && known_primary &&
                            hearing_.now() - claim.since > target.terms->interval &&
                            target.voters.told_primary_since(claim.since);
        if (stands || names_other(other, target) || names_other(target, other)) names.push_back(other.name);
    }
    std::ranges::sort(names);
    return names;
}

Tally::Changes Tally::differences(const Target& target, const Findings& found) {
    static const contract::State kNothing;
    const contract::State& belief = target.belief ? *target.belief : kNothing;
    Changes changes;
    const auto compare = [&](Change change, bool differs) {
        changes.set(static_cast<std::size_t>(change), differs);
    };
    compare(Change::state, !target.belief || belief.state != found.health);
    compare(Change::role, belief.role != found.role);
    compare(Change::writable, belief.writable != found.writable);
    compare(Change::restarts, found.restarted);
    compare(Change::maintenance, belief.maintenance != found.maintenance);
    compare(Change::conflicts_with, belief.conflicts_with != found.conflicts_with);
    compare(Change::role_unexpected, belief.role_unexpected != found.role_unexpected);
    return changes;
}

OthersWord Tally::others_word(const Target& target) {
    if (!target.foreign) return {};
    return {target.adopted, target.vouched ? target.belief.get() : nullptr};
}

bool Tally::must_wait(const Target& target, const Changes& changes) const {
    if (!target.foreign || hearing_.now() - target.adopted > target.terms->interval) return false;
    // What the definitions and the other targets' states say reaches two aggregators at two times: neither turns
    // the other's word back for that.
    return rank(target) == Rank::second || (changes & ~kSaidByOthers).none();
}

contract::State Tally::next_state(const Target& target, const Findings& found, const Changes& changes,
                                  Now now) const {
    const Health health = found.health;
    contract::State next;
    next.target = target.name;
    next.state = health;
    next.role = found.role;
    next.writable = found.writable;
    next.maintenance = found.maintenance;
    if (target.maintenance) next.maintenance_until = target.maintenance->until();
    next.conflicts_with = found.conflicts_with;
    next.role_unexpected = found.role_unexpected;
    next.changed = changes;
    next.since = now.wall;
    next.transition = 1;
    if (target.belief) {
        next.transition = target.belief->transition + 1;
        next.previous = target.belief->state;
        if (target.belief->state == health) next.since = target.belief->since;
        next.restarts = target.belief->restarts;
    }
    // A restart that is not counted yet stays untold: once told it would never count.
    const auto& life = found.restarted ? restarted_as(target) : present_life(target);
    if (life) {
        next.started_at = life->started_at;
        next.crashed_at = life->crashed_at;
    }
    if (found.restarted) ++next.restarts;

    std::vector<Reason> reasons;
    for (const Word* const word : target.voters.evidence(health, hearing_.now(), target.terms->patience())) {
        if (speaks_for(*word, health)) reasons.push_back(word->reason);
        next.evidence.push_back(to_evidence(*word, workers_));
    }
    if (changes.test(static_cast<std::size_t>(Change::state)) || !target.belief || !reasons.empty())
        next.reason = most_common(reasons, health == Health::up ? Reason::ok : Reason::observer_stalled);
    else
        next.reason = target.belief->reason;
    if (found.restarted) next.reason = Reason::restarted;
    if (target.belief && target.belief->state == health) keep_grounds(*target.belief, health, next.evidence);
    std::ranges::sort(next.evidence, {}, &contract::Evidence::worker);
    next.evidence.shrink_to_fit();
    next.decided_by = id_;
    next.decided_at = now.wall;
    return next;
}

void Tally::take_word(Target& target, contract::State state) {
    const bool by_another = state.decided_by != id_;
    const bool put_back = target.belief && *target.belief == state;
    const bool news = states_loaded_ || target.belief;
    const auto life_before = present_life(target);
    adopt(target, std::move(state));
    // Whoever wrote of another life may have seen a later one; what is true is told again by the next ping.
    if (by_another && present_life(target) != life_before) target.lives->restarted.reset();
    target.foreign = target.vouched = news && by_another && !put_back;
    target.adopted = hearing_.now();
}

void Tally::adopt(Target& target, contract::State state) {
    target.rewrite = false;
    target.refused.reset();
    if (const auto life = life_of(state)) {
        Lives& lives = lives_of(target);
        lives.known.adopt(*life);
        if (lives.restarted == lives.known.present()) lives.restarted.reset();
    }
    // What comes back may have become another server.
    if (state.state == Health::down) target.voters.forget_roles();
    if (target.maintenance && !state.maintenance) target.maintenance->over(state.maintenance_until);
    if (target.belief)
        *target.belief = std::move(state);
    else
        target.belief = std::make_unique<contract::State>(std::move(state));
    update_claim(target);
}

void Tally::forget_belief(Target& target) {
    target.belief.reset();
    target.rewrite = false;
    target.refused.reset();
    target.foreign = target.vouched = false;
    // Whatever comes next of that name may be another server.
    target.lives.reset();
    update_claim(target);
}

void Tally::damaged(Target& target, Damage damage, std::unique_ptr<contract::State> refused, Now now) {
    target.rewrite = true;
    target.refused = std::move(refused);
    const bool by_the_server = damage == Damage::lost || damage == Damage::older;
    target.rewrite_from = by_the_server ? now.mono + kPutBackAfter : now.mono;
    // Without a definition it is put back once it has got one again, if ever.
    if (target.terms && rank(target) != Rank::none) damage_.add(damage, target.name);
}

void Tally::update_claim(Target& target) {
    const bool claims = target.terms && target.belief && target.belief->state == Health::up &&
                        target.belief->role == Role::primary;
    if (claims == target.claims) return;
    target.claims = claims;
    if (claims)
        claims_.claim(service_of(target), index_of(target), hearing_.now());
    else
        claims_.withdraw(service_of(target), index_of(target));
}

}  // namespace pgpulse::aggregator
