#include "probe/targets_feed.hpp"

#include "common/contract/names.hpp"

#include <spdlog/spdlog.h>

#include <chrono>

namespace pgpulse::probe {
namespace {

constexpr std::uint8_t kHistory = 8;
constexpr std::chrono::milliseconds kRetry{500};
constexpr std::chrono::seconds kLookForBucket{2};

}  // namespace

TargetsFeed::TargetsFeed(nats::Connection& connection, std::vector<contract::TargetDefinition> file,
                         OnChanges on_changes)
    : connection_(connection), on_changes_(std::move(on_changes)), file_reported_(file.empty()) {
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
                if (auto change = take(*stored)) changes.push_back(std::move(*change));
            } else if (const auto* const outcome = std::get_if<nats::WriteOutcome>(&event)) {
                take(*outcome);
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
    nats::BucketConfig config;
    config.name = contract::kTargetsBucket;
    config.history = kHistory;
    const auto made = nats::ensure_bucket(connection_, config);
    if (!made && !told_) spdlog::warn("{}: trying again until it is there", made.error().text);
    told_ = !made;
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

void TargetsFeed::take(const nats::WriteOutcome& outcome) {
    switch (outcome.kind) {
        case nats::WriteOutcome::Kind::stored:
            set_.written(outcome.key, outcome.expected, TargetSet::Written::stored);
            return;
        case nats::WriteOutcome::Kind::lost:
            set_.written(outcome.key, outcome.expected, TargetSet::Written::overtaken);
            return;
        case nats::WriteOutcome::Kind::failed:
            spdlog::warn("targets file: {}: trying again", outcome.text);
            set_.written(outcome.key, outcome.expected, TargetSet::Written::unknown);
            next_write_ = std::chrono::steady_clock::now() + kRetry;
            return;
    }
}

}  // namespace pgpulse::probe
