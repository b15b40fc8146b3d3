#include "probe/targets_feed.hpp"

#include "common/contract/names.hpp"

#include <spdlog/spdlog.h>

#include <chrono>

namespace pgpulse::probe {
namespace {

constexpr std::uint8_t kHistory = 8;
constexpr std::chrono::milliseconds kRetry{500};
constexpr std::chrono::seconds kLookForBucket{2};

nats::BucketConfig targets_bucket(int replicas) {
    nats::BucketConfig config;
    config.name = contract::kTargetsBucket;
    config.history = kHistory;
    config.replicas = replicas;
    return config;
}

}  // namespace

TargetsFeed::TargetsFeed(nats::Connection& connection, std::string worker,
                         std::vector<contract::TargetDefinition> file, OnChanges on_changes, int replicas)
    : connection_(connection),
      bucket_(connection, targets_bucket(replicas)),
      on_changes_(std::move(on_changes)),
      assignment_(std::move(worker)),
      file_reported_(file.empty()) {
    set_.set_file(std::move(file));
    thread_ = std::thread{[this] { run(); }};
    watch_ = std::make_unique<nats::BucketWatch>(
        connection_, std::string{contract::kTargetsBucket},
        [this](nats::BucketEvent event) { mailbox_.post(std::move(event)); });
}

TargetsFeed::~TargetsFeed() {
    mailbox_.post(Stop{});
    thread_.join();
    watch_.reset();
}

void TargetsFeed::members(std::vector<std::string> probes) { mailbox_.post(Members{std::move(probes)}); }

void TargetsFeed::reload(std::vector<contract::TargetDefinition> file) {
    mailbox_.post(Reload{std::move(file)});
}

void TargetsFeed::run() {
    std::vector<Event> batch;
    for (;;) {
        mailbox_.take_until(batch, std::chrono::steady_clock::now() + kRetry);
        std::vector<TargetChange> changes;
        for (Event& event : batch) {
            if (std::holds_alternative<Stop>(event)) return;
            if (auto* const stored = std::get_if<nats::BucketEvent>(&event)) {
                auto change = take(*stored);
                if (change) change = as_assigned(std::move(*change));
                if (change) changes.push_back(std::move(*change));
            } else if (const auto* const outcome = std::get_if<nats::WriteOutcome>(&event)) {
                take(*outcome);
            } else if (auto* const members = std::get_if<Members>(&event)) {
                take(*members, changes);
            } else {
                set_.set_file(std::move(std::get<Reload>(event).file));
                file_reported_ = false;
            }
        }
        if (!changes.empty()) on_changes_(std::move(changes));
        if (set_.known() && !known_.exchange(true)) spdlog::info("the bucket of targets is read");
        if (connection_.connected()) {
            make_bucket();
            write();
        }
        if (!file_reported_ && set_.file_done()) {
            const TargetSet::FileTally& tally = set_.tally();
            spdlog::info(
                "targets file: {} created, {} updated, {} unchanged, {} left as an operator has them",
                tally.created, tally.updated, tally.unchanged, tally.left_to_operator);
            file_reported_ = true;
        }
    }
}

void TargetsFeed::make_bucket() {
    const auto now = std::chrono::steady_clock::now();
    if (now < next_look_) return;
    next_look_ = now + kLookForBucket;
    bucket_.make();
}

void TargetsFeed::write() {
    if (std::chrono::steady_clock::now() < next_write_) return;
    if (!writer_) {
        auto writer = nats::BucketWriter::open(
            connection_, std::string{contract::kTargetsBucket},
            [this](nats::WriteOutcome outcome) { mailbox_.post(std::move(outcome)); });
        if (!writer) {
            spdlog::warn("{}", writer.error().text);
            next_write_ = std::chrono::steady_clock::now() + kRetry;
            return;
        }
        writer_ = std::move(*writer);
    }
    for (const TargetSet::Write& write : set_.take_writes()) {
        const auto sent = writer_->put(write.key, write.value, write.expected);
        if (sent) continue;
        set_.written(write.key, write.expected, TargetSet::Written::unknown);
        next_write_ = std::chrono::steady_clock::now() + kRetry;
    }
}

std::optional<TargetChange> TargetsFeed::take(nats::BucketEvent& event) {
    switch (event.kind) {
        case nats::BucketEvent::Kind::opened:
            set_.opened();
            return std::nullopt;
        case nats::BucketEvent::Kind::loaded:
            set_.loaded();
            return std::nullopt;
        case nats::BucketEvent::Kind::value:
            return set_.value(event.key, event.value, event.revision);
        case nats::BucketEvent::Kind::removed:
            return set_.removed(event.key, event.revision);
    }
    return std::nullopt;
}

/// The change as far as it concerns this worker.
std::optional<TargetChange> TargetsFeed::as_assigned(TargetChange change) {
    Assignment::Effect effect = Assignment::Effect::none;
    std::string name;
    if (const auto* const put = std::get_if<TargetPut>(&change)) {
        name = put->definition.name;
        effect = assignment_.define(name, put->definition.observers);
    } else if (const auto* const removed = std::get_if<TargetRemoved>(&change)) {
        name = removed->name;
        effect = assignment_.remove(name);
    } else {
        return change;
    }
    switch (effect) {
        case Assignment::Effect::none:
            return std::nullopt;
        case Assignment::Effect::gained:
        case Assignment::Effect::kept:
            return change;
        case Assignment::Effect::lost:
            return TargetRemoved{std::move(name)};
    }
    return std::nullopt;
}

void TargetsFeed::take(Members& members, std::vector<TargetChange>& changes) {
    const std::size_t probes = members.probes.size();
    const Assignment::Moves moves = assignment_.members(std::move(members.probes));
    spdlog::info("probes that serve: {}; targets gained: {}, handed over: {}", probes, moves.gained.size(),
                 moves.lost.size());
    changes.reserve(changes.size() + moves.gained.size() + moves.lost.size());
    for (const std::string& name : moves.lost) changes.emplace_back(TargetRemoved{name});
    for (const std::string& name : moves.gained) {
        if (const auto* const definition = set_.definition(name))
            changes.emplace_back(TargetPut{*definition});
    }
}

void TargetsFeed::take(const nats::WriteOutcome& outcome) {
    switch (outcome.kind) {
        case nats::WriteOutcome::Kind::stored:
            set_.written(outcome.key, outcome.expected, TargetSet::Written::stored);
            return;
        case nats::WriteOutcome::Kind::lost:
            set_.written(outcome.key, outcome.expected, TargetSet::Written::overtaken);
            return;
        case nats::WriteOutcome::Kind::failed:
            // Each key fails by itself, and most often all for one reason.
            if (const auto kept_back = failed_lines_.allow(std::chrono::steady_clock::now()))
                spdlog::warn("targets file: {}: trying again ({} lines like this kept back)", outcome.text,
                             *kept_back);
            set_.written(outcome.key, outcome.expected, TargetSet::Written::unknown);
            next_write_ = std::chrono::steady_clock::now() + kRetry;
            return;
    }
}

}  // namespace pgpulse::probe
