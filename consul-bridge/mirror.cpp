#include "consul-bridge/mirror.hpp"

#include "consul-bridge/desired.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace pgpulse::consul_bridge {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstHoldBack{1000};
constexpr milliseconds kLongestHoldBack{15'000};
/// How long a reconcile gives way to targets that wait for a transaction.
constexpr milliseconds kReconcileGivesWay{5000};
constexpr std::size_t kTargetsPerRead = 512;
/// So many targets waiting are worth a line on how far they are.
constexpr std::size_t kBacklog = 1000;
constexpr milliseconds kProgressLine{5000};

std::string in_seconds(std::chrono::nanoseconds time) {
    const auto tenths = std::chrono::duration_cast<milliseconds>(time).count() / 100;
    return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
}

}  // namespace

std::string count_of_targets(std::size_t number) {
    return std::to_string(number) + (number == 1 ? " target" : " targets");
}

Mirror::Target& Mirror::target(const std::string& name) {
    const auto [it, fresh] = targets_.try_emplace(name);
    if (fresh) {
        it->second.name = name;
        it->second.own = owns(name);
    }
    return it->second;
}

void Mirror::define(const contract::TargetDefinition& definition, Mono now) {
    Target& t = target(definition.name);
    if (t.definition == definition) return;
    if (!t.definition) {
        if (t.state) ++counters_.targets;
        if (t.own) ++counters_.owned;
    }
    t.definition = definition;
    t.removed = false;
    if (!t.unsent_since) t.unsent_since = now;
    examine(t);
}

void Mirror::undefine(const std::string& name, Mono now) {
    Target& t = target(name);
    if (t.definition) {
        if (t.state) --counters_.targets;
        if (t.own) --counters_.owned;
    }
    if (t.definition && t.own && settings_.keep_removed) {
        say(Say::Level::info, "target '" + name + "' was removed: kept in Consul as it was last written");
    }
    t.definition.reset();
    t.removed = true;
    if (!t.unsent_since) t.unsent_since = now;
    examine(t);
}

void Mirror::observe(contract::State state, const Stamp& stamp, Mono now) {
    Target& t = target(state.target);
    if (t.state && t.stamp.epoch == stamp.epoch && t.stamp.revision >= stamp.revision) return;
    if (t.definition && !t.state) ++counters_.targets;
    t.state = std::move(state);
    t.stamp = stamp;
    if (!t.unsent_since) t.unsent_since = now;
    examine(t);
}

void Mirror::forget_state(const std::string& name) {
    Target& t = target(name);
    if (t.definition && t.state) --counters_.targets;
    t.state.reset();
}

Difference Mirror::difference(const Target& t) const {
    if (!t.own || (t.removed && settings_.keep_removed)) return {};
    if (t.removed) return to_deregister(t.name, key_of(t), t.held);
    if (!t.definition || !t.state) return {};
    return to_register(t.name, key_of(t), desired(*t.definition, *t.state, t.stamp, stale_, settings_.compat),
                       t.held, t.outlived);
}

void Mirror::move_to(Target& t, Phase phase, Place place) {
    if (t.phase == Phase::settled && phase != Phase::settled) ++counters_.pending;
    if (t.phase != Phase::settled && phase == Phase::settled) --counters_.pending;
    if (phase == Phase::settled) denials_.settle(t.name, false);
    t.phase = phase;
    if (phase == Phase::queued) {
        if (place == Place::first) {
            queue_.push_front(&t);
        } else {
            queue_.push_back(&t);
        }
    }
    if (phase == Phase::unread) unread_.push_back(&t);
}

/// Looks whether a settled target has to be written.
void Mirror::examine(Target& t) {
    if (!read_once_ || t.phase != Phase::settled) return;
    const Difference found = difference(t);
    note_obstacle(t, found.obstacle);
    if (!found.operations.empty()) {
        const bool says_the_same = !std::holds_alternative<PutValue>(found.operations.front());
        move_to(t, t.hearsay && says_the_same ? Phase::unread : Phase::queued);
        return;
    }
    t.unsent_since.reset();
    t.refusals = 0;
    t.alone = false;
}

