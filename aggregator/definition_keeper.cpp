#include "aggregator/definition_keeper.hpp"

#include "common/contract/names.hpp"

#include <utility>

namespace pgpulse::aggregator {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kSecondWaits{1000};
constexpr milliseconds kRetryAfterFailure{500};
/// By then the watch has told what the write led to.
constexpr milliseconds kRetryAfterAnswer{2000};

}  // namespace

void DefinitionKeeper::opened(std::int64_t epoch_us) {
    const bool same = std::exchange(epoch_us_, epoch_us) == epoch_us;
    loaded_ = false;
    due_as_first_.clear();
    due_as_second_.clear();
    for (auto& [key, held] : held_) {
        if (!same) held.held_revision = 0;
        held.state = State::sound;
        held.seen = held.queued = false;
    }
}

void DefinitionKeeper::loaded(Mono now) {
    loaded_ = true;
    for (auto& entry : held_) {
        if (!entry.second.seen)
            damaged(entry, State::lost, 0, now);
        else if (entry.second.state != State::sound)
            damaged(entry, entry.second.state, entry.second.revision, now);
    }
}

bool DefinitionKeeper::value(std::string_view key, std::string_view value, std::uint64_t revision,
                             std::int64_t stored_at_us, Mono now) {
    auto found = held_.find(key);
    if (found == held_.end()) found = held_.try_emplace(std::string{key}).first;
    Held& held = found->second;
    if (is_older(held, revision, stored_at_us)) {
        damaged(*found, State::older, revision, now);
        return false;
    }
    held.value = texts_.hold(value);
    held.held_revision = held.revision = revision;
    held.stored_at_us = stored_at_us;
    held.seen = true;
    sound(*found, now);
    return true;
}

bool DefinitionKeeper::holds(std::string_view key, std::string_view value) const {
    const auto found = held_.find(key);
    return found != held_.end() && !value.empty() && found->second.value == value;
}

void DefinitionKeeper::invalid_value(std::string_view key, std::uint64_t revision, Mono now) {
    if (const auto found = held_.find(key); found != held_.end())
        damaged(*found, State::spoiled, revision, now);
}

bool DefinitionKeeper::removed(std::string_view key, std::uint64_t revision, std::int64_t stored_at_us,
                               Mono now) {
    const auto found = held_.find(key);
    if (found == held_.end()) return true;
    if (is_older(found->second, revision, stored_at_us)) {
        damaged(*found, State::older, revision, now);
        return false;
    }
    held_.erase(found);
    return true;
}

void DefinitionKeeper::ranks(const Ranks& ranks, Mono now) {
    const Ranks before = std::exchange(ranks_, ranks);
    if (!loaded_) return;
    due_as_first_.clear();
    due_as_second_.clear();
    for (auto& entry : held_) {
        entry.second.queued = false;
        if (entry.second.state == State::sound) continue;
        if (before.at(contract::partition_of(entry.first)) == Rank::none) report(entry);
        queue_anew(entry, now);
    }
}

std::vector<PutDefinition> DefinitionKeeper::take_puts(Mono now) {
    std::vector<PutDefinition> puts;
    take(due_as_first_, Rank::first, now, puts);
    if (now - others_put_back_at_ >= kSecondWaits) take(due_as_second_, Rank::second, now, puts);
    return puts;
}

void DefinitionKeeper::take(Due& due, Rank as, Mono now, std::vector<PutDefinition>& puts) {
    while (!due.empty() && due.begin()->first <= now && in_flight_ < kMostInFlight) {
        const auto found = held_.find(due.begin()->second);
        due.erase(due.begin());
        if (found == held_.end()) continue;
        Held& held = found->second;
        held.queued = false;
        if (held.state == State::sound || held.in_flight || rank(found->first) != as) continue;
        held.in_flight = true;
        ++in_flight_;
        puts.push_back({found->first, held.value.whole(), held.revision});
    }
}

void DefinitionKeeper::written(std::string_view key, Written outcome, std::uint64_t expected, Mono now) {
    if (in_flight_ > 0) --in_flight_;
    if (outcome == Written::stored) ++put_back_;
    const auto found = held_.find(key);
    if (found == held_.end()) return;
    Held& held = found->second;
    held.in_flight = false;
    if (held.state == State::sound || !loaded_) return;
    if (outcome == Written::failed)
        queue(*found, now + kRetryAfterFailure);
    else
        queue(*found, held.revision == expected ? now + kRetryAfterAnswer : now);
}

Rank DefinitionKeeper::rank(std::string_view key) const { return ranks_.at(contract::partition_of(key)); }

bool DefinitionKeeper::is_older(const Held& held, std::uint64_t revision, std::int64_t stored_at_us) const {
    // Both have to say so: a server's clock may step back, and revisions begin again where a bucket is created anew
    // or writes were lost.
    return !held.value.empty() && revision < held.held_revision && stored_at_us < held.stored_at_us;
}

void DefinitionKeeper::damaged(ByName::value_type& entry, State state, std::uint64_t revision, Mono now) {
    Held& held = entry.second;
    held.state = state;
    held.revision = revision;
    held.seen = true;
    // While the bucket is read a newer message of the key may still come.
    if (!loaded_) return;
    report(entry);
    queue_anew(entry, now);
}

void DefinitionKeeper::sound(ByName::value_type& entry, Mono now) {
    Held& held = entry.second;
    if (held.state != State::sound && !held.in_flight && rank(entry.first) == Rank::second)
        others_put_back_at_ = now;
    held.state = State::sound;
}

void DefinitionKeeper::report(const ByName::value_type& entry) {
    if (rank(entry.first) == Rank::none) return;
    switch (entry.second.state) {
        case State::sound:
            return;
        case State::lost:
            report_.add(Damage::lost, entry.first);
            return;
        case State::spoiled:
            report_.add(Damage::spoiled, entry.first);
            return;
        case State::older:
            report_.add(Damage::older, entry.first);
            return;
    }
}

void DefinitionKeeper::queue_anew(ByName::value_type& entry, Mono now) {
    queue(entry, rank(entry.first) == Rank::second ? now + kSecondWaits : now);
}

void DefinitionKeeper::queue(ByName::value_type& entry, Mono when) {
    const Rank own = rank(entry.first);
    if (own == Rank::none || entry.second.queued || entry.second.in_flight) return;
    entry.second.queued = true;
    (own == Rank::second ? due_as_second_ : due_as_first_).emplace(when, entry.first);
}

}  // namespace pgpulse::aggregator
