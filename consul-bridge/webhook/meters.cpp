#include "consul-bridge/webhook/meters.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>

namespace pgpulse::consul_bridge::webhook {
namespace {

prometheus::Counter& posts(prometheus::Registry& registry, const std::string& endpoint, const char* outcome) {
    return prometheus::BuildCounter()
        .Name("pgpulse_bridge_webhook_posts_total")
        .Help("Events posted to webhooks, by what became of them")
        .Register(registry)
        .Add({{"endpoint", endpoint}, {"outcome", outcome}});
}

prometheus::Gauge& gauge(prometheus::Registry& registry, const char* name, const char* help,
                         const std::string& endpoint) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({{"endpoint", endpoint}});
}

}  // namespace

Meters::Meters(prometheus::Registry& registry, const std::string& endpoint)
    : delivered_(posts(registry, endpoint, "delivered")),
      retried_(posts(registry, endpoint, "retried")),
      dropped_(posts(registry, endpoint, "dropped")),
      pending_(gauge(registry, "pgpulse_bridge_webhook_pending",
                     "Transitions that a webhook has not got yet, of the bridge that posts them", endpoint)),
      oldest_(gauge(registry, "pgpulse_bridge_webhook_oldest_pending_seconds",
                    "Age of the oldest transition that a webhook has not got yet", endpoint)) {}

void Meters::count_delivered() { delivered_.Increment(); }
void Meters::count_retried() { retried_.Increment(); }
void Meters::count_dropped() { dropped_.Increment(); }

void Meters::show(std::size_t pending, std::chrono::nanoseconds oldest_age) {
    pending_.Set(static_cast<double>(pending));
    oldest_.Set(std::chrono::duration<double>(oldest_age).count());
}

}  // namespace pgpulse::consul_bridge::webhook
