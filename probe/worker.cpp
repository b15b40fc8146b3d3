#include "probe/worker.hpp"

#include "common/contract/hash.hpp"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

namespace pgpulse::probe {
namespace {

using contract::fnv1a;

// So many targets are looked at for controls at one failure.
constexpr std::size_t kControlsLookedAt = 256;

/// A failure that may be the observer's own fault, or the network's.
bool is_soft_failure(const PingResult& result) {
    return result.verdict == contract::Verdict::no_response && !contract::is_hard_evidence(result.reason);
}

/// Where nothing was found, and nothing is known that more pings could confirm: it would go on for as long as the cause
/// lasts, a file that cannot be used or a name that is looked up yet.
bool tells_nothing(const PingResult& result, const OpinionTracker& opinion) {
    if (result.verdict == contract::Verdict::not_attempted) return true;
    return result.verdict == contract::Verdict::inconclusive && opinion.streak() == 0 &&
           opinion.opinion() == contract::Opinion::undecided;
}

Schedule::Confirming left_to_confirm(const OpinionTracker& opinion) {
    if (opinion.settled()) return Schedule::Confirming::nothing;
    const bool may_fall = opinion.failing() || opinion.opinion() == contract::Opinion::up;
    return may_fall ? Schedule::Confirming::failure : Schedule::Confirming::success;
}

Schedule::Pace pace_of(const contract::TargetDefinition& definition) {
    return {definition.interval, definition.fast_interval, std::max(definition.rise, definition.fall)};
}

}  // namespace

bool same_endpoint(const contract::TargetDefinition& a, const contract::TargetDefinition& b) {
    const auto endpoint = [](const contract::TargetDefinition& d) {
        return std::tie(d.address, d.port, d.user, d.database, d.mode, d.sslmode, d.sslrootcert, d.sslcert,
                        d.sslkey, d.credentials);
    };
    return endpoint(a) == endpoint(b);
}

Worker::Worker(Identity identity, Schedule::Limits limits, bool has_references, std::size_t most_sessions,
               SelfDoubt self_doubt)
    : identity_(std::move(identity)),
      self_doubt_(self_doubt),
      schedule_(limits, fnv1a(identity_.id)),
      doubt_(has_references),
      most_sessions_(most_sessions) {}

TargetIndex Worker::put_target(const contract::TargetDefinition& definition, Mono now) {
    if (const auto known = by_name_.find(definition.name); known != by_name_.end()) {
        Target& target = targets_[known->second];
        const bool moved = !same_endpoint(target.definition, definition);
        const bool repaced = target.definition.interval != definition.interval ||
                             target.definition.fast_interval != definition.fast_interval;
        target.definition = definition;
        target.ranked_in = 0;
        if (moved) {
            ++target.endpoint;
            target.opinion = {};
            doubt_.add(known->second, now);
            set_mode(known->second, definition.mode);
            schedule_.confirm(known->second, Schedule::Confirming::success, now);
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
    target.ranked_in = 0;
    target.opinion = {};
    target.present = true;
    target.called.reset();
    set_mode(index, definition.mode);
    ++target.life;
    by_name_.emplace(definition.name, index);
    schedule_.add(index, fnv1a(definition.name), pace_of(definition), now);
    doubt_.add(index, now);
    return index;
}

std::optional<TargetIndex> Worker::remove_target(std::string_view name) {
    const auto known = by_name_.find(std::string{name});
    if (known == by_name_.end()) return std::nullopt;
    const TargetIndex index = known->second;
    by_name_.erase(known);
    set_mode(index, contract::Mode::ping);
    targets_[index].present = false;
    targets_[index].definition = {};
    free_targets_.push_back(index);
    schedule_.remove(index);
    doubt_.remove(index);
    return index;
}

void Worker::tick(Mono now, std::size_t starts, std::vector<Action>& actions) {
    hear_time(now);
    actions.insert(actions.end(), std::make_move_iterator(soon_.begin()),
                   std::make_move_iterator(soon_.end()));
    soon_.clear();
    doubt_.tick(now);
    if (doubt_.takes_question(now)) actions.emplace_back(AskReferences{});
    while (!deadlines_.empty() && deadlines_.top().at <= now) {
        const PingId ping = deadlines_.top().ping;
        deadlines_.pop();
        if (under_way(ping)) actions.emplace_back(ExpirePing{ping});
    }
    for (; starts > 0; --starts) {
        const auto start = schedule_.next_start(now);
        if (!start) return;
        Target& target = targets_[start->target];
        SessionPlan* const plan = target.session.get();
        SessionPlan::Turn turn = SessionPlan::Turn::fresh;
        if (plan != nullptr && !start->fast) {
            turn = plan->turn(now, listener_of(target));
        }
        const bool check = turn != SessionPlan::Turn::fresh;
        const PingId ping = take_slot();
        InFlight& in_flight = pings_[ping.slot];
        in_flight.target = start->target;
        in_flight.life = target.life;
        in_flight.endpoint = target.endpoint;
        in_flight.fast = start->fast;
        in_flight.check = check;
        in_flight.started = now;
        in_flight.stalled_before = stalled_for_;
        deadlines_.push({now + target.definition.timeout, ping});
        if (check) {
            actions.emplace_back(StartCheck{ping,
                                            {start->target, plan->generation()},
                                            turn == SessionPlan::Turn::check_with_lag,
                                            start->due});
            continue;
        }
        if (plan != nullptr) plan->fresh_started(now);
        actions.emplace_back(StartPing{ping, start->target, start->due});
    }
}

void Worker::set_probes(std::vector<std::string> probes) {
    probes_ = cluster::Rendezvous{std::move(probes)};
    ++probes_version_;
}

SessionPlan::Listener Worker::listener_of(Target& target) {
    const auto& definition = target.definition;
    if (target.ranked_in != probes_version_) {
        const auto observers = probes_.owners(definition.name, definition.observers);
        const auto self = std::ranges::find(observers, identity_.id);
        target.rank = self == observers.end() ? 0 : static_cast<std::uint32_t>(self - observers.begin());
        target.ranked_in = probes_version_;
    }
    const auto sharing = std::clamp<std::size_t>(probes_.members().size(), 1, definition.observers);
    const std::chrono::nanoseconds turn = definition.listener_interval;
    const std::chrono::nanoseconds period = turn * static_cast<std::int64_t>(sharing);
    // Targets do not fall into step.
    const std::chrono::nanoseconds own{
        static_cast<std::int64_t>(fnv1a(definition.name) % static_cast<std::uint64_t>(period.count()))};
    return {period, (own + target.rank * turn - wall_offset_) % period};
}

std::optional<Worker::InFlight> Worker::release(PingId id, Mono now) {
    hear_time(now);
    if (!under_way(id)) return std::nullopt;
    InFlight& in_flight = pings_[id.slot];
    in_flight.active = false;
    free_slots_.push_back(id.slot);
    const Target& target = targets_[in_flight.target];
    const bool same_target = target.present && target.life == in_flight.life;
    schedule_.ended(same_target ? std::optional{in_flight.target} : std::nullopt, in_flight.fast);
    if (!same_target || target.endpoint != in_flight.endpoint) return std::nullopt;
    return in_flight;
}

std::optional<Finding> Worker::finished(PingId id, const PingResult& raw, Mono now, contract::WallTime at) {
    const auto ping = release(id, now);
    if (!ping) return std::nullopt;
    Target& target = targets_[ping->target];
    const PingResult result = judged(raw, *ping, target.definition);
    Finding finding = take(ping->target, *ping, result, nullptr, now, at);
    if (!target.session) return finding;

    SessionPlan& plan = *target.session;
    if (ping->check) {
        // Its deadline has passed.
        if (result.verdict == contract::Verdict::no_response) {
            close_session(ping->target);
            confirm_by_fresh_pings(ping->target, now);
        }
        return finding;
    }
    switch (plan.result(result, ping->started)) {
        case SessionPlan::Confirmed::gone:
            target.opinion.settle_down();
            schedule_.confirm(ping->target, left_to_confirm(target.opinion), now);
            finding.ping.opinion = target.opinion.opinion();
            break;
        case SessionPlan::Confirmed::ping_again:
            schedule_.urge(ping->target, now);
            break;
        case SessionPlan::Confirmed::ping_again_until_settled:
            if (!target.opinion.settled()) schedule_.urge(ping->target, now);
            break;
        case SessionPlan::Confirmed::nothing:
        case SessionPlan::Confirmed::goes_on:
            break;
    }
    if (result.verdict == contract::Verdict::rejecting) close_session(ping->target);
    if (result.verdict == contract::Verdict::accepting && openings_ < kOpenings &&
        (target.has_place || places_ < most_sessions_) && plan.opens(now, session_generation_ + 1)) {
        take_place(target);
        ++session_generation_;
        ++openings_;
        soon_.emplace_back(OpenSession{{ping->target, plan.generation()}});
    }
    return finding;
}

std::optional<Finding> Worker::checked(PingId id, const PingResult& result, const SessionFacts& facts,
                                       Mono now, contract::WallTime at) {
    const auto ping = release(id, now);
    if (!ping) return std::nullopt;
    Target& target = targets_[ping->target];
    SessionFacts all = facts;
    if (target.session) {
        target.session->checked(facts);
        all.started_at = target.session->facts().started_at;
        all.crashed_at = target.session->facts().crashed_at;
    }
    return take(ping->target, *ping, result, &all, now, at);
}

void Worker::abandoned(PingId id, Mono now) { release(id, now); }

std::optional<Finding> Worker::session_opened(SessionId session, const SessionFacts& facts, Mono now,
                                              contract::WallTime at) {
    SessionPlan* const plan = plan_of(session);
    if (plan == nullptr || !plan->opening()) return std::nullopt;
    --openings_;
    ++open_sessions_;
    plan->opened(facts);
    InFlight login;
    login.started = now;
    return take(session.target, login, {contract::Verdict::accepting, contract::Reason::ok, {}, std::nullopt},
                &facts, now, at);
}

std::optional<Finding> Worker::session_refused(SessionId session, const PingResult& result, Mono now,
                                               contract::WallTime at) {
    SessionPlan* const plan = plan_of(session);
    if (plan == nullptr || !plan->opening()) return std::nullopt;
    --openings_;
    plan->refused(now);
    leave_place(targets_[session.target]);
    // What is no answer of the server is the fresh pings' business.
    if (result.verdict != contract::Verdict::accepting) return std::nullopt;
    InFlight login;
    login.started = now;
    const SessionFacts none;
    return take(session.target, login, result, &none, now, at);
}

void Worker::session_ended(SessionId session, Mono now) {
    SessionPlan* const plan = plan_of(session);
    if (plan == nullptr || !plan->lost(now)) return;
    --open_sessions_;
    confirm_by_fresh_pings(session.target, now);
}

void Worker::confirm_by_fresh_pings(TargetIndex index, Mono now) {
    Target& target = targets_[index];
    target.session->confirm(now);
    target.opinion.question();
    schedule_.confirm(index, Schedule::Confirming::failure, now);
    schedule_.urge(index, now);
}

void Worker::close_session(TargetIndex index) {
    Target& target = targets_[index];
    if (!target.session) return;
    if (!target.session->opening() && !target.session->open()) return;
    if (target.session->opening()) --openings_;
    if (target.session->open()) --open_sessions_;
    const SessionId session{index, target.session->generation()};
    target.session->ended();
    // One whose opening has not begun is not opened: whoever would carry it out may not know the target any
    // more.
    const auto waiting = std::erase_if(soon_, [session](const Action& action) {
        const auto* const opening = std::get_if<OpenSession>(&action);
        return opening != nullptr && opening->session == session;
    });
    if (waiting == 0) soon_.emplace_back(CloseSession{session});
}

/// Begins anew with a target's session, or without one.
void Worker::set_mode(TargetIndex index, contract::Mode mode) {
    Target& target = targets_[index];
    if (target.session) {
        close_session(index);
        leave_place(target);
        target.session.reset();
        --session_targets_;
    }
    if (mode != contract::Mode::session) return;
    target.session = std::make_unique<SessionPlan>();
    ++session_targets_;
}

void Worker::take_place(Target& target) {
    if (!std::exchange(target.has_place, true)) ++places_;
}

void Worker::leave_place(Target& target) {
    if (std::exchange(target.has_place, false)) --places_;
}

SessionPlan* Worker::plan_of(SessionId session) {
    if (session.target >= targets_.size()) return nullptr;
    const auto& plan = targets_[session.target].session;
    return plan && plan->is(session.generation) ? plan.get() : nullptr;
}

/// Counts a result in, and says what is to be published of it. `facts` are a session's, null: a fresh ping.
Finding Worker::take(TargetIndex index, const InFlight& in_flight, const PingResult& result,
                     const SessionFacts* facts, Mono now, contract::WallTime at) {
    Target& target = targets_[index];
    const contract::TargetDefinition& definition = target.definition;
    const bool held_up = target.opinion.opinion() == contract::Opinion::up && !target.opinion.failing();
    const bool blind = is_soft_failure(result) && doubt_.blind_at(in_flight.started);
    if (!blind) {
        const bool decides = weigh(index, in_flight, result, now);
        target.opinion.feed(result.verdict, in_flight.started, {definition.rise, definition.fall}, decides);
    }
    schedule_.confirm(index,
                      tells_nothing(result, target.opinion) ? Schedule::Confirming::nothing
                                                            : left_to_confirm(target.opinion),
                      now);

    Finding finding;
    contract::Ping& ping = finding.ping;
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
    ping.via = in_flight.check || facts != nullptr ? contract::Via::session : contract::Via::fresh;
    ping.opinion = target.opinion.opinion();
    ping.streak = target.opinion.streak();
    ping.suspect = blind || (doubt_.suspect() && is_soft_failure(result));
    if (facts != nullptr) {
        ping.role = facts->role;
        ping.writable = facts->writable;
        ping.lag_ms = facts->lag_ms;
        ping.lag_bytes = facts->lag_bytes;
        ping.started_at = facts->started_at;
        ping.crashed_at = facts->crashed_at;
    }
    if (held_up && target.opinion.failing() && definition.observers > 1 && !doubt_.suspect() &&
        (!target.called || now - *target.called >= definition.interval)) {
        target.called = now;
        finding.calls_observers = true;
    }
    return finding;
}

void Worker::called(std::string_view name, Mono now) {
    const auto known = by_name_.find(std::string{name});
    if (known == by_name_.end()) return;
    Target& target = targets_[known->second];
    target.called = now;
    if (target.session) target.session->called();
    schedule_.call(known->second, now);
}

/// Whether the result may decide.
bool Worker::weigh(TargetIndex index, const InFlight& ping, const PingResult& result, Mono now) {
    const Target& target = targets_[index];
    if (!is_soft_failure(result)) {
        const bool says_something = result.verdict != contract::Verdict::inconclusive &&
                                    result.verdict != contract::Verdict::not_attempted;
        if (says_something) doubt_.trusted(index, ping.started, now);
        return true;
    }
    if (self_doubt_ == SelfDoubt::off || target.opinion.superseded(ping.started)) return true;
    const Doubt::Weight weight =
        doubt_.weigh({index, ping.started, target.definition.timeout, target.definition.interval}, now);
    void_failures_where_doubt_began();
    if (weight.controls_wanted) call_controls(index, now);
    return weight.decides;
}

void Worker::void_failures_where_doubt_began() {
    if (!doubt_.takes_beginning()) return;
    for (TargetIndex index = 0; index < targets_.size(); ++index) {
        if (!doubt_.believed(index)) targets_[index].opinion.void_failures();
    }
}

void Worker::references_answered(bool any, Mono now) {
    doubt_.answered(any, now);
    void_failures_where_doubt_began();
}

void Worker::call_controls(TargetIndex failing, Mono now) {
    std::size_t wanted = Doubt::kFewest - 1;
    const std::size_t looked_at = std::min(targets_.size(), kControlsLookedAt);
    for (std::size_t i = 0; i < looked_at && wanted > 0; ++i) {
        next_control_ = (next_control_ + 1) % static_cast<TargetIndex>(targets_.size());
        if (next_control_ == failing || !doubt_.fit_for_control(next_control_)) continue;
        schedule_.call(next_control_, now);
        --wanted;
    }
}

Mono Worker::next_due(Mono now) {
    while (!deadlines_.empty()) {
        if (under_way(deadlines_.top().ping)) break;
        deadlines_.pop();
    }
    if (!soon_.empty()) return now;
    const Mono deadline = deadlines_.empty() ? Mono::max() : deadlines_.top().at;
    return std::min({deadline, schedule_.next_due(now), doubt_.next_due()});
}

bool Worker::under_way(PingId ping) const {
    return ping.slot < pings_.size() && pings_[ping.slot].active &&
           pings_[ping.slot].generation == ping.generation;
}

void Worker::hear_time(Mono now) {
    if (self_doubt_ == SelfDoubt::on && heard_ && now - *heard_ > 2 * kLongestTurn) {
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
