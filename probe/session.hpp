#pragma once

#include "probe/connection_parameters.hpp"
#include "probe/ping_result.hpp"
#include "probe/session_plan.hpp"

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace asio {
class io_context;
}

namespace pgpulse::probe {

/// Held sessions, by non-blocking libpq on one event loop: each is one connection that is logged in and idle,
/// of which the server's end and its reports arrive as events. It is checked by a bare Sync, which costs the
/// server a hundredth of a fresh ping. (Pipeline mode: libpq 14.)
///
/// Not for several threads at once.
class SessionEngine {
  public:
    /// Called on the loop, each also from within the calls below.
    struct Events {
        std::function<void(SessionId, const SessionFacts&)> opened;
        /// The login came to nothing. `text` is libpq's own, one line.
        std::function<void(SessionId, const PingResult&, const std::string& text)> refused;
        std::function<void(PingId, const PingResult&, const SessionFacts&)> checked;
        /// The session ended before the check was answered.
        std::function<void(PingId)> abandoned;
        /// The server ended an open session, or it was lost; `sqlstate` is what the server said last, empty:
        /// nothing.
        std::function<void(SessionId, std::string_view sqlstate)> ended;
    };

    SessionEngine(asio::io_context& loop, Events events);
    SessionEngine(const SessionEngine&) = delete;
    SessionEngine& operator=(const SessionEngine&) = delete;
    /// Closes what is open; no call after it returned.
    ~SessionEngine();

    /// Logs in. Refused with `timeout` when that has not come about after `patience`.
    void open(SessionId session, const ConnectionParameters& parameters, std::chrono::milliseconds patience);

    /// Checks an open session; abandoned at once where it is not open.
    void check(PingId ping, SessionId session, bool with_lag);

    /// Ends a check at its deadline: `no_response` for `timeout`, or `inconclusive` when the answer lies
    /// unread because this loop is late. Empty: it is not under way.
    std::optional<PingResult> expire(PingId ping);

    /// Closes a session or gives its opening up. No event follows but `abandoned`.
    void close(SessionId session);

  private:
    struct Session;
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace pgpulse::probe
