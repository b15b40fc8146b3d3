#pragma once

#include "common/cluster/membership.hpp"
#include "consul-bridge/mirror.hpp"

#include <prometheus/registry.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace pgpulse::consul_bridge {

/// What a bridge tells monitoring. The registry's values may be read and counted up from any thread.
class Metrics {
  public:
    Metrics();

    [[nodiscard]] const std::shared_ptr<prometheus::Registry>& registry() const { return registry_; }

    /// From the thread that owns the mirror.
    void show(const Mirror::Counters& counters, const std::vector<std::chrono::nanoseconds>& delays);

    /// A value of a bucket that was not understood.
    void count_refused(const std::string& bucket, const std::string& cause);

    void show_members(const cluster::Membership::View& view);

    /// How long the target that waits longest has waited; 0: none waits.
    void show_oldest_pending(std::chrono::nanoseconds age);

    /// What the bridge's own check in Consul says, and whether targets are stale.
    void show_pipeline(bool healthy, bool stale);

    void observe_request(std::chrono::nanoseconds took);

  private:
    std::shared_ptr<prometheus::Registry> registry_;
    prometheus::Family<prometheus::Counter>& refused_;
    prometheus::Counter& committed_;
    prometheus::Counter& refused_transactions_;
    prometheus::Counter& rejected_;
    prometheus::Counter& unreachable_;
    prometheus::Counter& operations_;
    prometheus::Counter& conflicts_;
    prometheus::Counter& repairs_;
    prometheus::Counter& reconciles_;
    prometheus::Counter& retries_;
    prometheus::Gauge& targets_;
    prometheus::Gauge& owned_;
    prometheus::Gauge& pending_;
    prometheus::Gauge& oldest_pending_;
    prometheus::Gauge& denied_;
    prometheus::Gauge& reachable_;
    prometheus::Gauge& bridges_;
    prometheus::Gauge& pipeline_healthy_;
    prometheus::Gauge& stale_;
    prometheus::Histogram& delay_;
    prometheus::Histogram& request_;
    Mirror::Counters shown_;
};

}  // namespace pgpulse::consul_bridge