void Mirror::note_obstacle(Target& t, Obstacle obstacle) {
    if (t.obstacle != obstacle) {
        t.obstacle_met = 0;
        t.told_obstacle = false;
    }
    t.obstacle = obstacle;
    ++t.obstacle_met;
    const bool doubtful = obstacle == Obstacle::newer_value || obstacle == Obstacle::other_epoch;
    if (doubtful && !std::exchange(t.asked_about, true)) doubtful_.push_back(&t);
    if (obstacle == Obstacle::none || t.told_obstacle) return;
    // The own watch may be a moment behind another bridge's: only what NATS was asked about twice is worth a line.
    if (doubtful && t.obstacle_met < 3) return;
    t.told_obstacle = true;
    switch (obstacle) {
        case Obstacle::foreign_node:
            say(Say::Level::warning,
                "target '" + t.name +
                    "': Consul has a node of this name that pgpulse did not make: not written");
            break;
        case Obstacle::foreign_value:
            say(Say::Level::warning, "target '" + t.name + "': Consul has a KV key '" + key_of(t) +
                                         "' that pgpulse did not write: not written");
            break;
        case Obstacle::newer_value:
            say(Say::Level::warning, "target '" + t.name +
                                         "': Consul holds a later revision than the bucket's " +
                                         std::to_string(t.stamp.revision) + ": not written");
            break;
        case Obstacle::other_epoch:
            say(Say::Level::warning, "target '" + t.name +
                                         "': Consul holds a state of another bucket 'health', which is not "
                                         "known to be an earlier one: not written");
            break;
        case Obstacle::foreign_root:
            say(Say::Level::warning,
                "target '" + t.name + "': Consul has a KV key '" + t.name +
                    "' that neither pgpulse nor consul-postgres wrote: all but this key is written");
            break;
        case Obstacle::none:
            break;
    }
}

/// What was sent is unsent again.
void Mirror::unsend(Target& t) {
    ++counters_.retries;
    if (t.sent_since) t.unsent_since = std::exchange(t.sent_since, std::nullopt);
}

void Mirror::refuse(Target& t, const std::string& what, Mono now) {
    ++counters_.conflicts;
    if (t.refusals++ == 0) {
        move_to(t, Phase::unread);
    } else {
        hold_back(t, what, now);
    }
}

void Mirror::hold_back(Target& t, const std::string& what, Mono now) {
    const unsigned times = std::min(t.refusals, 6U);
    const milliseconds pause = std::min(kFirstHoldBack * (1 << times) / 4, kLongestHoldBack);
    if (t.refusals == 2) {
        say(Say::Level::warning, "target '" + t.name + "': Consul refuses " + what + "; trying again");
    }
    move_to(t, Phase::held_back);
    held_back_.emplace(now + pause, &t);
}

void Mirror::finished(RequestId id, const TransactionOutcome& outcome, Mono now) {
    auto node = transactions_.extract(id);
    if (node.empty()) return;
    const Transaction& transaction = node.mapped();
    for (const auto& part : transaction.parts()) target(part.target).touched = last_request_;
    if (const auto* unreachable = std::get_if<Unreachable>(&outcome)) {
        ++counters_.transactions_unreachable;
        for (const auto& part : transaction.parts()) {
            unsend(target(part.target));
            move_to(target(part.target), Phase::queued);
        }
        lost(*unreachable, now);
        return;
    }
    heard(id, now);
    if (const auto* committed = std::get_if<Committed>(&outcome)) {
        commit(transaction, *committed, now);
    } else if (const auto* refused = std::get_if<Refused>(&outcome)) {
        split(transaction, *refused, now);
    } else {
        retry_alone(transaction, std::get<Rejected>(outcome), now);
    }
}

void Mirror::commit(const Transaction& transaction, const Committed& committed, Mono now) {
    ++counters_.transactions_committed;
    counters_.operations_committed += transaction.operations();
    const auto index_in = [](const auto& indexes, const std::string& name) {
        const auto it = indexes.find(name);
        return it == indexes.end() ? std::uint64_t{0} : it->second;
    };
    for (const auto& part : transaction.parts()) {
        Target& t = target(part.target);
        bool indexes_known = true;
        for (const Operation& operation : part.operations) {
            std::uint64_t index = 0;
            if (const auto* value = std::get_if<PutValue>(&operation)) {
                index = index_in(committed.values, value->key);
                indexes_known = indexes_known && index != 0;
            } else if (const auto* root = std::get_if<PutRoot>(&operation)) {
                index = index_in(committed.values, root->target);
                indexes_known = indexes_known && index != 0;
            } else if (const auto* put = std::get_if<PutNode>(&operation)) {
                index = index_in(committed.nodes, put->name);
                indexes_known = indexes_known && index != 0;
            } else if (std::holds_alternative<DeleteNode>(operation)) {
                say(Say::Level::info, "target '" + t.name + "' was removed: deregistered from Consul");
            }
            apply(operation, index, t.held);
        }
        if (t.sent_since) {
            delays_.push_back(now - *t.sent_since);
            t.sent_since.reset();
        }
        ++caught_up_;
        t.alone = false;
        t.hearsay = false;
        t.outlived.reset();
        t.refusals = 0;
        denials_.settle(t.name, true);
        if (indexes_known) {
            move_to(t, Phase::settled);
            examine(t);
        } else {
            move_to(t, Phase::unread);
        }
    }
}

