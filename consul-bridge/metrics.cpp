#include "consul-bridge/metrics.hpp"

#include "common/contract/names.hpp"
#include "common/contract/refusal.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>

namespace pgpulse::consul_bridge {
namespace {

using prometheus::Histogram;

const Histogram::BucketBoundaries kSeconds = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2,
                                              0.5,   1.0,   2.0,   5.0,  10.0, 30.0, 60.0};

prometheus::Family<prometheus::Counter>& counters(prometheus::Registry& registry, const char* name,
                                                  const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

prometheus::Gauge& gauge(prometheus::Registry& registry, const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
}

Histogram& histogram(prometheus::Registry& registry, const char* name, const char* help) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add({}, kSeconds);
}

prometheus::Counter& transactions(prometheus::Registry& registry, const char* outcome) {
    return counters(registry, "pgpulse_bridge_transactions_total", "Transactions sent to Consul")
        .Add({{"outcome", outcome}});
}

double seconds(std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

Metrics::Metrics()
    : registry_(std::make_shared<prometheus::Registry>(prometheus::Registry::InsertBehavior::Merge)),
      refused_(counters(*registry_, "pgpulse_bridge_refused_values_total",
                        "Values of a bucket that were not understood")),
      committed_(transactions(*registry_, "committed")),
      refused_transactions_(transactions(*registry_, "refused")),
      rejected_(transactions(*registry_, "rejected")),
      unreachable_(transactions(*registry_, "unreachable")),
      operations_(
          counters(*registry_, "pgpulse_bridge_operations_total", "Operations in committed transactions")
              .Add({})),
      conflicts_(counters(*registry_, "pgpulse_bridge_conflicts_total",
                          "Targets taken out of a transaction because Consul refused an operation")
                     .Add({})),
      repairs_(counters(*registry_, "pgpulse_bridge_repairs_total",
                        "Targets that somebody else had changed in Consul")
                   .Add({})),
      reconciles_(counters(*registry_, "pgpulse_bridge_reconciles_total", "Full reads of Consul").Add({})),
      retries_(counters(*registry_, "pgpulse_bridge_retries_total",
                        "Targets whose transaction was not done and that are sent again")
                   .Add({})),
      targets_(gauge(*registry_, "pgpulse_bridge_targets", "Targets with a definition and a state")),
      owned_(gauge(*registry_, "pgpulse_bridge_owned_targets", "Defined targets that this bridge writes")),
      pending_(gauge(*registry_, "pgpulse_bridge_pending_targets",
                     "Targets of which Consul does not say yet what the bucket says")),
      oldest_pending_(gauge(*registry_, "pgpulse_bridge_oldest_pending_seconds",
                            "How long the target that waits longest for Consul has waited")),
      denied_(gauge(*registry_, "pgpulse_bridge_denied_targets",
                    "Targets of which the token may not write something")),
      reachable_(gauge(*registry_, "pgpulse_bridge_consul_reachable", "1 while Consul answers")),
      bridges_(gauge(*registry_, "pgpulse_bridge_members",
                     "Bridges that serve or stand aside, as this one sees them")),
      pipeline_healthy_(gauge(*registry_, "pgpulse_bridge_pipeline_healthy",
                              "1 while this bridge hears itself on NATS and an aggregator serves")),
      stale_(gauge(*registry_, "pgpulse_bridge_stale",
                   "1 while nothing new could be known of any target for --stale-after")),
      delay_(histogram(*registry_, "pgpulse_bridge_delay_seconds",
                       "From a change's arrival from NATS until Consul has it")),
      request_(histogram(*registry_, "pgpulse_bridge_transaction_seconds", "Duration of a transaction")) {
    // What is not there yet has no rate when it comes.
    for (const auto bucket : {contract::kStateBucket, contract::kTargetsBucket}) {
        refused_.Add({{"bucket", std::string{bucket}},
                      {"cause", std::string{to_string(contract::Refusal::Cause::not_json)}}});
    }
}

void Metrics::show(const Mirror::Counters& now, const std::vector<std::chrono::nanoseconds>& delays) {
    const auto add = [](prometheus::Counter& counter, std::uint64_t before, std::uint64_t after) {
        if (after > before) counter.Increment(static_cast<double>(after - before));
    };
    add(committed_, shown_.transactions_committed, now.transactions_committed);
    add(refused_transactions_, shown_.transactions_refused, now.transactions_refused);
    add(rejected_, shown_.transactions_rejected, now.transactions_rejected);
    add(unreachable_, shown_.transactions_unreachable, now.transactions_unreachable);
    add(operations_, shown_.operations_committed, now.operations_committed);
    add(conflicts_, shown_.conflicts, now.conflicts);
    add(repairs_, shown_.repairs, now.repairs);
    add(reconciles_, shown_.reconciles, now.reconciles);
    add(retries_, shown_.retries, now.retries);
    targets_.Set(static_cast<double>(now.targets));
    owned_.Set(static_cast<double>(now.owned));
    pending_.Set(static_cast<double>(now.pending));
    denied_.Set(static_cast<double>(now.denied));
    reachable_.Set(now.reachable ? 1 : 0);
    for (const auto delay : delays) delay_.Observe(seconds(delay));
    shown_ = now;
}

void Metrics::count_refused(const std::string& bucket, const std::string& cause) {
    refused_.Add({{"bucket", bucket}, {"cause", cause}}).Increment();
}

void Metrics::show_members(const cluster::Membership::View& view) {
    bridges_.Set(static_cast<double>(view.bridges.size() + view.bridges_aside.size()));
}

void Metrics::show_oldest_pending(std::chrono::nanoseconds age) { oldest_pending_.Set(seconds(age)); }

void Metrics::show_pipeline(bool healthy, bool stale) {
    pipeline_healthy_.Set(healthy ? 1 : 0);
    stale_.Set(stale ? 1 : 0);
}

void Metrics::observe_request(std::chrono::nanoseconds took) { request_.Observe(seconds(took)); }

}  // namespace pgpulse::consul_bridge
