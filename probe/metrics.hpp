#pragma once

#include "probe/ping_result.hpp"

#include <memory>

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

    void count_ping(contract::Verdict verdict, contract::Reason reason);
    void observe_rtt(double seconds);
    /// How much later than due a ping started.
    void observe_lateness(double seconds);
    void count_refused_definition();

    void set_targets(double targets);
    void set_in_flight(double pings);
    /// Totals since the start; they never fall.
    void set_stalled_seconds(double seconds);
    void set_dropped(double queue_full, double not_sent);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace pgpulse::probe
