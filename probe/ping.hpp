#pragma once

#include "probe/connection_parameters.hpp"
#include "probe/ping_result.hpp"

#include <functional>
#include <memory>
#include <optional>

namespace asio {
class io_context;
}

namespace pgpulse::probe {

/// Pings over connections of their own, by non-blocking libpq on one event loop. It knows no deadline:
/// whoever starts a ping ends it with `expire`.
///
/// Not for several threads at once.
class PingEngine {
  public:
    /// Called once for every ping that ends by itself, also from within `start`.
    using OnFinished = std::function<void(PingId, const PingResult&)>;

    PingEngine(asio::io_context& loop, OnFinished on_finished);
    PingEngine(const PingEngine&) = delete;
    PingEngine& operator=(const PingEngine&) = delete;
    /// Closes what is under way; no call after it returned.
    ~PingEngine();

    /// Starts a ping; no other ping of this slot is under way. `parameters` need not outlive the call.
    void start(PingId ping, const ConnectionParameters& parameters);

    /// Ends a ping at its deadline and says what is known of it: `accepting` when an authentication request
    /// had arrived, `inconclusive` when the server's next step lies unread in the socket because this loop is
    /// late, otherwise `no_response` for `timeout`. Empty: it is not under way.
    std::optional<PingResult> expire(PingId ping);

  private:
    struct Slot;
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace pgpulse::probe
