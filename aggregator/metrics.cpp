#include "aggregator/metrics.hpp"

#include <string>

namespace pgpulse::aggregator {
namespace {

std::string label(Heard heard) {
    switch (heard) {
        case Heard::counted:
            return "counted";
        case Heard::unknown_target:
            return "unknown_target";
        case Heard::replayed:
            return "replayed";
        case Heard::late:
            return "late";
        case Heard::too_many_workers:
            return "too_many_workers";
    }
    return "";
}

prometheus::Counter& counter(prometheus::Registry& registry, const std::string& name,
                             const std::string& help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({});
}

/// A counter follows a total that only grows.
void follow(prometheus::Counter& counter, std::uint64_t total) {
    counter.Increment(static_cast<double>(total) - counter.Value());
}

}  // namespace

Metrics::Metrics() : registry_(std::make_shared<prometheus::Registry>()) {
    auto& pings = prometheus::BuildCounter()
                      .Name("pgpulse_aggregator_pings_total")
                      .Help("Pings read, by what became of them")
                      .Register(*registry_);
    for (std::size_t i = 0; i < kHeardKinds; ++i)
        heard_[i] = &pings.Add({{"outcome", label(static_cast<Heard>(i))}});
    auto& refused = prometheus::BuildCounter()
                        .Name("pgpulse_aggregator_pings_refused_total")
                        .Help("Messages on health.ping.> that are no ping of the contract, by cause")
                        .Register(*registry_);
    for (std::size_t i = 0; i < kCauses; ++i) {
        refused_[i] =
            &refused.Add({{"cause", std::string{to_string(static_cast<contract::Refusal::Cause>(i))}}});
    }
    dropped_ = &counter(*registry_, "pgpulse_aggregator_pings_dropped_total",
                        "Pings dropped because they came faster than they are folded");
    definitions_refused_ = &counter(*registry_, "pgpulse_aggregator_definitions_refused_total",
                                    "Values of health_targets that are no definition");
    transitions_ =
        &counter(*registry_, "pgpulse_aggregator_transitions_total", "Transitions this aggregator stored");
    put_back_ = &counter(*registry_, "pgpulse_aggregator_states_put_back_total",
                         "States written again because the bucket had lost or spoiled them");
    writes_lost_ = &counter(*registry_, "pgpulse_aggregator_writes_lost_total",
                            "Compare-and-set writes that another aggregator's write came before");
    writes_failed_ =
        &counter(*registry_, "pgpulse_aggregator_writes_failed_total", "Writes without an acknowledgement");
    auto& targets = prometheus::BuildGauge()
                        .Name("pgpulse_aggregator_targets")
                        .Help("Defined targets, by state")
                        .Register(*registry_);
    for (const auto health : {contract::Health::up, contract::Health::down, contract::Health::unknown}) {
        targets_[health] = &targets.Add({{"state", std::string{to_string(health)}}});
    }
    auto& members = prometheus::BuildGauge()
                        .Name("pgpulse_aggregator_members")
                        .Help("Members of the cluster that serve, as this aggregator sees them, by kind")
                        .Register(*registry_);
    for (const auto kind :
         {contract::MemberKind::probe, contract::MemberKind::aggregator, contract::MemberKind::bridge}) {
        members_[kind] = &members.Add({{"kind", std::string{to_string(kind)}}});
    }
}

void Metrics::show_members(const cluster::Membership::View& view) {
    members_.at(contract::MemberKind::probe)->Set(static_cast<double>(view.probes.size()));
    members_.at(contract::MemberKind::aggregator)->Set(static_cast<double>(view.aggregators.size()));
    members_.at(contract::MemberKind::bridge)->Set(static_cast<double>(view.bridges.size()));
}

void Metrics::show(const TallyCounts& counts, const std::map<contract::Health, std::size_t>& targets) {
    follow(*transitions_, counts.transitions);
    follow(*put_back_, counts.put_back);
    follow(*writes_lost_, counts.writes_lost);
    follow(*writes_failed_, counts.writes_failed);
    for (const auto& [health, count] : targets) targets_.at(health)->Set(static_cast<double>(count));
}

}  // namespace pgpulse::aggregator
