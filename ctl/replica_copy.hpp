#pragma once

#include "common/contract/wall_time.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Pure: what is to be written into a copy of a bucket so that it holds what its source holds, and where a copier goes on after
// whatever happened to it, to another copier, to the source or to the copy.
//
// The copy is a log that several may append to. Each message says at which sequence it is to stand, and where the one before
// it is not acknowledged yet, which one that is to be (not on a replicated stream, whose servers may forget message ids). The
// server refuses it anywhere else. Whoever is refused, or is not answered, reads the copy's end again and goes on from there:
// so two copiers at once are harmless, and nothing stands in the copy out of the source's order.
//
// Each message of the copy says in its headers which message of the source it is (ReplicaMark). The rules, each tested under
// its name:
//   resumes_after_the_last  Where all that the copy holds is of the source's creation time and a copier wrote it, it goes on
//                           behind the message that the copy's last one names; otherwise it reads the last of each key.
//   each_message_once       A message is copied unless the copy has that very one of the key already.
//   marker_removes          A delete marker is copied where the copy holds a value of the key.
//   absence_keeps           What the source does not have stays in the copy.
//   created_anew            Unless the source is another one (its creation time), was read to its end and holds a value
//                           itself: an empty bucket is one that was lost, and says nothing about anybody.
//   rewound_source          A server that lost the end of its disk counts some revisions anew. Then the last message of each
//                           key is read, and what differs is copied.
namespace pgpulse::ctl {

/// Which message of the source a message of the copy is.
struct ReplicaMark {
    contract::WallTime epoch{};  // when the source's stream was created
    std::uint64_t revision = 0;  // 1 or more
    contract::WallTime stored_at{};

    bool operator==(const ReplicaMark&) const = default;
};

using ReplicaHeaders = std::vector<std::pair<std::string, std::string>>;

/// A message that is to be published into the copy.
struct ReplicaMessage {
    std::string key;
    ReplicaMark mark;
    std::string operation;  // KV-Operation of a removal; empty: a value
    std::string value;
    std::uint64_t expected_last = 0;  // the copy's last sequence before it
    std::string expected_last_id;     // the message id that stands there; empty: any
    bool vanished = false;  // not a copy of that message: as of it, the source does not have the key
};

/// `Nats-Msg-Id` (`<epoch>/<revision>@<expected last sequence>`), `Nats-Expected-Last-Sequence`, the mark and the operation. Nothing of the
/// source's own headers: the copy's server would take its expectations for the copy's.
ReplicaHeaders headers_of(const ReplicaMessage& message);

/// One message of the source.
struct SourceMessage {
    std::string key;
    std::uint64_t revision = 0;
    contract::WallTime stored_at{};
    std::string operation;  // KV-Operation; empty: a value
    std::string value;
};

/// One copier's knowledge of copy and source. It is told, in this order: that the copy is read, the last message of each of
/// its keys, that the source is opened, the source's messages; and the outcome of each message that it gave out, whenever
/// it comes. Once broken() it gives out nothing more, and begins again when the outcomes of all have come.
class ReplicaCopy {
  public:
    /// So many messages wait for their outcome at most.
    static constexpr std::size_t kMostInFlight = 1024;

    /// Forgets what was known. `last_sequence`: the copy's, from before its entries are read. `replicated`: the copy has
    /// several replicas. To be called when nothing is in flight.
    void copy_opened(std::uint64_t last_sequence, bool replicated);
    /// The last message of a key of the copy, in the order of their sequences. `mark`: nullopt where somebody else wrote it.
    void copy_entry(const std::string& key, std::uint64_t sequence, const std::optional<ReplicaMark>& mark,
                    bool removal);

    /// The entries are told, and the source is this one; `last_revision`: its last sequence. Returns the revision to begin
    /// with, or nullopt: with the last message of each key.
    std::optional<std::uint64_t> source_opened(contract::WallTime epoch, std::uint64_t last_revision);
    /// A message of the source, in their order. Returns what is to be published. Not while full() or broken().
    std::optional<ReplicaMessage> message(SourceMessage&& message);
    /// All that the source had was told.
    void source_read();

    /// The keys that the copy holds and the source, created anew, does not; empty while that is not known.
    [[nodiscard]] std::vector<std::string> vanished() const;
    /// What removes such a key from the copy. Not while full() or broken().
    ReplicaMessage removal(const std::string& key);

    /// The message for the place after `expected_last` was acknowledged: it stands at `sequence`.
    void stored(std::uint64_t expected_last, std::uint64_t sequence);
    /// A message was refused, not answered, or could not be sent.
    void failed();

    [[nodiscard]] bool full() const { return in_flight_ >= kMostInFlight; }
    [[nodiscard]] bool broken() const { return broken_; }
    [[nodiscard]] std::size_t in_flight() const { return in_flight_; }
    /// The copy's last sequence once nothing is in flight, unless somebody else writes there.
    [[nodiscard]] std::uint64_t expected_last() const { return next_expected_; }
    /// The last revision of the source that was read.
    [[nodiscard]] std::uint64_t read() const { return read_; }
    /// All that the source had at the opening, or later, was told.
    [[nodiscard]] bool whole() const { return whole_; }

  private:
    /// The last message of a key in the copy.
    struct Last {
        std::optional<ReplicaMark> mark;
        bool removed = false;
    };

    ReplicaMessage give_out(ReplicaMessage&& message);

    std::map<std::string, Last> last_;
    std::optional<ReplicaMark> end_;     // of the copy's last message
    std::optional<ReplicaMark> anchor_;  // is to be found in the source where it was
    contract::WallTime epoch_{};
    contract::WallTime read_stored_at_{};
    std::uint64_t read_ = 0;
    std::uint64_t opened_last_ = 0;
    std::uint64_t next_expected_ = 0;
    std::string last_id_;  // of the message that was given out last
    std::size_t in_flight_ = 0;
    bool every_key_is_read_ = false;
    bool source_has_values_ = false;
    bool replicated_ = false;
    bool whole_ = false;
    bool broken_ = false;
    bool rewound_ = false;
};

}  // namespace pgpulse::ctl
