#pragma once

#include "aggregator/hearing.hpp"
#include "aggregator/patience.hpp"
#include "aggregator/rules.hpp"
#include "aggregator/server_facts.hpp"
#include "aggregator/workers.hpp"
#include "common/contract/ping.hpp"
#include "common/contract/state.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

// Pure: what was heard of one target, from whom, and who of them has a voice.
namespace pgpulse::aggregator {

/// One worker's last word on one target.
struct Word {
    using Time = HearingClock::Time;
    static constexpr Time kNever{std::numeric_limits<std::int64_t>::min() / 2};

    Workers::Index worker = 0;
    contract::Opinion opinion = contract::Opinion::undecided;
    contract::Verdict verdict = contract::Verdict::inconclusive;
    contract::Reason reason = contract::Reason::ok;
    bool suspect = false;
    contract::Role role{};
    bool writable = false;
    std::array<char, 5> sqlstate{};  // zeros: none
    std::uint64_t run = 0;           // the sixteen digits as a number
    std::uint64_t seq = 0;
    std::int64_t rtt_us = -1;  // negative: none
    contract::WallTime at{};
    Time heard = kNever;          // the last conclusive ping, on the hearing clock
    Time suspect_since = kNever;  // of `suspect`
    Time role_heard = kNever;     // of `role` and `writable`
    contract::WallTime life{};    // when the server started of which they tell
};

/// What another aggregator wrote of a target: it may have heard more, and workers whom this one does not hear at all.
struct OthersWord {
    using Time = HearingClock::Time;

    Time since = Word::kNever;               // when this aggregator learned of it; never: there is none
    const contract::State* state = nullptr;  // while its writer may go on hearing them
};

/// The words on one target, and its observers by rank.
class Voters {
  public:
    using Time = HearingClock::Time;

    /// So many workers' words are kept beside those of the observers.
    static constexpr std::size_t kMostOthers = 8;

    /// The observers by rank, as of `now`. Whoever was one before keeps the time since which he is.
    void seat(std::span<const Workers::Index> observers, Time now);

    /// This aggregator begins with the target: nobody is known to be silent.
    void begin(Time now, Workers& workers);

    [[nodiscard]] bool is_observer(Workers::Index worker) const;
    [[nodiscard]] std::size_t observers() const { return seats_.size(); }

    [[nodiscard]] Word* find(Workers::Index worker);
    /// The worker's word, kept from now on; nullptr where too many are kept already.
    Word* meet(Workers::Index worker, Workers& workers);
    /// Forgets everybody who is no observer and was not heard since `limit`, and all whom `workers` has no more use
    /// for.
    void forget(Time limit, Workers& workers);
    void clear(Workers& workers);

    /// What was heard before the other's word has no voice and counts as not heard yet. An observer who was not heard
    /// since, and whom the other's evidence names, counts among the voters, and upholds an `up` that he agreed to. The ballot's `votes` point into `votes`, which is emptied first
    /// and is the caller's to reuse.
    [[nodiscard]] Ballot ballot(Time now, const OthersWord& others, const Patience& patience,
                                const Workers& workers, std::vector<Vote>& votes) const;

    /// What the observers tell of the role after the other's word and within one freshness, and of the life that is
    /// given, where it is. Whom the other's evidence names and nobody heard here since tells what the other wrote.
    [[nodiscard]] RoleReports roles(Time now, const OthersWord& others, const Patience& patience,
                                    const Workers& workers, const std::optional<ServerLife>& of_life) const;
    /// An observer has told since `since` that the server is a primary.
    [[nodiscard]] bool told_primary_since(Time since) const;
    /// What was told of the role says nothing any more: the server may come back as something else.
    void forget_roles();

    /// What those voters said last who were heard within one freshness; for `unknown`, where there are none, what the
    /// observers did, however long ago, and of a target without observers, anybody.
    [[nodiscard]] std::vector<const Word*> evidence(contract::Health health, Time now,
                                                    const Patience& patience) const;

  private:
    struct Seat {
        Workers::Index worker = 0;
        Time since{0};
    };

    std::vector<Seat> seats_;
    std::vector<Word> words_;

    [[nodiscard]] const Word* find(Workers::Index worker) const;
    /// What the other heard of an observer who was not heard here since.
    [[nodiscard]] static const contract::Evidence* vouched(const OthersWord& others, const Word* own,
                                                           const Workers::Worker& worker);
};

/// The word as a state's evidence shows it.
contract::Evidence to_evidence(const Word& word, const Workers& workers);

}  // namespace pgpulse::aggregator
