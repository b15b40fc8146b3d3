#pragma once

#include "aggregator/alike_texts.hpp"
#include "aggregator/damage.hpp"
#include "aggregator/partitions.hpp"
#include "aggregator/tally.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pgpulse::aggregator {

/// Store `value` under `key` of `health_targets` if the key's last revision is `expected` (0: there is none).
struct PutDefinition {
    std::string key;
    std::string value;
    std::uint64_t expected = 0;

    bool operator==(const PutDefinition&) const = default;
};

/// Puts definitions back that the bucket `health_targets` has lost, byte for byte. Pure.
///
/// The rules, each tested under its name:
///   lost            A key that is gone without a delete marker once the bucket was read is put back.
///   spoiled         A value that is no definition is overwritten with the one that was valid before.
///   older           What was stored before the one that is held, a delete marker as well, comes back only where the
///                   server lost its newest writes: it is overwritten.
///   marker_stands   Any other delete marker is an operator's removal and stands.
///   edit_stands     So does any other value that is a definition, whoever wrote it.
///   own_partitions  The two aggregators of a target's partition put it back, the second one only after a second in
///                   which nobody else put anything back: the first is about it or is not there.
///   watch_decides   A write is done when the watch has told it, whatever became of its acknowledgement.
class DefinitionKeeper {
  public:
    using Mono = std::chrono::steady_clock::time_point;

    /// What this program says of itself has to come through beside them: so many are about 30 ms of a server's work.
    static constexpr std::size_t kMostInFlight = 2048;

    /// The watch of the bucket, event by event (nats::BucketEvent).
    void opened(std::int64_t epoch_us);
    void loaded(Mono now);
    /// A value that is a definition. False: the one that is held stays in force.
    bool value(std::string_view key, std::string_view value, std::uint64_t revision,
               std::int64_t stored_at_us, Mono now);
    /// That value is held: told again it says nothing new.
    [[nodiscard]] bool holds(std::string_view key, std::string_view value) const;
    /// A value that is none.
    void invalid_value(std::string_view key, std::uint64_t revision, Mono now);
    /// A delete marker. False: the definition that is held stays in force.
    bool removed(std::string_view key, std::uint64_t revision, std::int64_t stored_at_us, Mono now);

    /// What this aggregator is to each partition.
    void ranks(const Ranks& ranks, Mono now);

    /// What is to be written now. A key stays out until `written`, which is to be told of each.
    std::vector<PutDefinition> take_puts(Mono now);
    void written(std::string_view key, Written outcome, std::uint64_t expected, Mono now);

    /// So many have ended that it is worth to take further ones.
    [[nodiscard]] bool has_room() const { return in_flight_ <= kMostInFlight / 2; }

    /// A line for each kind of damage since the last call.
    std::vector<std::string> take_notices() { return report_.take(); }

    /// Definitions written back so far.
    [[nodiscard]] std::uint64_t put_back() const { return put_back_; }
    /// Keys of which a definition is held.
    [[nodiscard]] std::size_t held() const { return held_.size(); }

  private:
    enum class State : std::uint8_t { sound, lost, spoiled, older };

    struct Held {
        AlikeTexts::Text value;
        std::uint64_t held_revision = 0;  // of `value`, 0: it is of another bucket
        std::int64_t stored_at_us = 0;    // of `value`
        std::uint64_t revision = 0;       // of the key's newest message, 0: there is none
        State state = State::sound;
        bool seen = false;  // told since the bucket was opened
        bool queued = false;
        bool in_flight = false;
    };

    struct NameHash {
        using is_transparent = void;
        std::size_t operator()(std::string_view name) const { return std::hash<std::string_view>{}(name); }
    };
    using ByName = std::unordered_map<std::string, Held, NameHash, std::equal_to<>>;

    AlikeTexts texts_;
    ByName held_;
    /// Keys to be put back, by when.
    using Due = std::multimap<Mono, std::string>;
    Due due_as_first_;
    Due due_as_second_;
    Mono others_put_back_at_{};
    Ranks ranks_{};
    std::int64_t epoch_us_ = 0;
    bool loaded_ = false;
    std::size_t in_flight_ = 0;
    std::uint64_t put_back_ = 0;
    DamageReport report_{"health_targets", "definition"};

    [[nodiscard]] Rank rank(std::string_view key) const;
    [[nodiscard]] bool is_older(const Held& held, std::uint64_t revision, std::int64_t stored_at_us) const;
    void damaged(ByName::value_type& entry, State state, std::uint64_t revision, Mono now);
    void sound(ByName::value_type& entry, Mono now);
    void report(const ByName::value_type& entry);
    void queue_anew(ByName::value_type& entry, Mono now);
    void take(Due& due, Rank as, Mono now, std::vector<PutDefinition>& puts);
    void queue(ByName::value_type& entry, Mono when);
};

}  // namespace pgpulse::aggregator
