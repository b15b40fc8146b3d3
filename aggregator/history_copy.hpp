#pragma once

#include "common/contract/history_mark.hpp"
#include "common/contract/wall_time.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

// Pure: which messages of the bucket `health` are copied into the stream `HEALTH_TRANSITIONS`, and where a copier
// goes on after whatever happened to it, to another copier, to the bucket or to the history.
//
// The history is a log that several may append to, since who copies is agreed upon by nobody. Each message says at
// which sequence it is to stand, and where the one before it is not acknowledged yet, which one that is to be. The
// server refuses it anywhere else. Whoever is refused, or is not answered, reads the end of the history again and
// goes on from what stands there. So two copiers at once are harmless: of the same message the second is a duplicate
// at the very place where it was to be, and a message for a place that is taken is refused together with all that
// follow it, however late they arrive.
//
// On a replicated stream a message names no other one: of replicas that caught up with the others, nats-server (up to
// 2.12) forgets the last message id, so they would refuse what the others took. There a message that arrives long after
// its copier died could take a place that just fits.
//
// The rules, each tested under its name:
//   resumes_after_the_last  The last message of the history says which revision of which epoch it is a copy of. In the
//                           same epoch the copier goes on behind it, in another one from the bucket's beginning.
//   transition_once         A value is copied if its transition is later than the last one copied of that target: its
//                           number is greater, or it was decided later (who lost every state begins at 1 again). After
//                           a removal any other one is. A state that was put back, in this bucket or in a new one, is
//                           none of these.
//   removal_once            A delete marker is copied unless the last that was copied of the target is one.
//   others_values_stay      What is no state, or was not written by compare-and-set, is nobody's transition.
//   place_is_kept           An acknowledgement for another place than the one meant is a refusal: the message id was
//                           known from a message that is gone (a purge), or that is another one (a bucket rewound).
//   rewound_bucket          A server that lost the end of its disk counts some revisions anew. The copier reads such a
//                           bucket from its beginning, and then the time alone tells what is copied already.
namespace pgpulse::aggregator {

using contract::HistoryMark;

using Headers = std::vector<std::pair<std::string, std::string>>;

/// A message that is to be published on the subject of the history of `target`.
struct HistoryMessage {
    std::string target;
    HistoryMark mark;
    std::string operation;  // KV-Operation of a removal; empty: a state
    std::string value;
    std::uint64_t expected_last = 0;  // the stream's last sequence before it
    std::string expected_last_id;     // the message id that stands there; empty: any
};

/// The message's headers: `Nats-Msg-Id` (`<epoch>/<revision>`), `Nats-Expected-Last-Sequence`, those of docs/contract.md.
Headers headers_of(const HistoryMessage& message);

/// One message of the bucket's stream.
struct BucketRevision {
    std::string target;  // its key
    std::uint64_t revision = 0;
    contract::WallTime stored_at{};
    std::string operation;         // KV-Operation; empty: a value
    bool compare_and_set = false;  // it expected a last revision of its key
    std::string value;
};

/// Whether the aggregator `id` copies: it is the first of the `serving` ones.
bool copies_history(std::string_view id, const std::vector<std::string>& serving);

/// One copier's knowledge of history and bucket. It is told, in this order: that the history is read, its entries, that
/// the bucket is opened, the bucket's revisions; and the outcome of each message that it gave out, whenever it comes.
/// Once broken() it gives out nothing more, and begins again when the outcomes of all messages have come.
class HistoryCopy {
  public:
    /// So many messages wait for their outcome at most.
    static constexpr std::size_t kMostInFlight = 2048;

    /// Forgets what was known. `last_sequence`: the history's, from before its entries are read. `replicated`: the
    /// stream has several replicas. To be called when nothing is in flight.
    void history_opened(std::uint64_t last_sequence, bool replicated);
    /// An entry of the history, in the order of their sequences. Of each target at least the last one is to be told.
    void history_entry(const std::string& target, std::uint64_t sequence,
                       const std::optional<HistoryMark>& mark);

    /// The entries are told, and the bucket's stream is this one; `last_revision`: its last sequence. Returns the revision
    /// to begin with, 1 or more.
    std::uint64_t bucket_opened(contract::WallTime epoch, std::uint64_t last_revision);
    /// A revision of the bucket, in their order. Returns what is to be published. Not while full() or broken().
    std::optional<HistoryMessage> revision(BucketRevision&& revision);

    /// The message for the place after `expected_last` was acknowledged: it stands at `sequence`.
    void stored(std::uint64_t expected_last, std::uint64_t sequence);
    /// A message was refused, not answered, or could not be sent.
    void failed();

    [[nodiscard]] bool full() const { return in_flight_ >= kMostInFlight; }
    [[nodiscard]] bool broken() const { return broken_; }
    [[nodiscard]] std::size_t in_flight() const { return in_flight_; }
    /// The last revision of the bucket that was read and needs no copying any more, or is in flight.
    [[nodiscard]] std::uint64_t read() const { return read_; }

  private:
    /// The last copied of a target.
    struct Last {
        std::uint64_t transition = 0;
        contract::WallTime decided_at{};
        contract::WallTime stored_at{};
        bool removed = false;
    };

    [[nodiscard]] bool is_news(const BucketRevision& value, const Last& last, std::uint64_t transition,
                               contract::WallTime decided_at) const;

    /// By the hash of the target's name (contract::fnv1a), which is a third of what the name would take: two of a hundred
    /// thousand names have the same one with a chance of one in three billion.
    std::unordered_map<std::uint64_t, Last> last_;
    std::optional<HistoryMark> end_;     // what the history's last message says
    std::optional<HistoryMark> anchor_;  // the revision that is to be found in the bucket where it was
    contract::WallTime epoch_{};
    std::uint64_t next_expected_ = 0;
    std::string last_id_;  // of the message that was given out last
    std::uint64_t read_ = 0;
    std::uint64_t reread_until_ = 0;  // revisions up to this one may be copied already
    std::size_t in_flight_ = 0;
    bool replicated_ = false;
    bool broken_ = false;
    bool rewound_ = false;
};

}  // namespace pgpulse::aggregator
