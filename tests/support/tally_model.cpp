#include "tests/support/tally_model.hpp"

#include "common/cluster/rendezvous.hpp"
#include "common/contract/names.hpp"

#include <algorithm>
#include <array>

namespace pgpulse::support {
namespace {

using namespace std::chrono_literals;
using aggregator::Rank;
using aggregator::Written;
using contract::Change;
using contract::Health;
using contract::Opinion;
using contract::Reason;
using contract::Role;
using contract::State;
using contract::Verdict;
using std::chrono::milliseconds;

bool conclusive(const contract::Ping& ping) {
    return ping.verdict != Verdict::inconclusive && ping.verdict != Verdict::not_attempted;
}

/// What more than half of `voices` say; `before` where there is no such thing.
template <typename T>
std::optional<T> majority(const std::vector<std::optional<T>>& voices, std::optional<T> before) {
    for (const std::optional<T>& voice : voices) {
        if (voice && 2 * static_cast<std::size_t>(std::ranges::count(voices, voice)) > voices.size())
            return voice;
    }
    return before;
}

}  // namespace

Rank TallyModel::rank(const std::string& name) const { return ranks_.at(contract::partition_of(name)); }

TallyModel::Time TallyModel::freshness(const Target& target) {
    return std::max<Time>(3 * target.definition->interval + target.definition->timeout, 5s);
}

std::set<std::string> TallyModel::targets() const {
    std::set<std::string> names;
    for (const auto& [name, target] : targets_) names.insert(name);
    return names;
}

void TallyModel::begin(Target& target) const {
    target.begun = hearing_;
    target.heard.clear();
    target.untold_life.reset();
    for (auto& [worker, since] : target.observers) since = hearing_;
}

void TallyModel::seat(const std::string& name, Target& target) const {
    if (!target.definition || !members_known_) return;
    std::map<std::string, Time> observers;
    for (const std::string& worker :
         cluster::Rendezvous{members_}.owners(name, target.definition->observers)) {
        const auto before = target.observers.find(worker);
        observers[worker] = before == target.observers.end() ? hearing_ : before->second;
    }
    target.observers = observers;
}

void TallyModel::look_at_claim(const std::string& name, Target& target) const {
    const bool claims = target.definition && target.belief && target.belief->state == Health::up &&
                        target.belief->role == Role::primary;
    if (!claims) {
        target.claim.reset();
        return;
    }
    const std::string& service = target.definition->service.empty() ? name : target.definition->service;
    if (!target.claim || target.claim->service != service) target.claim = Claim{service, hearing_};
}

void TallyModel::definition(const contract::TargetDefinition& definition) {
    Target& target = targets_[definition.name];
    const bool first = !target.definition;
    const bool reseat = first || target.definition->observers != definition.observers;
    target.definition = definition;
    target.removed = false;
    if (target.maintenance_until != definition.maintenance_until) {
        target.maintenance_until = definition.maintenance_until;
        target.maintenance_ends.reset();
        target.maintenance_over = false;
    }
    if (target.belief && !target.belief->maintenance && target.belief->maintenance_until &&
        target.belief->maintenance_until == target.maintenance_until)
        target.maintenance_over = true;
    if (first) begin(target);
    if (reseat) seat(definition.name, target);
    look_at_claim(definition.name, target);
}

void TallyModel::definition_removed(const std::string& name) {
    Target& target = targets_[name];
    target.definition.reset();
    target.removed = true;
    target.heard.clear();
    target.maintenance_until.reset();
    target.maintenance_ends.reset();
    target.maintenance_over = false;
    if (!target.belief) forget_belief(name, target);
    look_at_claim(name, target);
}

void TallyModel::members(const std::vector<std::string>& probes) {
    for (const std::string& worker : members_) served_until_[worker] = hearing_;
    members_ = probes;
    members_known_ = true;
    for (auto& [name, target] : targets_) seat(name, target);
}

void TallyModel::ranks(const aggregator::Ranks& ranks) {
    const aggregator::Ranks before = ranks_;
    ranks_ = ranks;
    for (auto& [name, target] : targets_) {
        // What others tally is theirs to put right.
        if (rank(name) == Rank::none && target.refused) {
            const State word = *target.refused;
            take_word(name, target, word);
        }
        target.vouched = false;
        const bool served = before.at(contract::partition_of(name)) != Rank::none;
        if (served != (rank(name) != Rank::none)) begin(target);
    }
}

void TallyModel::states_opened() {
    states_loaded_ = false;
    for (auto& [name, target] : targets_) target.told = false;
}

void TallyModel::adopt(const std::string& name, Target& target, const State& state) {
    if (state.started_at) {
        const Life life{*state.started_at, state.crashed_at};
        if (target.life) target.former_lives.insert(*target.life);
        target.former_lives.erase(life);
        if (target.life != life) target.earlier_start_since.reset();
        target.life = life;
        if (target.untold_life == life) target.untold_life.reset();
    }
    if (state.state == Health::down) {
        for (Heard& heard : target.heard) heard.role_counts = false;
    }
    if (!state.maintenance && state.maintenance_until && target.maintenance_until == state.maintenance_until)
        target.maintenance_over = true;
    target.belief = state;
    look_at_claim(name, target);
}

void TallyModel::forget_belief(const std::string& name, Target& target) const {
    target.belief.reset();
    target.others_word.reset();
    target.life.reset();
    target.former_lives.clear();
    target.earlier_start_since.reset();
    target.untold_life.reset();
    look_at_claim(name, target);
}

bool TallyModel::state(const std::string& name, const State& state, std::uint64_t revision,
                       bool by_aggregator, Now now) {
    Target& target = targets_[name];
    const bool known = target.told && revision == target.revision && target.belief == state;
    target.told = true;
    if (known || (states_loaded_ && revision < target.revision)) return false;
    target.revision = revision;
    // What others tally is theirs to put right.
    const bool tallied = rank(name) != Rank::none;
    if (tallied && target.belief && !by_aggregator && target.belief != state) {
        target.put_back_from = now.mono;
        target.refused = state;
    } else if (tallied && target.belief && state.transition < target.belief->transition) {
        target.put_back_from = now.mono + 1500ms;
        target.refused = state;
    } else {
        take_word(name, target, state);
    }
    return true;
}

void TallyModel::take_word(const std::string& name, Target& target, const State& state) {
    const bool others = state.decided_by != id_;
    const bool news = (states_loaded_ || target.belief) && target.belief != state;
    const std::optional<Life> life_before = target.life;
    adopt(name, target, state);
    if (others && target.life != life_before) target.untold_life.reset();
    target.put_back_from.reset();
    target.refused.reset();
    target.others_word.reset();
    if (others && news) target.others_word = hearing_;
    target.vouched = target.others_word.has_value();
}

void TallyModel::unreadable_state(const std::string& name, std::uint64_t revision, Now now) {
    Target& target = targets_[name];
    target.told = true;
    target.revision = revision;
    if (target.belief) target.put_back_from = now.mono;
    target.refused.reset();
}

bool TallyModel::state_removed(const std::string& name, std::uint64_t revision, bool by_aggregator, Now now) {
    Target& target = targets_[name];
    const bool known = target.told && revision == target.revision && !target.belief;
    target.told = true;
    if (known || (states_loaded_ && revision < target.revision)) return false;
    target.revision = revision;
    if (!target.definition || by_aggregator) {
        forget_belief(name, target);
        target.put_back_from.reset();
        target.refused.reset();
        // The definition's delete marker may be on its way.
        if (target.definition) target.quiet_until = now.mono + 1s;
    } else if (target.belief) {
        target.put_back_from = now.mono;
        target.refused.reset();
    }
    return true;
}

void TallyModel::states_loaded(Now now) {
    states_loaded_ = true;
    for (auto& [name, target] : targets_) {
        if (target.told) continue;
        target.revision = 0;
        target.in_flight.reset();
        if (target.belief) target.put_back_from = now.mono + 1500ms;
        target.refused.reset();
    }
}

aggregator::Heard TallyModel::ping(const contract::Ping& ping, Now now) {
    using aggregator::Heard;
    const auto found = targets_.find(ping.target);
    if (found == targets_.end() || !found->second.definition) return Heard::unknown_target;
    Target& target = found->second;
    if (rank(ping.target) == Rank::none) return Heard::not_tallied;

    Worker& worker = workers_[ping.worker];
    if (worker.ended_runs.contains(ping.run)) return Heard::replayed;
    if (worker.run != ping.run) {
        if (!worker.run.empty()) worker.ended_runs.insert(worker.run);
        worker = {ping.run, worker.ended_runs, {}, {}};
    }
    const auto receipt = std::chrono::duration_cast<milliseconds>(now.mono.time_since_epoch());
    const Time difference = receipt - milliseconds{ping.mono_ms};
    if (!worker.differences.empty() && difference < std::ranges::min(worker.differences) - 60s) {
        const bool again = worker.ahead && std::chrono::abs(difference - *worker.ahead) <= 60s;
        if (!again) {
            worker.ahead = difference;
            return Heard::from_the_future;
        }
    }
    worker.ahead.reset();
    worker.differences.push_back(difference);
    const Time lateness = difference - std::ranges::min(worker.differences);
    for (const TallyModel::Heard& heard : target.heard) {
        if (heard.ping.worker == ping.worker && heard.ping.run == ping.run && heard.ping.seq >= ping.seq)
            return Heard::replayed;
    }
    if (lateness > std::max<Time>(target.definition->interval, 1s)) return Heard::late;

    target.heard.push_back({ping, hearing_ - lateness});
    if (!target.observers.contains(ping.worker)) return Heard::no_observer;
    if (ping.started_at && loaded()) {
        const Life told{*ping.started_at, ping.crashed_at};
        if (told == target.life) target.earlier_start_since.reset();
        const bool earlier_start = target.life && told.started_at < target.life->started_at;
        if (earlier_start && !target.earlier_start_since) target.earlier_start_since = hearing_;
        const bool waits = earlier_start && hearing_ - *target.earlier_start_since <=
                                                std::max<Time>(target.definition->interval, 1s);
        if (!target.life) {
            target.life = told;
        } else if (!waits && told != target.life && !target.former_lives.contains(told)) {
            const bool later_crash =
                told.crashed_at && (!target.life->crashed_at || *told.crashed_at >= *target.life->crashed_at);
            if (told.started_at != target.life->started_at || later_crash) target.untold_life = told;
        }
    }
    return Heard::counted;
}

void TallyModel::tick(Now now) {
    const bool heard_itself = echoed_ && now.mono - *echoed_ <= 1s;
    if (ticked_ && now.mono - *ticked_ <= 250ms && heard_itself)
        hearing_ += std::chrono::duration_cast<Time>(now.mono - *ticked_);
    ticked_ = now.mono;
    // Whoever is no observer is forgotten after ten freshnesses.
    for (auto& [name, target] : targets_) {
        if (!target.definition) continue;
        for (const auto& [worker, word] : words(target)) {
            if (target.observers.contains(worker)) continue;
            if (word.heard && *word.heard >= hearing_ - 10 * freshness(target)) continue;
            std::erase_if(target.heard, [&](const Heard& heard) { return heard.ping.worker == worker; });
        }
    }
}

void TallyModel::sent(const std::string& name, std::optional<State> state, std::uint64_t expected) {
    targets_[name].in_flight = InFlight{std::move(state), expected};
}

void TallyModel::written(const std::string& name, Written outcome, std::uint64_t expected,
                         std::uint64_t revision, Now now) {
    Target& target = targets_[name];
    if (!target.in_flight || target.in_flight->expected != expected) return;
    const InFlight write = *target.in_flight;
    target.in_flight.reset();
    if (outcome == Written::failed) target.quiet_until = now.mono + 500ms;
    if (outcome == Written::lost && target.revision == expected) target.quiet_until = now.mono + 1s;
    if (outcome != Written::stored || revision <= target.revision) return;
    target.revision = revision;
    target.told = true;
    target.put_back_from.reset();
    target.refused.reset();
    target.others_word.reset();
    if (write.state) {
        adopt(name, target, *write.state);
    } else {
        forget_belief(name, target);
    }
}

std::map<std::string, TallyModel::Word> TallyModel::words(const Target& target) {
    std::map<std::string, Word> words;
    for (const Heard& heard : target.heard) {
        const contract::Ping& ping = heard.ping;
        Word& word = words[ping.worker];
        if (ping.suspect && !word.last.suspect) word.suspect_since = heard.at;
        word.last = ping;
        if (conclusive(ping)) word.heard = heard.at;
        if (ping.role && ping.writable && heard.role_counts) {
            word.role = ping.role;
            word.writable = ping.writable;
            word.role_heard = heard.at;
            word.role_of_life = ping.started_at;
        }
    }
    return words;
}

bool TallyModel::fresh(const Target& target, const Word& word) const {
    if (!word.heard || hearing_ - *word.heard > freshness(target)) return false;
    return !word.last.suspect || hearing_ - word.suspect_since <= 60s;
}

/// The observers who were not heard here since another aggregator wrote the state, and whom that had heard.
std::map<std::string, Opinion> TallyModel::heard_elsewhere(const Target& target) {
    std::map<std::string, Opinion> elsewhere;
    if (!target.others_word || !target.vouched || target.belief->state == Health::unknown) return elsewhere;
    const auto words = TallyModel::words(target);
    for (const contract::Evidence& evidence : target.belief->evidence) {
        const auto own = words.find(evidence.worker);
        const bool heard_here =
            own != words.end() && own->second.heard && *own->second.heard > *target.others_word;
        if (target.observers.contains(evidence.worker) && !heard_here)
            elsewhere[evidence.worker] = evidence.opinion;
    }
    return elsewhere;
}

TallyModel::Ballot TallyModel::ballot(const Target& target) const {
    Ballot ballot;
    const auto words = TallyModel::words(target);
    const auto elsewhere = heard_elsewhere(target);
    for (const auto& [worker, word] : words) {
        const auto until = served_until_.find(worker);
        const bool served_lately =
            std::ranges::count(members_, worker) > 0 ||
            (until != served_until_.end() && hearing_ - until->second <= freshness(target));
        ballot.somebody_heard |= fresh(target, word) && served_lately;
    }
    for (const auto& [worker, since] : target.observers) {
        const auto found = words.find(worker);
        const bool fresh_here = found != words.end() && fresh(target, found->second);
        if (fresh_here) {
            const Word& word = found->second;
            const bool suspect = word.last.suspect;
            if (suspect && hearing_ - word.suspect_since > 3 * target.definition->interval) continue;
            if (!target.others_word || *word.heard > *target.others_word) {
                ballot.votes.push_back(
                    {word.last.opinion, suspect, contract::is_hard_evidence(word.last.reason)});
                continue;
            }
        }
        if (elsewhere.contains(worker) && elsewhere.at(worker) == Opinion::up &&
            target.belief->state == Health::up) {
            ballot.votes.push_back({Opinion::up, false, false});
            continue;
        }
        if (fresh_here || elsewhere.contains(worker)) {
            ++ballot.unheard;
            continue;
        }
        const bool heard_since = found != words.end() && found->second.heard && *found->second.heard >= since;
        if (!heard_since && hearing_ - since <= freshness(target)) ++ballot.unheard;
    }
    return ballot;
}

std::optional<Health> TallyModel::decides(const Target& target) const {
    const Ballot ballot = TallyModel::ballot(target);
    std::size_t ups = 0;
    std::size_t downs = 0;
    bool hard = false;
    for (const Vote& vote : ballot.votes) {
        if (vote.suspect) continue;
        if (vote.opinion == Opinion::up) ++ups;
        if (vote.opinion == Opinion::down) ++downs;
        if (vote.opinion == Opinion::down && vote.hard) hard = true;
    }
    const std::size_t voters = ballot.votes.size() + ballot.unheard;
    if (voters == 0) {
        const bool young = hearing_ - target.begun <= freshness(target);
        if (ballot.somebody_heard || young) return std::nullopt;
        return Health::unknown;
    }
    const std::size_t majority = voters / 2 + 1;
    const std::size_t quorum = std::min<std::size_t>(
        target.definition->quorum.value_or(static_cast<std::uint32_t>(majority)), voters);
    if (ups >= quorum) return Health::up;
    if (downs < quorum) return std::nullopt;
    if (downs == 1 && target.observers.size() > 1 && !hard) return std::nullopt;
    return Health::down;
}

bool TallyModel::disputed(const std::string& name) {
    const Target& target = targets_[name];
    if (!target.definition || rank(name) == Rank::none || !loaded() || decides(target)) return false;
    const Ballot ballot = TallyModel::ballot(target);
    const auto says = [&](Opinion opinion) {
        return std::ranges::any_of(
            ballot.votes, [opinion](const Vote& vote) { return !vote.suspect && vote.opinion == opinion; });
    };
    return says(Opinion::up) && says(Opinion::down);
}

/// Who knows the role: the observers who told it within one freshness, of the life that is the present one.
std::vector<TallyModel::Word> TallyModel::reports(const Target& target) const {
    std::vector<Word> reports;
    const std::optional<Life>& life = target.untold_life ? target.untold_life : target.life;
    std::map<std::string, Opinion> elsewhere = heard_elsewhere(target);
    const bool other_counts = target.others_word && target.belief->state == Health::up &&
                              (!life || target.belief->started_at == life->started_at);
    if (!other_counts) elsewhere.clear();
    if (!elsewhere.empty()) {
        Word word;
        word.role = target.belief->role;
        word.writable = target.belief->writable;
        if (!word.role || !word.writable) word.role.reset();
        reports.assign(elsewhere.size(), word);
    }
    for (const auto& [worker, word] : words(target)) {
        if (!target.observers.contains(worker) || !word.role || elsewhere.contains(worker)) continue;
        if (hearing_ - word.role_heard > freshness(target)) continue;
        if (target.others_word && word.role_heard <= *target.others_word) continue;
        if (life && word.role_of_life && *word.role_of_life != life->started_at) continue;
        reports.push_back(word);
    }
    return reports;
}

bool TallyModel::under_maintenance(Target& target, Now now) const {
    if (!target.maintenance_until || target.maintenance_over) return false;
    if (!target.maintenance_ends) target.maintenance_ends = now.mono + (*target.maintenance_until - now.wall);
    target.maintenance_over = now.mono >= *target.maintenance_ends;
    return !target.maintenance_over;
}

std::vector<std::string> TallyModel::conflicts(const std::string& name, const Target& target) const {
    std::vector<std::string> names;
    std::vector<std::optional<Role>> roles;
    for (const Word& report : reports(target)) roles.push_back(report.role);
    const bool known_primary = majority<Role>(roles, std::nullopt) == Role::primary;
    for (const auto& [other_name, other] : targets_) {
        if (other_name == name || !other.claim || other.claim->service != target.definition->service)
            continue;
        bool told_since = false;
        for (const auto& [worker, word] : words(target)) {
            told_since |= target.observers.contains(worker) && word.role == Role::primary &&
                          word.role_heard > other.claim->since;
        }
        const bool claimed_first = target.claim && target.claim->since <= other.claim->since;
        const bool stands = claimed_first && known_primary && told_since &&
                            hearing_ - other.claim->since > target.definition->interval;
        const auto names_other = [](const Target& one, const std::string& another) {
            return one.belief && std::ranges::count(one.belief->conflicts_with, another) > 0;
        };
        const bool told = names_other(other, name) || names_other(target, other_name);
        if (stands || told) names.push_back(other_name);
    }
    return names;
}

void TallyModel::add_evidence(const Target& target, bool state_changes, Wanted& wanted) const {
    State& next = *wanted.state;
    std::map<Reason, int> reasons;
    for (const auto& [worker, word] : words(target)) {
        const bool observer = target.observers.contains(worker);
        const bool doubts_for_long =
            word.last.suspect && hearing_ - word.suspect_since > 3 * target.definition->interval;
        const bool voter = observer && fresh(target, word) && !doubts_for_long;
        // Where nobody has a voice, what those said who fell silent.
        const bool shown = next.state == Health::unknown ? observer || target.observers.empty() : voter;
        if (!shown) continue;
        const contract::Ping& last = word.last;
        next.evidence.push_back({worker, last.site, last.opinion, last.verdict, last.reason, last.sqlstate,
                                 last.rtt_us, last.at});
        const bool accepting = last.verdict == Verdict::accepting;
        if ((next.state == Health::up && last.opinion == Opinion::up && accepting) ||
            (next.state == Health::down && last.opinion == Opinion::down && !accepting && conclusive(last)) ||
            (next.state == Health::unknown && last.verdict == Verdict::not_attempted))
            ++reasons[last.reason];
    }
    // The state never loses its grounds: those that it was decided on stand in where nobody repeats them.
    const Opinion ground = next.state == Health::up ? Opinion::up : Opinion::down;
    const auto grounds = [ground](const contract::Evidence& word) { return word.opinion == ground; };
    if (!state_changes && next.state != Health::unknown && std::ranges::none_of(next.evidence, grounds)) {
        std::map<std::string, contract::Evidence> by_worker;
        for (const auto& word : next.evidence) by_worker[word.worker] = word;
        for (const auto& word : target.belief->evidence) {
            if (grounds(word)) by_worker[word.worker] = word;
        }
        next.evidence.clear();
        for (const auto& [worker, word] : by_worker) next.evidence.push_back(word);
    }

    int most = 0;
    bool hard = false;
    for (const auto& [reason, count] : reasons) most = std::max(most, count);
    for (const auto& [reason, count] : reasons) hard |= count == most && contract::is_hard_evidence(reason);
    for (const auto& [reason, count] : reasons) {
        if (count == most && contract::is_hard_evidence(reason) == hard) wanted.reasons.insert(reason);
    }
    if (wanted.reasons.empty()) {
        if (!state_changes && target.belief)
            wanted.reasons = {target.belief->reason};
        else
            wanted.reasons = {next.state == Health::up ? Reason::ok : Reason::observer_stalled};
    }
}

std::optional<TallyModel::Wanted> TallyModel::wants(const std::string& name, Now now) {
    Target& target = targets_[name];
    const Rank own_rank = rank(name);
    if (!loaded() || target.in_flight || own_rank == Rank::none || now.mono < target.quiet_until)
        return std::nullopt;
    if (target.removed) {
        if (!target.belief) return std::nullopt;
        return Wanted{std::nullopt, {}, target.revision, false};
    }
    if (!target.definition) return std::nullopt;

    const std::optional<Health> decided = decides(target);
    const bool maintenance = under_maintenance(target, now);
    if (!target.belief && !decided) return std::nullopt;
    const State before = target.belief.value_or(State{});
    State next = before;
    next.target = name;
    next.evidence.clear();
    next.state = decided.value_or(before.state);
    const bool restarts = next.state == Health::up && target.untold_life;
    if (next.state == Health::up) {
        const bool another_start =
            restarts && target.life && target.untold_life->started_at != target.life->started_at;
        if (before.state != Health::up || !target.belief || another_start) {
            next.role.reset();
            next.writable.reset();
        }
        std::vector<std::optional<Role>> roles;
        std::vector<std::optional<bool>> writable;
        for (const Word& report : reports(target)) {
            roles.push_back(report.role);
            writable.push_back(report.role ? report.writable : std::nullopt);
        }
        next.role = majority(roles, next.role);
        next.writable = majority(writable, next.writable);
    }
    next.role_unexpected =
        target.definition->expect_role && next.role && *next.role != *target.definition->expect_role;
    next.maintenance = maintenance;
    next.maintenance_until = target.maintenance_until;
    next.conflicts_with.clear();
    if (next.state == Health::up && next.role == Role::primary) next.conflicts_with = conflicts(name, target);
    if (restarts) ++next.restarts;

    next.changed.reset();
    const auto changed = [&next](Change change, bool differs) {
        next.changed.set(static_cast<std::size_t>(change), differs);
    };
    changed(Change::state, !target.belief || before.state != next.state);
    changed(Change::role, before.role != next.role);
    changed(Change::writable, before.writable != next.writable);
    changed(Change::restarts, restarts);
    changed(Change::maintenance, before.maintenance != next.maintenance);
    changed(Change::conflicts_with, before.conflicts_with != next.conflicts_with);
    changed(Change::role_unexpected, before.role_unexpected != next.role_unexpected);

    bool said_by_its_pings = false;
    for (const Change change : {Change::state, Change::role, Change::writable, Change::restarts})
        said_by_its_pings |= next.changed.test(static_cast<std::size_t>(change));
    const bool others_word_is_new =
        target.others_word && hearing_ - *target.others_word <= target.definition->interval;
    const bool waits = others_word_is_new && (own_rank == Rank::second || !said_by_its_pings);
    if (next.changed.none() || waits) {
        if (!target.belief || !target.put_back_from || now.mono < *target.put_back_from) return std::nullopt;
        return Wanted{target.belief, {target.belief->reason}, target.revision, true};
    }

    Wanted wanted{std::move(next), {}, target.revision, false};
    State& state = *wanted.state;
    const bool state_changes = state.changed.test(static_cast<std::size_t>(Change::state));
    state.transition = before.transition + 1;
    state.previous.reset();
    if (target.belief) state.previous = before.state;
    if (!target.belief || state.state != before.state) state.since = now.wall;
    state.decided_by = id_;
    state.decided_at = now.wall;
    state.started_at.reset();
    state.crashed_at.reset();
    if (const auto& life = restarts ? target.untold_life : target.life) {
        state.started_at = life->started_at;
        state.crashed_at = life->crashed_at;
    }
    add_evidence(target, state_changes, wanted);
    if (restarts) wanted.reasons = {Reason::restarted};
    return wanted;
}

}  // namespace pgpulse::support
