#include "aggregator/voters.hpp"

#include <algorithm>

namespace pgpulse::aggregator {
namespace {

/// Heard within one freshness, and not in doubt for too long.
bool heard_freshly(const Word& word, Voters::Time now, const Patience& patience) {
    if (word.heard == Word::kNever || now - word.heard > patience.freshness) return false;
    return !word.suspect || now - word.suspect_since <= Patience::kLongestSuspect;
}

bool doubts_itself_for_long(const Word& word, Voters::Time now, const Patience& patience) {
    return word.suspect && now - word.suspect_since > patience.suspect;
}

/// Serves, or did within one freshness.
bool served_lately(const Workers::Worker& worker, Voters::Time now, const Patience& patience) {
    return worker.serves || (worker.served_until && now - *worker.served_until <= patience.freshness);
}

}  // namespace

void Voters::seat(std::span<const Workers::Index> observers, Time now) {
    std::vector<Seat> seats;
    seats.reserve(observers.size());
    for (const Workers::Index worker : observers) {
        const auto before = std::ranges::find(seats_, worker, &Seat::worker);
        seats.push_back(before == seats_.end() ? Seat{worker, now} : *before);
    }
    seats_ = std::move(seats);
}

void Voters::begin(Time now, Workers& workers) {
    clear(workers);
    for (Seat& seat : seats_) seat.since = now;
}

bool Voters::is_observer(Workers::Index worker) const {
    return std::ranges::find(seats_, worker, &Seat::worker) != seats_.end();
}

const Word* Voters::find(Workers::Index worker) const {
    const auto it = std::ranges::find(words_, worker, &Word::worker);
    return it == words_.end() ? nullptr : &*it;
}

Word* Voters::find(Workers::Index worker) {
    const auto it = std::ranges::find(words_, worker, &Word::worker);
    return it == words_.end() ? nullptr : &*it;
}

Word* Voters::meet(Workers::Index worker, Workers& workers) {
    if (Word* word = find(worker)) return word;
    if (!is_observer(worker)) {
        const auto others =
            std::ranges::count_if(words_, [this](const Word& word) { return !is_observer(word.worker); });
        if (static_cast<std::size_t>(others) >= kMostOthers) return nullptr;
    }
    ++workers.at(worker).words;
    words_.emplace_back().worker = worker;
    return &words_.back();
}

void Voters::forget(Time limit, Workers& workers) {
    std::erase_if(words_, [&](const Word& word) {
        if (word.heard >= limit || is_observer(word.worker)) return false;
        --workers.at(word.worker).words;
        return true;
    });
}

void Voters::clear(Workers& workers) {
    for (const Word& word : words_) --workers.at(word.worker).words;
    words_ = {};
}

const contract::Evidence* Voters::vouched(const OthersWord& others, const Word* own,
                                          const Workers::Worker& worker) {
    if (others.state == nullptr || (own != nullptr && own->heard > others.since)) return nullptr;
    // In the evidence for `unknown` stand those who fell silent.
    if (others.state->state == contract::Health::unknown) return nullptr;
    const auto& evidence = others.state->evidence;
    const auto it = std::ranges::find(evidence, worker.id, &contract::Evidence::worker);
    return it == evidence.end() ? nullptr : &*it;
}

Ballot Voters::ballot(Time now, const OthersWord& others, const Patience& patience, const Workers& workers,
                      std::vector<Vote>& votes) const {
    Ballot ballot;
    votes.clear();
    for (const Seat& seat : seats_) {
        const Word* const word = find(seat.worker);
        const bool fresh = word != nullptr && heard_freshly(*word, now, patience);
        if (fresh && doubts_itself_for_long(*word, now, patience)) continue;
        if (fresh && word->heard > others.since) {
            votes.push_back({word->opinion, word->reason, word->suspect});
        } else if (const auto* const elsewhere = vouched(others, word, workers.at(seat.worker))) {
            if (elsewhere->opinion == contract::Opinion::up && others.state->state == contract::Health::up)
                votes.push_back({elsewhere->opinion, elsewhere->reason, false});
            else
                ++ballot.unheard;
        } else if (fresh || ((word == nullptr || word->heard < seat.since) &&
                             now - seat.since <= patience.freshness)) {
            ++ballot.unheard;
        }
    }
    ballot.votes = votes;
    ballot.assigned = static_cast<std::uint32_t>(seats_.size());
    ballot.anyone_heard = std::ranges::any_of(words_, [&](const Word& word) {
        return heard_freshly(word, now, patience) && served_lately(workers.at(word.worker), now, patience);
    });
    return ballot;
}

RoleReports Voters::roles(Time now, const OthersWord& others, const Patience& patience,
                          const Workers& workers, const std::optional<ServerLife>& of_life) const {
    RoleReports reports;
    const contract::State* const other = others.state;
    const bool other_counts = other != nullptr && other->state == contract::Health::up &&
                              (!of_life || other->started_at == of_life->started_at);
    for (const Seat& seat : seats_) {
        const Word* const word = find(seat.worker);
        if (other_counts && vouched(others, word, workers.at(seat.worker)) != nullptr) {
            if (other->role && other->writable)
                reports.add({*other->role, *other->writable});
            else
                reports.add_unknown();
            continue;
        }
        if (word == nullptr || word->role_heard <= others.since ||
            now - word->role_heard > patience.freshness)
            continue;
        if (of_life && word->life != contract::WallTime{} && word->life != of_life->started_at) continue;
        reports.add({word->role, word->writable});
    }
    return reports;
}

bool Voters::told_primary_since(Time since) const {
    return std::ranges::any_of(words_, [&](const Word& word) {
        return is_observer(word.worker) && word.role_heard > since && word.role == contract::Role::primary;
    });
}

void Voters::forget_roles() {
    for (Word& word : words_) word.role_heard = Word::kNever;
}

std::vector<const Word*> Voters::evidence(contract::Health health, Time now, const Patience& patience) const {
    std::vector<const Word*> words;
    for (const Word& word : words_) {
        const bool observer = is_observer(word.worker);
        const bool shown = health == contract::Health::unknown
                               ? observer || seats_.empty()
                               : observer && heard_freshly(word, now, patience) &&
                                     !doubts_itself_for_long(word, now, patience);
        if (shown) words.push_back(&word);
    }
    return words;
}

contract::Evidence to_evidence(const Word& word, const Workers& workers) {
    contract::Evidence evidence;
    const Workers::Worker& worker = workers.at(word.worker);
    evidence.worker = worker.id;
    evidence.site = worker.site;
    evidence.opinion = word.opinion;
    evidence.verdict = word.verdict;
    evidence.reason = word.reason;
    if (word.sqlstate[0] != 0) evidence.sqlstate.assign(word.sqlstate.data(), word.sqlstate.size());
    if (word.rtt_us >= 0) evidence.rtt_us = word.rtt_us;
    evidence.at = word.at;
    return evidence;
}

}  // namespace pgpulse::aggregator
