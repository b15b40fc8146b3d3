#pragma once

#include "common/contract/wall_time.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// Pure: up to where an endpoint has the history, and what of the history it lacks.
//
// The rules, each tested under its name:
//   begins_with_what_comes_next  An endpoint without a cursor gets what comes from now on; where there is no history yet,
//                                all of it.
//   goes_on_behind_the_cursor    What stands at the cursor's sequence is what the cursor says. So the next message is the
//                                next one.
//   history_made_anew            In a stream of another creation time, or one that says something else at the cursor's
//                                sequence (a server that lost the end of its disk), sequences say nothing. It is read from
//                                its beginning, and what it copied of revisions up to the cursor's is known already.
namespace pgpulse::consul_bridge::webhook {

/// The bucket of the endpoints' cursors.
inline constexpr std::string_view kBucket = "health_webhooks";

/// A message of the history: where it stands and what it is a copy of.
struct Place {
    std::uint64_t sequence = 0;      // 0: before the first
    contract::WallTime epoch{};      // of the bucket `health`
    std::uint64_t revision = 0;      // of that bucket, 1 or more; 0: of no known revision
    contract::WallTime stored_at{};  // when the server stored the revision

    bool operator==(const Place&) const = default;
};

/// The value of an endpoint's key in the bucket `health_webhooks`.
struct Cursor {
    std::string endpoint;          // scheme and host, for people
    contract::WallTime history{};  // when the stream was created
    Place at;                      // the last message up to which the endpoint has all
    std::string written_by;        // the bridge's id, for people

    bool operator==(const Cursor&) const = default;
};

std::string encode(const Cursor& cursor);
/// Nullopt where the value is none of these.
std::optional<Cursor> decode_cursor(std::string_view value);

/// The one of two that is further, as far as the history of that creation time goes; either may be absent.
std::optional<Cursor> further(const std::optional<Cursor>& one, const std::optional<Cursor>& other,
                              contract::WallTime history);

/// Reading on from a cursor.
class Resumption {
  public:
    enum class Kind {
        next,      // no cursor: with what comes next
        from_all,  // no cursor, and no history before now
        behind,    // behind the cursor
        anew,      // history_made_anew
    };
    enum class Fate {
        news,
        known,  // the endpoint has it
        other,  // the history is not what it was: `begin_anew`, and read again
    };

    /// `history`, `last`: the stream's creation time and last sequence. `absent_before`: there was none when it was
    /// looked for before.
    Resumption(const std::optional<Cursor>& cursor, contract::WallTime history, std::uint64_t last,
               bool absent_before);

    [[nodiscard]] Kind kind() const { return kind_; }
    /// The sequence to read from, 1 or more.
    [[nodiscard]] std::uint64_t first() const;
    /// Up to where the endpoint has all, before anything is read; nullopt where that cannot be said in this history's
    /// sequences.
    [[nodiscard]] std::optional<Place> known_up_to() const;

    /// The history was found to be another one: reads it from its beginning.
    void begin_anew() { kind_ = Kind::anew; }
    /// What is read, in its order. A message that is nobody's transition has revision 0.
    Fate read(const Place& message);

  private:
    Place cursor_;
    Kind kind_;
    std::uint64_t last_;
    bool checked_ = false;  // what stands at the cursor's sequence
};

}  // namespace pgpulse::consul_bridge::webhook