void Mirror::split(const Transaction& transaction, const Refused& refused, Mono now) {
    ++counters_.transactions_refused;
    std::map<std::size_t, std::string> faulty;
    std::set<std::size_t> denied;
    for (const Refused::Fault& fault : refused.faults) {
        const std::size_t part = transaction.part_of(fault.operation);
        if (part == transaction.parts().size()) continue;
        std::size_t first = 0;
        for (std::size_t i = 0; i < part; ++i) first += transaction.parts()[i].operations.size();
        const Operation& operation = transaction.parts()[part].operations[fault.operation - first];
        if (is_denied(fault.what)) {
            denials_.deny(transaction.parts()[part].target, right_for(operation, settings_.kv_prefix), now);
            denied.insert(part);
        }
        faulty.try_emplace(part, name_of(operation) + ": " + fault.what);
    }
    for (std::size_t i = transaction.parts().size(); i-- > 0;) {
        Target& t = target(transaction.parts()[i].target);
        unsend(t);
        if (denied.contains(i)) {
            ++counters_.conflicts;
            move_to(t, Phase::held_back);
        } else if (const auto fault = faulty.find(i); fault != faulty.end()) {
            refuse(t, fault->second, now);
        } else if (faulty.empty()) {
            refuse(t, "a transaction without saying why", now);
        } else {
            move_to(t, Phase::queued, Place::first);
        }
    }
}

void Mirror::retry_alone(const Transaction& transaction, const Rejected& rejected, Mono now) {
    ++counters_.transactions_rejected;
    const bool single = transaction.parts().size() == 1;
    for (const auto& part : transaction.parts()) {
        Target& t = target(part.target);
        unsend(t);
        t.alone = true;
        if (single) {
            t.refusals = std::max(t.refusals + 1, 2U);
            hold_back(t, "the transaction: " + rejected.text, now);
        } else {
            move_to(t, Phase::queued);
        }
    }
}

void Mirror::heard(RequestId id, Mono now) {
    if (contact_.away() && id <= last_before_loss_) return;
    const auto away = contact_.heard(now);
    if (!away) return;
    returned_after_ = away;
    caught_up_ = 0;
    reconcile_at_ = now;
}

void Mirror::lost(const Unreachable& how, Mono now) {
    const std::string& text = how.text;
    const bool ever = contact_.ever();
    if (how.busy) {
        if (contact_.overloaded(now, how.pause)) {
            say(Say::Level::warning, text + ": sending less, and the latest state of every target");
        }
        return;
    }
    returned_after_.reset();
    last_before_loss_ = last_request_;
    if (!contact_.lost(now, how.pause)) return;
    say(Say::Level::warning, ever ? text + ": keeping the latest state of every target until it answers"
                                  : text + ": trying again until it answers");
}

void Mirror::no_answer(const std::string& how, Mono now) {
    if (contact_.present()) lost(Unreachable{how}, now);
}

void Mirror::say_caught_up() {
    if (!returned_after_ || !gives_way_to_none() || !transactions_.empty()) return;
    say(Say::Level::info, "Consul answers again after " + in_seconds(*returned_after_) + ": " +
                              count_of_targets(caught_up_) + " written");
    returned_after_.reset();
}

/// How far a long list of targets is.
void Mirror::say_progress(Mono now) {
    if (counters_.pending >= kBacklog && !backlog_) backlog_ = Backlog{now, now + kProgressLine, 0, false};
    if (!backlog_) return;
    backlog_->most = std::max(backlog_->most, counters_.pending);
    if (counters_.pending == 0) {
        if (backlog_->told) {
            say(Say::Level::info, "Consul has them all: " + count_of_targets(backlog_->most) + " in " +
                                      in_seconds(now - backlog_->since));
        }
        backlog_.reset();
    } else if (contact_.present() && may_write() && now >= backlog_->say_at) {
        backlog_->say_at = now + kProgressLine;
        backlog_->told = true;
        say(Say::Level::info, "writing to Consul: " + std::to_string(backlog_->most - counters_.pending) +
                                  " of " + count_of_targets(backlog_->most));
    }
}

