#pragma once

#include "aggregator/tally.hpp"
#include "common/contract/ping.hpp"
#include "common/contract/state.hpp"
#include "common/contract/target.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace pgpulse::support {

/// What an aggregator decides, written down from docs/verdicts.md, docs/contract.md and the comments of the
/// aggregator's headers, and slowly: it keeps every ping and looks through all of them whenever it is asked. Nothing of
/// the aggregator's core takes part but the types of its interface.
///
/// Fed the same events as a Tally, `wants` is what that may write at this moment and has to.
class TallyModel {
  public:
    using Now = aggregator::Now;
    using Mono = std::chrono::steady_clock::time_point;
    using Time = std::chrono::milliseconds;

    explicit TallyModel(std::string id) : id_(std::move(id)) {}

    /// A write: a removal where `state` is empty.
    struct Wanted {
        std::optional<contract::State> state;
        std::set<contract::Reason> reasons;  // that `state` may have where the specification leaves it open
        std::uint64_t expected = 0;
        bool put_back = false;
    };

    void definition(const contract::TargetDefinition& definition);
    void definition_removed(const std::string& target);
    void definitions_loaded() { definitions_loaded_ = true; }
    void members(const std::vector<std::string>& probes);
    void ranks(const aggregator::Ranks& ranks);

    void states_opened();
    /// False where it is no news.
    bool state(const std::string& target, const contract::State& state, std::uint64_t revision,
               bool by_aggregator, Now now);
    void unreadable_state(const std::string& target, std::uint64_t revision, Now now);
    bool state_removed(const std::string& target, std::uint64_t revision, bool by_aggregator, Now now);
    void states_loaded(Now now);

    aggregator::Heard ping(const contract::Ping& ping, Now now);
    void echo(Now now) { echoed_ = now.mono; }
    void tick(Now now);

    /// What `wants` said is under way.
    void sent(const std::string& target, std::optional<contract::State> state, std::uint64_t expected);
    void written(const std::string& target, aggregator::Written outcome, std::uint64_t expected,
                 std::uint64_t revision, Now now);

    /// What is to be written of the target now.
    [[nodiscard]] std::optional<Wanted> wants(const std::string& target, Now now);

    [[nodiscard]] std::set<std::string> targets() const;
    [[nodiscard]] const std::optional<contract::State>& belief(const std::string& target) {
        return targets_[target].belief;
    }
    [[nodiscard]] bool defined(const std::string& target) { return targets_[target].definition.has_value(); }
    [[nodiscard]] bool writing(const std::string& target) { return targets_[target].in_flight.has_value(); }
    [[nodiscard]] bool disputed(const std::string& target);

  private:
    struct Life {
        contract::WallTime started_at;
        std::optional<contract::WallTime> crashed_at;
        auto operator<=>(const Life&) const = default;
    };

    struct Heard {
        contract::Ping ping;
        Time at;  // when it would have been heard had it not been late
        bool role_counts = true;
    };

    struct InFlight {
        std::optional<contract::State> state;
        std::uint64_t expected = 0;
    };

    struct Claim {
        std::string service;
        Time since;
    };

    struct Target {
        std::optional<contract::TargetDefinition> definition;
        bool removed = false;
        std::optional<contract::State> belief;
        std::uint64_t revision = 0;
        bool told = false;
        std::optional<InFlight> in_flight;
        Mono quiet_until{};
        std::optional<Mono> put_back_from;
        std::optional<contract::State> refused;  // the state that the bucket says meanwhile
        std::optional<Time> others_word;         // since when the belief is another aggregator's
        bool vouched = false;                    // and no aggregator has come or gone since
        Time begun{0};
        std::vector<Heard> heard;               // since this aggregator began with it
        std::map<std::string, Time> observers;  // by when they became it
        std::optional<Life> life;
        std::set<Life> former_lives;
        std::optional<Life> untold_life;
        std::optional<Time> earlier_start_since;  // is told
        std::optional<contract::WallTime> maintenance_until;
        std::optional<Mono> maintenance_ends;
        bool maintenance_over = false;
        std::optional<Claim> claim;
    };

    struct Worker {
        std::string run;
        std::set<std::string> ended_runs;
        std::vector<Time> differences;  // of receipt and sending, of this run
        std::optional<Time> ahead;
    };

    /// What one worker says of a target.
    struct Word {
        contract::Ping last;
        std::optional<Time> heard;  // its last conclusive ping
        Time suspect_since{0};
        std::optional<contract::Role> role;
        std::optional<bool> writable;
        Time role_heard{0};
        std::optional<contract::WallTime> role_of_life;
    };

    /// Who has a voice.
    struct Vote {
        contract::Opinion opinion;
        bool suspect;
        bool hard;
    };
    struct Ballot {
        std::vector<Vote> votes;
        std::size_t unheard = 0;
        bool somebody_heard = false;
    };

    std::string id_;
    std::map<std::string, Target> targets_;
    std::map<std::string, Worker> workers_;
    std::vector<std::string> members_;
    std::map<std::string, Time> served_until_;  // of those that were members before
    bool members_known_ = false;
    aggregator::Ranks ranks_{};
    bool definitions_loaded_ = false;
    bool states_loaded_ = false;
    std::optional<Mono> echoed_;
    std::optional<Mono> ticked_;
    Time hearing_{0};

    [[nodiscard]] aggregator::Rank rank(const std::string& name) const;
    [[nodiscard]] bool loaded() const { return definitions_loaded_ && states_loaded_; }
    [[nodiscard]] static Time freshness(const Target& target);
    void begin(Target& target) const;
    void seat(const std::string& name, Target& target) const;
    void take_word(const std::string& name, Target& target, const contract::State& state);
    void adopt(const std::string& name, Target& target, const contract::State& state);
    void forget_belief(const std::string& name, Target& target) const;
    void look_at_claim(const std::string& name, Target& target) const;
    [[nodiscard]] static std::map<std::string, Word> words(const Target& target);
    [[nodiscard]] bool fresh(const Target& target, const Word& word) const;
    [[nodiscard]] static std::map<std::string, contract::Opinion> heard_elsewhere(const Target& target);
    [[nodiscard]] Ballot ballot(const Target& target) const;
    [[nodiscard]] std::optional<contract::Health> decides(const Target& target) const;
    [[nodiscard]] std::vector<Word> reports(const Target& target) const;
    [[nodiscard]] bool under_maintenance(Target& target, Now now) const;
    [[nodiscard]] std::vector<std::string> conflicts(const std::string& name, const Target& target) const;
    void add_evidence(const Target& target, bool state_changes, Wanted& wanted) const;
};

}  // namespace pgpulse::support
