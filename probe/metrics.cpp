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
constexpr auto kVias = static_cast<std::size_t>(contract::Via::session) + 1;
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
          calls(prometheus::BuildCounter()
                    .Name("pgpulse_probe_calls_total")
                    .Help("Calls of a target's other observers, each at a first failure")
                    .Register(registry)
                    .Add({})),
          unanswered(prometheus::BuildCounter()
                         .Name("pgpulse_probe_references_unanswered_total")
                         .Help("Questions to the references that none of them answered")
                         .Register(registry)
                         .Add({})),
          session_ends(
              prometheus::BuildCounter()
                  .Name("pgpulse_probe_sessions_ended_total")
                  .Help("Held sessions that the server ended or that were lost, by the SQLSTATE it gave")
                  .Register(registry)),
          refused_logins(prometheus::BuildCounter()
                             .Name("pgpulse_probe_logins_refused_total")
                             .Help("Logins for a held session that came to nothing, by reason")
                             .Register(registry)),
          sessions(prometheus::BuildGauge()
                       .Name("pgpulse_probe_sessions")
                       .Help("Sessions held")
                       .Register(registry)
                       .Add({})),
          session_targets(prometheus::BuildGauge()
                              .Name("pgpulse_probe_session_targets")
                              .Help("Targets in mode session that this worker pings")
                              .Register(registry)
                              .Add({})),
          sessions_wanting(prometheus::BuildGauge()
                               .Name("pgpulse_probe_sessions_wanting")
                               .Help("Targets in mode session that have none for want of open files")
                               .Register(registry)
                               .Add({})),
          suspect(prometheus::BuildGauge()
                      .Name("pgpulse_probe_suspect")
                      .Help("1 while this worker doubts itself")
                      .Register(registry)
                      .Add({})),
          members(prometheus::BuildGauge()
                      .Name("pgpulse_probe_members")
                      .Help("Members of the cluster that serve, as this worker sees them")
                      .Register(registry)
                      .Add({})),
          members_frozen(prometheus::BuildGauge()
                             .Name("pgpulse_probe_members_frozen")
                             .Help("1 while this worker does not hear itself on NATS")
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
          not_sent(drops.Add({{"cause", "not_sent"}})) {
        // What is not there yet has no rate when it comes.
        count(contract::Verdict::accepting, contract::Reason::ok, contract::Via::fresh);
        session_ends.Add({{"sqlstate", "none"}});
        refused_logins.Add({{"reason", std::string{to_string(contract::Reason::auth)}}});
    }

    prometheus::Counter& count(contract::Verdict verdict, contract::Reason reason, contract::Via via) {
        auto& place = by_result[static_cast<std::size_t>(verdict)][static_cast<std::size_t>(reason)]
                               [static_cast<std::size_t>(via)];
        prometheus::Counter* counter = place.load(std::memory_order_acquire);
        if (counter == nullptr) {
            counter = &pings.Add({{"verdict", std::string{to_string(verdict)}},
                                  {"reason", std::string{to_string(reason)}},
                                  {"via", std::string{to_string(via)}}});
            place.store(counter, std::memory_order_release);
        }
        return *counter;
    }

    prometheus::Family<prometheus::Counter>& pings;
    // Filled as pairs turn up: most of them never do. Adding one twice gives the same counter.
    std::array<std::array<std::array<std::atomic<prometheus::Counter*>, kVias>, kReasons>, kVerdicts>
        by_result{};
    prometheus::Histogram& rtt;
    prometheus::Histogram& lateness;
    prometheus::Counter& refused;
    prometheus::Counter& calls;
    prometheus::Counter& unanswered;
    prometheus::Family<prometheus::Counter>& session_ends;
    prometheus::Family<prometheus::Counter>& refused_logins;
    prometheus::Gauge& sessions;
    prometheus::Gauge& session_targets;
    prometheus::Gauge& sessions_wanting;
    prometheus::Gauge& suspect;
    prometheus::Gauge& members;
    prometheus::Gauge& members_frozen;
    prometheus::Gauge& targets;
    prometheus::Gauge& in_flight;
    prometheus::Counter& stalled;
    prometheus::Family<prometheus::Counter>& drops;
    prometheus::Counter& queue_full;
    prometheus::Counter& not_sent;
};

Metrics::Metrics(prometheus::Registry& registry) : impl_(std::make_unique<Impl>(registry)) {}

Metrics::~Metrics() = default;

void Metrics::count_ping(contract::Verdict verdict, contract::Reason reason, contract::Via via) {
    impl_->count(verdict, reason, via).Increment();
}

void Metrics::observe_rtt(double seconds) { impl_->rtt.Observe(seconds); }
void Metrics::observe_lateness(double seconds) { impl_->lateness.Observe(seconds); }
void Metrics::count_refused_definition() { impl_->refused.Increment(); }
void Metrics::count_call() { impl_->calls.Increment(); }
void Metrics::count_unanswered_references() { impl_->unanswered.Increment(); }
void Metrics::count_session_end(std::string_view sqlstate) {
    // What is no SQLSTATE comes from a peer that is no PostgreSQL server: it gets no label of its own.
    const bool known = sqlstate.size() == 5 && sqlstate.starts_with("57P0");
    impl_->session_ends
        .Add({{"sqlstate", known              ? std::string{sqlstate}
                           : sqlstate.empty() ? "none"
                                              : "other"}})
        .Increment();
}
void Metrics::count_refused_login(contract::Reason reason) {
    impl_->refused_logins.Add({{"reason", std::string{to_string(reason)}}}).Increment();
}
void Metrics::set_sessions(std::size_t open, std::size_t targets, std::size_t most) {
    impl_->sessions.Set(static_cast<double>(open));
    impl_->session_targets.Set(static_cast<double>(targets));
    impl_->sessions_wanting.Set(targets > most ? static_cast<double>(targets - most) : 0);
}
void Metrics::set_suspect(bool suspect) { impl_->suspect.Set(suspect ? 1 : 0); }
void Metrics::set_members(double members) { impl_->members.Set(members); }
void Metrics::set_members_frozen(bool frozen) { impl_->members_frozen.Set(frozen ? 1 : 0); }
void Metrics::set_targets(double targets) { impl_->targets.Set(targets); }
void Metrics::set_in_flight(double pings) { impl_->in_flight.Set(pings); }
void Metrics::set_stalled_seconds(double seconds) { raise(impl_->stalled, seconds); }

void Metrics::set_dropped(double queue_full, double not_sent) {
    raise(impl_->queue_full, queue_full);
    raise(impl_->not_sent, not_sent);
}

}  // namespace pgpulse::probe
