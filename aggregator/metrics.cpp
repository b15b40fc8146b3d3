#include "aggregator/metrics.hpp"

#include <algorithm>
#include <string>

namespace pgpulse::aggregator {
namespace {

std::string label(Heard heard) {
    switch (heard) {
        case Heard::counted:
            return "counted";
        case Heard::no_observer:
            return "no_observer";
        case Heard::not_tallied:
            return "not_tallied";
        case Heard::from_the_future:
            return "from_the_future";
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

prometheus::Gauge& gauge(prometheus::Registry& registry, const std::string& name, const std::string& help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
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
    auto& dropped =
        prometheus::BuildCounter()
            .Name("pgpulse_aggregator_pings_dropped_total")
            .Help("Pings dropped because they came faster than they are folded, by who dropped them")
            .Register(*registry_);
    dropped_ = &dropped.Add({{"by", "mailbox"}});
    dropped_by_client_ = &dropped.Add({{"by", "nats_client"}});
    definitions_refused_ = &counter(*registry_, "pgpulse_aggregator_definitions_refused_total",
                                    "Values of health_targets that are no definition");
    definitions_put_back_ = &counter(*registry_, "pgpulse_aggregator_definitions_put_back_total",
                                     "Definitions written again because the bucket had lost or spoiled them");
    transitions_ =
        &counter(*registry_, "pgpulse_aggregator_transitions_total", "Transitions this aggregator stored");
    put_back_ = &counter(*registry_, "pgpulse_aggregator_states_put_back_total",
                         "States written again because the bucket had lost or spoiled them");
    writes_lost_ = &counter(*registry_, "pgpulse_aggregator_writes_lost_total",
                            "Compare-and-set writes that another aggregator's write came before");
    writes_failed_ =
        &counter(*registry_, "pgpulse_aggregator_writes_failed_total", "Writes without an acknowledgement");
    writes_retried_ = &counter(*registry_, "pgpulse_aggregator_writes_retried_total",
                               "Writes tried again after they were lost or failed");
    decision_ =
        &prometheus::BuildHistogram()
             .Name("pgpulse_aggregator_decision_seconds")
             .Help("From the end of the ping that decided a transition to the acknowledgement of its write")
             .Register(*registry_)
             .Add({}, prometheus::Histogram::BucketBoundaries{0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2,
                                                              0.5, 1, 2, 5, 10});
    writing_ = &gauge(*registry_, "pgpulse_aggregator_writes_pending",
                      "Writes in flight, and those that wait for their turn");
    disputed_ = &gauge(*registry_, "pgpulse_aggregator_targets_disputed",
                       "Targets tallied here whose voters disagree without a quorum");
    in_conflict_ = &gauge(*registry_, "pgpulse_aggregator_targets_in_conflict",
                          "Defined targets that claim to be primary beside another of their service");
    role_unexpected_ = &gauge(*registry_, "pgpulse_aggregator_targets_with_unexpected_role",
                              "Defined targets whose role is not their expect_role");
    auto& partitions = prometheus::BuildGauge()
                           .Name("pgpulse_aggregator_partitions")
                           .Help("Partitions that this aggregator tallies, by its rank")
                           .Register(*registry_);
    partitions_ = {&partitions.Add({{"rank", "first"}}), &partitions.Add({{"rank", "second"}})};
    history_copied_ = &counter(*registry_, "pgpulse_aggregator_history_copied_total",
                               "Transitions and removals this aggregator stored in HEALTH_TRANSITIONS");
    history_behind_ = &prometheus::BuildGauge()
                           .Name("pgpulse_aggregator_history_behind")
                           .Help("Revisions of the bucket that this aggregator is still to copy")
                           .Register(*registry_)
                           .Add({});
    auto& targets = prometheus::BuildGauge()
                        .Name("pgpulse_aggregator_targets")
                        .Help("Defined targets, by state")
                        .Register(*registry_);
    auto& in_maintenance = prometheus::BuildGauge()
                               .Name("pgpulse_aggregator_targets_in_maintenance")
                               .Help("Defined targets under maintenance, by state")
                               .Register(*registry_);
    for (const auto health : {contract::Health::up, contract::Health::down, contract::Health::unknown}) {
        targets_[health] = &targets.Add({{"state", std::string{to_string(health)}}});
        in_maintenance_[health] = &in_maintenance.Add({{"state", std::string{to_string(health)}}});
    }
    members_frozen_ = &gauge(*registry_, "pgpulse_aggregator_members_frozen",
                             "1 while this aggregator does not hear itself on NATS");
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

void Metrics::show(const TallyCounts& counts, const Census& census) {
    follow(*transitions_, counts.transitions);
    follow(*put_back_, counts.put_back);
    follow(*writes_lost_, counts.writes_lost);
    follow(*writes_failed_, counts.writes_failed);
    follow(*writes_retried_, counts.writes_retried);
    for (const auto& [health, count] : census.by_state) targets_.at(health)->Set(static_cast<double>(count));
    for (const auto& [health, count] : census.in_maintenance)
        in_maintenance_.at(health)->Set(static_cast<double>(count));
    writing_->Set(static_cast<double>(census.writing));
    disputed_->Set(static_cast<double>(census.disputed));
    in_conflict_->Set(static_cast<double>(census.in_conflict));
    role_unexpected_->Set(static_cast<double>(census.role_unexpected));
}

void Metrics::show_dropped(std::int64_t total) {
    follow(*dropped_by_client_, static_cast<std::uint64_t>(total));
}

void Metrics::show_definitions_put_back(std::uint64_t total) { follow(*definitions_put_back_, total); }

void Metrics::show_partitions(const Ranks& ranks) {
    partitions_[0]->Set(static_cast<double>(std::ranges::count(ranks, Rank::first)));
    partitions_[1]->Set(static_cast<double>(std::ranges::count(ranks, Rank::second)));
}

void Metrics::decided(std::chrono::milliseconds latency) {
    decision_->Observe(std::chrono::duration<double>{latency}.count());
}

}  // namespace pgpulse::aggregator
