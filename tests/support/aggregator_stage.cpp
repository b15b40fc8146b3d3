#include "tests/support/aggregator_stage.hpp"

#include "common/contract/names.hpp"
#include "common/contract/target.hpp"
#include "tests/support/free_port.hpp"
#include "tests/support/targets_bucket.hpp"
#include "tests/support/wait_until.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <stdexcept>

namespace pgpulse::support {
namespace {

using contract::Health;
using contract::Opinion;

constexpr std::chrono::seconds kDeadline{60};

/// The members that serve, as the aggregator sees them.
std::size_t members(const Daemon& aggregator, const std::string& kind) {
    return static_cast<std::size_t>(
        aggregator.metric("pgpulse_aggregator_members{kind=\"" + kind + "\"}").value_or(0));
}

}  // namespace

AggregatorStage::AggregatorStage(int count, AggregatorStagePlaces places)
    : readers(connect_with_targets_bucket(places.readers, places.replicas)), places_(std::move(places)) {
    told = std::make_unique<ToldStates>(*readers);
    if (places_.replicas > 1) bucket_ = std::make_unique<BucketLedger>(*readers);
    for (int i = 1; i <= count; ++i) {
        targets.push_back("db" + std::to_string(i));
        contract::TargetDefinition target;
        target.name = target.service = targets.back();
        target.address = "127.0.0.1";
        put_target(*readers, target);
    }
    if (!readers->flush(std::chrono::seconds{5})) throw std::runtime_error{"NATS does not take definitions"};
    for (std::size_t i = 0; i < places_.workers.size(); ++i) {
        workers_.push_back(connect_with_targets_bucket(places_.workers.at(i), places_.replicas));
        choruses_.push_back(std::make_unique<Chorus>(
            *workers_.back(), std::vector<std::string>{"w" + std::to_string(i + 1)}, places_.replicas));
    }
    if (!wait_until([this] { return std::ranges::all_of(choruses_, &Chorus::serves); }, kDeadline))
        throw std::runtime_error{"the workers do not become members"};
}

bool AggregatorStage::start(const std::vector<std::string>& ids) {
    for (const std::string& id : ids) {
        auto& daemon = aggregators_[id];
        if (daemon)
            daemon->start();
        else {
            const auto place = places_.aggregators.find(id);
            daemon = std::make_unique<Daemon>(
                "pgpulse-aggregator", id,
                std::vector<std::string>{"--nats",
                                         place == places_.aggregators.end() ? places_.readers : place->second,
                                         "--replicas", std::to_string(places_.replicas)});
        }
    }
    return wait_until(
        [&] {
            return std::ranges::all_of(ids, [&](const std::string& id) {
                const Daemon& daemon = aggregator(id);
                return daemon.readiness() == 200 && members(daemon, "aggregator") >= ids.size() &&
                       members(daemon, "probe") == choruses_.size();
            });
        },
        kDeadline);
}

double AggregatorStage::counted(const std::string& id) const {
    return aggregators_.at(id)->metric(R"(pgpulse_aggregator_pings_total{outcome="counted"})").value_or(0);
}

double AggregatorStage::partitions(const std::string& id, const std::string& rank) const {
    return aggregators_.at(id)->metric("pgpulse_aggregator_partitions{rank=\"" + rank + "\"}").value_or(0);
}

void AggregatorStage::flip(const std::string& target) {
    std::vector<Health>& states = ledger[target];
    const bool up = states.empty() || states.back() == Health::down;
    states.push_back(up ? Health::up : Health::down);
    hold(target, up ? Opinion::up : Opinion::down);
}

void AggregatorStage::hold(const std::string& target, Opinion opinion, const Chorus::More& more) {
    for (const auto& chorus : choruses_) chorus->hold(target, opinion, more);
}

bool AggregatorStage::sing(std::size_t rounds) const {
    // The round that is under way began before.
    std::vector<std::size_t> until;
    for (const auto& chorus : choruses_) until.push_back(chorus->rounds() + 1 + rounds);
    return wait_until([&] {
        for (std::size_t i = 0; i < until.size(); ++i) {
            if (choruses_[i]->rounds() < until[i]) return false;
        }
        return true;
    });
}

void AggregatorStage::flip_all() {
    for (const std::string& target : targets) flip(target);
}

bool AggregatorStage::shown(const std::string& target) const {
    const std::vector<Health>& states = ledger.at(target);
    std::optional<contract::State> newest;
    if (!bucket_) {
        newest = told->newest(target);
    } else if (const auto entry = bucket_->newest(target)) {
        newest = entry->state;
    }
    return newest && newest->state == states.back() && newest->transition >= states.size();
}

bool AggregatorStage::all_shown() const { return shown(targets) == targets.size(); }

bool AggregatorStage::all_shown_soon() const {
    return wait_until([this] { return all_shown(); }, kDeadline);
}

std::size_t AggregatorStage::shown(const std::vector<std::string>& some) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(some, [this](const std::string& target) { return shown(target); }));
}

std::string AggregatorStage::stored_otherwise() const {
    std::vector<ToldState> stored;
    std::string refused;
    // Servers that are electing a leader refuse for a while.
    const bool read = wait_until(
        [&] {
            try {
                stored = stored_states(*readers);
                return true;
            } catch (const std::runtime_error& error) {
                refused = error.what();
                return false;
            }
        },
        kDeadline);
    return read ? otherwise(stored) : "the bucket cannot be read: " + refused;
}

std::string AggregatorStage::told_otherwise() const { return otherwise(told->all()); }

std::string AggregatorStage::otherwise(const std::vector<ToldState>& found) const {
    std::string text;
    for (const std::string& target : targets) {
        const auto states = ledger.find(target);
        const std::string expected = states == ledger.end() ? "" : course_of(states->second);
        const std::string course = course_of(found, target);
        if (course != expected) text += fmt::format("{}: {}\n  instead of {}\n", target, course, expected);
        if (!in_order_of_revisions(found, target))
            text += target + ": a revision is not above the one before it\n";
    }
    return text;
}

std::string AggregatorStage::logs() const {
    std::string all;
    for (const auto& [id, daemon] : aggregators_) all += id + ":\n" + daemon->log() + "\n";
    return all;
}

OneServer::OneServer()
    : monitor(free_port()), nats({.extra_config = "http: \"127.0.0.1:" + std::to_string(monitor) + "\""}) {}

OneServerStage::OneServerStage(int targets)
    : AggregatorStage(
          targets,
          {.readers = nats.url(), .workers = {nats.url(), nats.url(), nats.url()}, .aggregators = {}}) {}

std::vector<std::size_t> OneServerStage::subscribers_by_partition() const {
    const HttpAnswer answer = http_get("http://127.0.0.1:" + std::to_string(monitor) + "/connz?subs=1");
    const auto connections = nlohmann::json::parse(answer.body, nullptr, false);
    std::vector<std::size_t> counts(contract::kPartitions, 0);
    if (!connections.is_object()) return counts;
    std::map<std::string, std::size_t> by_subject;
    for (const auto& connection : connections.at("connections")) {
        if (!connection.contains("subscriptions_list")) continue;
        for (const auto& subject : connection["subscriptions_list"]) ++by_subject[subject.get<std::string>()];
    }
    for (unsigned partition = 0; partition < contract::kPartitions; ++partition)
        counts[partition] = by_subject[contract::partition_pings(partition)];
    return counts;
}

}  // namespace pgpulse::support
