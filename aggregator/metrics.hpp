#pragma once

#include "aggregator/tally.hpp"
#include "common/cluster/membership.hpp"
#include "common/contract/refusal.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>

namespace pgpulse::aggregator {

/// What the aggregator tells Prometheus.
class Metrics {
  public:
    Metrics();

    [[nodiscard]] const std::shared_ptr<prometheus::Registry>& registry() const { return registry_; }

    void heard(Heard heard) { heard_[static_cast<std::size_t>(heard)]->Increment(); }
    void refused(contract::Refusal::Cause cause) { refused_[static_cast<std::size_t>(cause)]->Increment(); }
    void dropped() { dropped_->Increment(); }
    void definition_refused() { definitions_refused_->Increment(); }
    /// One transition more is in the history; any thread.
    void history_copied() { history_copied_->Increment(); }
    /// So many revisions of the bucket are not; any thread.
    void history_behind(std::uint64_t revisions) { history_behind_->Set(static_cast<double>(revisions)); }
    /// Any thread.
    void show_members(const cluster::Membership::View& view);
    /// Whether what this aggregator knows of the members stands still; any thread.
    void members_frozen(bool frozen) { members_frozen_->Set(frozen ? 1 : 0); }
    void show(const TallyCounts& counts, const Census& census);
    /// Pings that nats.c dropped since the start.
    void show_dropped(std::int64_t total);
    void show_partitions(const Ranks& ranks);
    void show_definitions_put_back(std::uint64_t total);
    void decided(std::chrono::milliseconds latency);

  private:
    static constexpr std::size_t kCauses = 5;

    std::shared_ptr<prometheus::Registry> registry_;
    std::array<prometheus::Counter*, kHeardKinds> heard_{};
    std::array<prometheus::Counter*, kCauses> refused_{};
    prometheus::Counter* dropped_ = nullptr;
    prometheus::Counter* dropped_by_client_ = nullptr;
    prometheus::Counter* writes_retried_ = nullptr;
    prometheus::Histogram* decision_ = nullptr;
    prometheus::Gauge* writing_ = nullptr;
    prometheus::Gauge* disputed_ = nullptr;
    prometheus::Gauge* members_frozen_ = nullptr;
    prometheus::Gauge* in_conflict_ = nullptr;
    prometheus::Gauge* role_unexpected_ = nullptr;
    std::array<prometheus::Gauge*, 2> partitions_{};  // first, second
    prometheus::Counter* definitions_refused_ = nullptr;
    prometheus::Counter* definitions_put_back_ = nullptr;
    prometheus::Counter* transitions_ = nullptr;
    prometheus::Counter* put_back_ = nullptr;
    prometheus::Counter* writes_lost_ = nullptr;
    prometheus::Counter* writes_failed_ = nullptr;
    prometheus::Counter* history_copied_ = nullptr;
    prometheus::Gauge* history_behind_ = nullptr;
    std::map<contract::Health, prometheus::Gauge*> targets_;
    std::map<contract::Health, prometheus::Gauge*> in_maintenance_;
    std::map<contract::MemberKind, prometheus::Gauge*> members_;
};

}  // namespace pgpulse::aggregator
