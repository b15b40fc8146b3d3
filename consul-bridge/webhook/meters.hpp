#pragma once

#include <prometheus/registry.h>

#include <chrono>
#include <cstddef>
#include <string>

namespace prometheus {
class Counter;
class Gauge;
}  // namespace prometheus

namespace pgpulse::consul_bridge::webhook {

/// What monitoring is told of one endpoint. Any thread.
class Meters {
  public:
    Meters(prometheus::Registry& registry, const std::string& endpoint);

    void count_delivered();
    void count_retried();
    void count_dropped();
    /// Of the bridge that posts; of all others zero.
    void show(std::size_t pending, std::chrono::nanoseconds oldest_age);

  private:
    prometheus::Counter& delivered_;
    prometheus::Counter& retried_;
    prometheus::Counter& dropped_;
    prometheus::Gauge& pending_;
    prometheus::Gauge& oldest_;
};

}  // namespace pgpulse::consul_bridge::webhook
