#pragma once

#include "common/contract/wall_time.hpp"
#include "probe/ping_result.hpp"

#include <chrono>
#include <cstdint>
#include <optional>

// Pure: what becomes of the session that a worker holds with one target in mode `session`.
//
// The rules, each tested under its name:
//   opens_on_accepting    A session is opened when a fresh ping was accepted and none is open: whoever does
//                         not let pings in does not let a login in.
//   retry_slower          A login that was refused is tried again after kFirstRetry, each time after twice as
//                         long, kLastRetry at most: a wrong password costs the server a line in its log.
//   no_login_for_nothing  A session that ends, again and again, before it was checked once, while the server's
//                         life stays the same (an idle timeout shorter than the interval), is opened again as
//                         slowly as after a refusal.
//   check_by_session      A regular turn goes through the session while it is open: every kLagEvery-th one
//                         also measures the lag.
//   listener              A regular turn is a fresh ping once in a period: the listener's interval times the
//                         number of observers, who share the listener's checks. The next one is due where the
//                         observer's own period begins, nearest to a period after the last fresh ping: so they
//                         take turns, however they began.
//   called_is_fresh       After a call the next turn is a fresh ping, unless the call itself has brought one
//                         about: who calls has seen a fresh ping fail, or a session end.
//   fresh_while_closed    Without a session every turn is a fresh ping.
//   listener_in_doubt     After a fresh ping that failed every turn is a fresh ping until one is accepted: a
//                         session that lives says nothing of the listener, and its successes would hide what
//                         the pings find.
//   rejecting_closes      A fresh ping that is rejected (57P03) closes the session, which a smart shutdown
//                         would wait for.
//   end_is_confirmed      A session's end proves nothing yet: fresh pings confirm it at once. One that had
//                         started before tells of the time before: accepted it confirms nothing, and opens
//                         nothing.
//   refused_settles       Where the confirming ping is refused the server is gone: no `fall` is waited for.
//   refused_again_at_once Where a fresh ping is refused while the session stands the next one starts at once, each
//                         after the other's answer, until the opinion is settled: nothing listens there any more, and
//                         `fall` refusals in a row are that many round trips. The session of a process that has
//                         not noticed its postmaster's death yet is no reason to wait.
//   reset_once_more       Where the confirming ping is reset one more starts at once: a server that restarts
//                         after a crash drops connections for some milliseconds.
namespace pgpulse::probe {

/// What a session says about the server. Empty: not known.
struct SessionFacts {
    std::optional<contract::Role> role;
    std::optional<bool> writable;
    std::optional<std::int64_t> lag_ms;
    std::optional<std::int64_t> lag_bytes;
    std::optional<contract::WallTime> started_at;  // pg_postmaster_start_time()
    std::optional<contract::WallTime> crashed_at;  // the last restart after a crash in this postmaster's life

    bool operator==(const SessionFacts&) const = default;
};

/// One session of one target: which of those it had.
struct SessionId {
    TargetIndex target = 0;
    std::uint32_t generation = 0;

    bool operator==(const SessionId&) const = default;
};

class SessionPlan {
  public:
    static constexpr std::chrono::milliseconds kFirstRetry{1000};
    static constexpr std::chrono::milliseconds kLastRetry{60'000};
    static constexpr std::uint32_t kLagEvery = 5;

    enum class Turn { fresh, check, check_with_lag };

    /// When the listener is checked: `phase` after the clock's zero and each period later.
    struct Listener {
        std::chrono::nanoseconds period{};
        std::chrono::nanoseconds phase{};
    };

    /// What a regular turn is.
    Turn turn(Mono now, Listener listener);

    /// Somebody asks for a ping.
    void called() { fresh_.reset(); }

    /// A fresh ping starts.
    void fresh_started(Mono now) { fresh_ = now; }

    /// After an accepted fresh ping: whether a session is to be opened now. If so it is `opening` from then
    /// on, under this number.
    bool opens(Mono now, std::uint32_t generation);

    void opened(const SessionFacts& facts);
    void refused(Mono now);
    /// This worker has closed the session, or what would be one. False where none was open.
    bool ended();
    /// The server has ended the session, or it was lost. False where none was open.
    bool lost(Mono now);

    /// A fresh ping confirms what the session's end at this time meant.
    void confirm(Mono now) { confirming_ = now; }

    enum class Confirmed {
        nothing,                  // no confirmation is under way
        goes_on,                  // the result counts as any other
        gone,                     // the server is gone: the opinion is `down` at once
        ping_again,               // the result counts, and another ping starts at once
        ping_again_until_settled  // so it does where the opinion is not settled by this one
    };
    /// The result of a fresh ping that started then.
    Confirmed result(const PingResult& result, Mono started);

    void checked(const SessionFacts& facts);

    [[nodiscard]] bool open() const { return phase_ == Phase::open; }
    [[nodiscard]] bool opening() const { return phase_ == Phase::opening; }
    [[nodiscard]] bool is(std::uint32_t generation) const { return generation_ == generation; }
    [[nodiscard]] std::uint32_t generation() const { return generation_; }
    /// The session's newest facts; the lag is that of the newest check that measured it.
    [[nodiscard]] const SessionFacts& facts() const { return facts_; }

  private:
    enum class Phase { none, opening, open };

    Phase phase_ = Phase::none;
    std::uint32_t generation_ = 0;
    std::uint32_t checks_ = 0;
    bool listener_in_doubt_ = false;
    std::optional<Mono> confirming_;  // what ended then is to be confirmed
    bool pinged_again_ = false;
    std::optional<Mono> fresh_;  // when the last fresh ping started; empty: the next turn is one
    Mono retry_at_ = Mono::min();
    std::chrono::milliseconds retry_ = kFirstRetry;
    SessionFacts facts_;
    bool checked_ = false;      // the session, or the last one, was checked
    bool for_nothing_ = false;  // it began in the life in which the last one had ended unchecked
    std::optional<contract::WallTime> started_at_;  // the life of the last session
    std::optional<contract::WallTime> crashed_at_;
};

}  // namespace pgpulse::probe
