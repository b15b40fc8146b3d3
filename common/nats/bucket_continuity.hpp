#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

// Pure: whether what a watch has told of a bucket is still what the bucket holds.
//
// A watch is told what is written and nothing else. What else happens to a bucket shows in what the server says of
// its stream, looked at every second:
//   created_anew   The stream's creation time is another one.
//   went_back      Its last revision is lower than one that was seen, at two looks in a row: newest writes were lost. Of a
//                  stream with replicas a follower may deliver what its leader, who answers the look, has yet to
//                  apply; until it has, its counts say nothing either.
//   rewritten      The newest revision told was stored at another time than the server says: newest writes were
//                  lost, and as many others came in their place.
//   keys_vanished  There are fewer keys than were told. Exact, whatever is still on its way: a key that was told
//                  of a revision up to the stream's last leaves by no marker, which is a key as well, but by a
//                  purge or a deletion alone.
//   never_loaded   Nothing comes, and what was there at the start is not told to the end: it was deleted
//                  meanwhile.
// Keys that leave by age or size, as those of a bucket with a TTL do, have not vanished.
//
// That a key's newest message alone is deleted, so that the one before it counts again, is not noticed. No bucket that
// is made as buckets are made permits it (ADR-8: deny_delete).
namespace pgpulse::nats {

class BucketContinuity {
  public:
    /// What the server says of the stream at one instant.
    struct Look {
        std::int64_t created_ns = 0;  // since 1970, as the other times
        std::uint64_t last_revision = 0;
        std::int64_t last_stored_ns = 0;  // when `last_revision` was stored
        std::uint64_t messages = 0;
        std::uint64_t keys = 0;         // 0 with messages: the server does not say
        bool lets_messages_go = false;  // by age or size
    };

    /// A message that the watch delivered.
    struct Told {
        std::string_view key;
        std::uint64_t revision = 0;
        std::int64_t stored_ns = 0;
        std::uint64_t pending = 0;  // so many are to come, the server thinks
    };

    enum class Break {
        created_anew,
        went_back,
        rewritten,
        keys_vanished,
        never_loaded,
    };

    /// The watch begins to read, after this look.
    void opened(const Look& look);
    /// Everything that was there has been told.
    void loaded();

    /// Before that: what was stored last has been told, and a look may show that all was.
    [[nodiscard]] bool at_the_end() const { return !loaded_ && end_reached_; }
    /// That, and as many keys as there were at the last look: to be asked after each message and each look until `loaded`.
    /// What the server thinks is to come is not enough: one message that is stored while nats-server makes the
    /// consumer may be counted twice, so that in a bucket that is written all the while none is ever the last one (2.9),
    /// or not at all, so that a key is missing after the last one (2.10).
    [[nodiscard]] bool all_told();

    /// A message came. Where it says that the bucket is to be read anew, it is not to be told.
    std::optional<Break> told(const Told& message);
    /// To be called about every second.
    std::optional<Break> looked(const Look& look);

  private:
    Look last_look_;
    bool loaded_ = false;
    bool end_reached_ = false;
    std::uint64_t told_revision_ = 0;
    std::int64_t told_stored_ns_ = 0;
    bool silent_ = true;  // nothing told since the last look
    int silent_looks_ = 0;
    bool times_agreed_ = false;
    bool behind_ = false;  // the last look told of less than is known
    /// Hashes, sorted and without duplicates. In one piece: nodes of their own, strewn among the messages
    /// of a big bucket, would keep the memory of those messages from being given back.
    std::vector<std::uint64_t> keys_;
    /// Hashes of keys told since these were sorted, as they came: each put into its place at once would move half of
    /// the others, for every key of a bucket that is filled again.
    std::vector<std::uint64_t> newer_keys_;

    // A server that counts otherwise must not have the bucket read over and over.
    bool counts_agreed_ = false;
    int looks_to_doubt_ = 0;
    int patience_ = 0;

    [[nodiscard]] bool counts_differ(const Look& look);
    void sort_keys();
};

/// What happened, to follow the bucket's name in a log line.
std::string_view to_string(BucketContinuity::Break what);

}  // namespace pgpulse::nats