std::size_t Mirror::open_requests() const {
    return transactions_.size() + target_reads_.size() + (everything_ ? 1 : 0);
}

std::vector<Action> Mirror::step(Mono now) {
    while (!held_back_.empty() && held_back_.begin()->first <= now) {
        move_to(*held_back_.begin()->second, Phase::unread);
        held_back_.erase(held_back_.begin());
    }
    ask_bucket(now);
    for (const std::string& name : denials_.due(now)) move_to(target(name), Phase::queued);
    for (Denials::Line& line : denials_.lines(now)) {
        say(line.warning ? Say::Level::warning : Say::Level::info, std::move(line.text));
    }
    if (contact_.present()) {
        if (!unread_.empty() && target_reads_.empty()) send_read_targets();
        while (may_write() && !queue_.empty() && transactions_.size() < settings_.transactions_in_flight) {
            send_transaction();
        }
        const bool due =
            now >= reconcile_at_ && (gives_way_to_none() || now >= reconcile_at_ + kReconcileGivesWay);
        if (due && !everything_) send_read_everything();
    } else if (contact_.may_try(open_requests(), now)) {
        while (may_write() && !queue_.empty() && transactions_.empty()) send_transaction();
        if (transactions_.empty()) send_read_everything();
        contact_.trying();
    }
    say_caught_up();
    say_progress(now);
    if (const auto overloaded = contact_.calm(now)) {
        say(Say::Level::info, "Consul takes all requests again, after " + in_seconds(*overloaded));
    }
    return std::exchange(actions_, {});
}

void Mirror::send_transaction() {
    Transaction transaction;
    const RequestId id = last_request_ + 1;
    while (!queue_.empty()) {
        Target& t = *queue_.front();
        Difference found = difference(t);
        if (found.operations.empty()) {
            queue_.pop_front();
            move_to(t, Phase::settled);
            note_obstacle(t, found.obstacle);
            t.unsent_since.reset();
            continue;
        }
        if (t.alone && !transaction.empty()) break;
        if (!transaction.add(t.name, std::move(found.operations))) break;
        queue_.pop_front();
        move_to(t, Phase::written);
        t.touched = id;
        t.sent_since = std::exchange(t.unsent_since, std::nullopt);
        if (t.alone) break;
    }
    if (transaction.empty()) return;
    last_request_ = id;
    std::string body = transaction.take_body();
    actions_.emplace_back(
        SendTransaction{id, std::move(body), transaction.parts().size(), transaction.operations()});
    transactions_.emplace(id, std::move(transaction));
}

void Mirror::send_read_targets() {
    ReadTargets action{++last_request_, {}};
    while (!unread_.empty() && action.targets.size() < kTargetsPerRead) {
        Target& t = *unread_.front();
        unread_.pop_front();
        move_to(t, Phase::reading);
        action.targets.push_back(t.name);
    }
    target_reads_.emplace(action.id, action.targets);
    actions_.emplace_back(std::move(action));
}

void Mirror::send_read_everything() {
    everything_ = ++last_request_;
    actions_.emplace_back(ReadEverything{*everything_});
}

std::optional<Mono> Mirror::next_step() const {
    std::optional<Mono> next;
    const auto sooner = [&next](Mono at) { next = next ? std::min(*next, at) : at; };
    if (!held_back_.empty()) sooner(held_back_.begin()->first);
    if (const auto at = denials_.next()) sooner(*at);
    if (const auto at = contact_.calm_at()) sooner(*at);
    if (contact_.present() && !everything_) {
        sooner(gives_way_to_none() ? reconcile_at_ : reconcile_at_ + kReconcileGivesWay);
    }
    if (!doubtful_.empty() && !question_ && hears_itself_) sooner(ask_at_);
    if (!contact_.present() && open_requests() == 0) sooner(contact_.retry_at());
    return next;
}

Mirror::Counters Mirror::counters() const {
    Counters counters = counters_;
    counters.read_once = read_once_;
    counters.reachable = contact_.present();
    counters.away = contact_.away();
    counters.denied = denials_.size();
    return counters;
}

std::vector<std::chrono::nanoseconds> Mirror::take_delays() { return std::exchange(delays_, {}); }

void Mirror::say(Say::Level level, std::string text) { actions_.emplace_back(Say{level, std::move(text)}); }

}  // namespace pgpulse::consul_bridge
