#include "probe/metrics.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <atomic>
#include <string>

namespace pgpulse::probe {
namespace {

constexpr auto kVerdicts = static_cast<std::size_t>(contract::Verdict::inconclusive) + 1;
constexpr auto kReasons = static_cast<std::size_t>(contract::Reason::observer_stalled) + 1;

const prometheus::Histogram::BucketBoundaries kRttSeconds{
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0};
const prometheus::Histogram::BucketBoundaries kLatenessSeconds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                               0.1,   0.25,   0.5,   1.0,  5.0};

/// Raises a counter to a total that is kept elsewhere.
void raise(prometheus::Counter& counter, double total) {
    if (const double more = total - counter.Value(); more > 0) counter.Increment(more);
}

}  // namespace

struct Metrics::Impl {
    explicit Impl(prometheus::Registry& registry)
        : pings(prometheus::BuildCounter()
                    .Name("pgpulse_probe_pings_total")
                    .Help("Pings that ended, by what they found")
                    .Register(registry)),
          rtt(prometheus::BuildHistogram()
                  .Name("pgpulse_probe_rtt_seconds")
                  .Help("From a ping's start to the server's answer")
                  .Register(registry)
                  .Add({}, kRttSeconds)),
          lateness(prometheus::BuildHistogram()
                       .Name("pgpulse_probe_lateness_seconds")
                       .Help("How much later than due a ping started")
                       .Register(registry)
                       .Add({}, kLatenessSeconds)),
          refused(prometheus::BuildCounter()
                      .Name("pgpulse_probe_definitions_refused_total")
                      .Help("Invalid values seen in the bucket of targets")
                      .Register(registry)
                      .Add({})),
          targets(prometheus::BuildGauge()
                      .Name("pgpulse_probe_targets")
                      .Help("Targets this worker pings")
                      .Register(registry)
                      .Add({})),
          in_flight(prometheus::BuildGauge()
                        .Name("pgpulse_probe_in_flight")
                        .Help("Pings under way")
                        .Register(registry)
                        .Add({})),
          stalled(prometheus::BuildCounter()
                      .Name("pgpulse_probe_stalled_seconds_total")
                      .Help("How long this worker's loop did not turn")
                      .Register(registry)
                      .Add({})),
          drops(prometheus::BuildCounter()
                    .Name("pgpulse_probe_pings_dropped_total")
                    .Help("Pings that did not get to NATS, by why")
                    .Register(registry)),
          queue_full(drops.Add({{"cause", "queue_full"}})),
          not_sent(drops.Add({{"cause", "not_sent"}})) {}

    prometheus::Family<prometheus::Counter>& pings;
    // Filled as pairs turn up: most of them never do. Adding one twice gives the same counter.
    std::array<std::array<std::atomic<prometheus::Counter*>, kReasons>, kVerdicts> by_result{};
    prometheus::Histogram& rtt;
    prometheus::Histogram& lateness;
    prometheus::Counter& refused;
    prometheus::Gauge& targets;
    prometheus::Gauge& in_flight;
    prometheus::Counter& stalled;
    prometheus::Family<prometheus::Counter>& drops;
    prometheus::Counter& queue_full;
    prometheus::Counter& not_sent;
};

Metrics::Metrics(prometheus::Registry& registry) : impl_(std::make_unique<Impl>(registry)) {}

Metrics::~Metrics() = default;

void Metrics::count_ping(contract::Verdict verdict, contract::Reason reason) {
    auto& place = impl_->by_result[static_cast<std::size_t>(verdict)][static_cast<std::size_t>(reason)];
    prometheus::Counter* counter = place.load(std::memory_order_acquire);
    if (counter == nullptr) {
        counter = &impl_->pings.Add(
            {{"verdict", std::string{to_string(verdict)}}, {"reason", std::string{to_string(reason)}}});
        place.store(counter, std::memory_order_release);
    }
    counter->Increment();
}

void Metrics::observe_rtt(double seconds) { impl_->rtt.Observe(seconds); }
void Metrics::observe_lateness(double seconds) { impl_->lateness.Observe(seconds); }
void Metrics::count_refused_definition() { impl_->refused.Increment(); }
void Metrics::set_targets(double targets) { impl_->targets.Set(targets); }
void Metrics::set_in_flight(double pings) { impl_->in_flight.Set(pings); }
void Metrics::set_stalled_seconds(double seconds) { raise(impl_->stalled, seconds); }

void Metrics::set_dropped(double queue_full, double not_sent) {
    raise(impl_->queue_full, queue_full);
    raise(impl_->not_sent, not_sent);
}

}  // namespace pgpulse::probe
