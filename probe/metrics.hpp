#pragma once

#include "probe/ping_result.hpp"

#include <cstddef>
#include <memory>
#include <string_view>

namespace prometheus {
class Registry;
}

namespace pgpulse::probe {

/// What the probe counts, for `/metrics`. Every method may be called on any thread.
class Metrics {
  public:
    explicit Metrics(prometheus::Registry& registry);
    Metrics(const Metrics&) = delete;
    Metrics& operator=(const Metrics&) = delete;
    ~Metrics();

    void count_ping(contract::Verdict verdict, contract::Reason reason, contract::Via via);
    void observe_rtt(double seconds);
    /// How much later than due a ping started.
    void observe_lateness(double seconds);
    void count_refused_definition();
    /// The other observers of a target were called.
    void count_call();

    /// The references were asked, and none of them answered.
    void count_unanswered_references();

    void count_session_end(std::string_view sqlstate);
    void count_refused_login(contract::Reason reason);
    /// Sessions that are open, targets in mode `session`, and how many of them may have one.
    void set_sessions(std::size_t open, std::size_t targets, std::size_t most);

    void set_suspect(bool suspect);
    void set_targets(double targets);
    /// Members of the cluster that serve, this one included.
    void set_members(double members);
    /// Whether what this worker knows of the members stands still.
    void set_members_frozen(bool frozen);
    void set_in_flight(double pings);
    /// Totals since the start; they never fall.
    void set_stalled_seconds(double seconds);
    void set_dropped(double queue_full, double not_sent);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace pgpulse::probe
