#include "ctl/replicator.hpp"

#include "common/contract/history_mark.hpp"
#include "common/contract/names.hpp"
#include "common/runtime/clock.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <thread>

namespace pgpulse::ctl {
namespace {

using nats::look_at_stream;
using nats::StreamReader;
using runtime::mono_now;
using std::chrono::milliseconds;

constexpr milliseconds kIdle{100};
constexpr milliseconds kRetry{500};
constexpr milliseconds kPatience{8000};
constexpr milliseconds kLookInterval{1000};
constexpr milliseconds kLineInterval{10'000};
/// An outcome comes within the time that an acknowledgement may take, or it never does.
constexpr milliseconds kSettle{4000};
constexpr milliseconds kFewOutcomes{5};
constexpr milliseconds kManyOutcomes{50};

const std::string kBucket{contract::kStateBucket};
const std::string kStream = "KV_" + kBucket;
const std::string kPrefix = "$KV." + kBucket + ".";
const std::string kAllKeys = kPrefix + ">";

nats::BucketConfig bucket_of_states() {
    nats::BucketConfig config;
    config.name = kBucket;
    config.history = 64;
    config.republish_to = "health.state";
    return config;
}

std::optional<ReplicaMark> mark_of(const StreamReader& reader) {
    const auto epoch = contract::parse_rfc3339(reader.header(contract::kHistoryEpoch));
    const auto stored_at = contract::parse_rfc3339(reader.header(contract::kHistoryStoredAt));
    const std::string_view text = reader.header(contract::kHistoryRevision);
    std::uint64_t revision = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), revision);
    if (!epoch || !stored_at || fault != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return ReplicaMark{*epoch, revision, *stored_at};
}

}  // namespace

Replicator::Replicator(nats::Connection& connection, std::string domain, Meters meters,
                       const std::atomic<bool>& stop)
    : connection_(connection),
      domain_(std::move(domain)),
      meters_(meters),
      bucket_(connection, bucket_of_states()),
      stop_(stop),
      faults_(kLineInterval) {}

std::string Replicator::not_ready_because() const {
    if (!connection_.connected()) return "NATS cannot be reached";
    switch (standing_.load()) {
        case Standing::never_read:
            return "domain '" + domain_ + "' has not been read yet";
        case Standing::behind:
            return "the copy is behind";
        case Standing::source_away:
            return "domain '" + domain_ + "' does not answer";
        case Standing::no_source:
            return "domain '" + domain_ + "' has no bucket '" + kBucket + "'";
        case Standing::current:
            break;
    }
    return {};
}

void Replicator::fault(const std::string& text) {
    // While the connection is lost requests fail by nature: the connection's own line says so.
    if (!connection_.connected() || stop_.load()) return;
    if (const auto kept_back = faults_.allow(mono_now()))
        spdlog::warn("{}: going on from the copy's end ({} further such lines kept back)", text, *kept_back);
}

void Replicator::stands(Standing standing) {
    standing_.store(standing);
    // A moment behind, such as after another copier came first, is not worth a line.
    if (standing == Standing::behind || told_ == standing) return;
    told_ = standing;
    if (standing == Standing::source_away)
        spdlog::warn("domain '{}' does not answer: the copy of bucket '{}' stays as it is", domain_, kBucket);
    else if (standing == Standing::no_source)
        spdlog::warn("domain '{}' has no bucket '{}': the copy stays as it is", domain_, kBucket);
    else
        spdlog::info("the copy of bucket '{}' of domain '{}' is up to date", kBucket, domain_);
}

Replicator::Standing Replicator::without_answer(const nats::Error& error) {
    return error.status == NATS_NOT_FOUND ? Standing::no_source : Standing::source_away;
}

bool Replicator::run() {
    while (!stop_.load()) {
        if (connection_.connected() && bucket_.make() && open()) follow();
        reader_.reset();
        if (own_domain_) return false;
        for (const auto end = mono_now() + kRetry; !stop_.load() && mono_now() < end;)
            std::this_thread::sleep_for(kFewOutcomes);
    }
    // What was sent is stored: what became of it is of no account any more.
    return true;
}

/// Waits for the outcomes of an earlier session; false where they do not come.
bool Replicator::settled() {
    const auto deadline = mono_now() + kSettle;
    while (copy_.in_flight() > 0 && goes_on()) {
        if (mono_now() >= deadline) return false;
        take_outcomes(kManyOutcomes);
    }
    return copy_.in_flight() == 0;
}

void Replicator::take_outcomes(milliseconds patience) {
    outcomes_.take_until(batch_, mono_now() + patience);
    for (const nats::PlacedOutcome& outcome : batch_) {
        if (!outcome.stored) {
            if (!copy_.broken()) fault("write into the copy: " + outcome.text);
            copy_.failed();
            continue;
        }
        const bool was_broken = copy_.broken();
        copy_.stored(outcome.expected_last, outcome.sequence);
        if (copy_.broken() && !was_broken)
            fault(fmt::format("write into the copy: what was to stand at {} stands at {}",
                              outcome.expected_last + 1, outcome.sequence));
        if (!outcome.duplicate) meters_.copied.Increment();
    }
}

bool Replicator::open() {
    if (!settled()) {
        if (!goes_on()) return false;
        writer_.reset();
    }
    if (!writer_) {
        auto opened = nats::PlacedWriter::open(
            connection_, [this](nats::PlacedOutcome outcome) { outcomes_.post(std::move(outcome)); });
        if (!opened) {
            fault(opened.error().text);
            return false;
        }
        writer_ = std::move(*opened);
        outcomes_.take_until(batch_, mono_now());
    }
    const auto source = look_at_stream(connection_, kStream, domain_);
    if (!source) {
        if (goes_on()) stands(without_answer(source.error()));
        return false;
    }
    const auto local = look_at_stream(connection_, kStream);
    if (!local) {
        fault(local.error().text);
        return false;
    }
    local_ = *local;
    source_ = *source;
    if (local_.created == source_.created) {
        spdlog::critical(
            "--from-domain: '{}' is the domain of the NATS server itself; expected that of another one",
            domain_);
        own_domain_ = true;
        return false;
    }
    whole_since_.reset();
    read_to_ = 0;
    copy_.copy_opened(local_.last, local_.replicas > 1);
    if (local_.messages > 0 && !read_copy()) return false;

    StreamReader::Start start{.domain = domain_, .patience = kPatience};
    if (const auto revision = copy_.source_opened(source_.created, source_.last))
        start.sequence = *revision;
    else
        start.last_of_subjects = kAllKeys;
    auto opened = StreamReader::open(connection_, kStream, start, [this] { return goes_on(); });
    if (!opened) {
        fault(opened.error().text);
        return false;
    }
    reader_ = std::move(*opened);
    // Another stream of the same name would have other revisions: the reader is one of the stream that was looked at.
    const auto again = look_at_stream(connection_, kStream, domain_);
    return again && again->created == source_.created;
}

/// The last message of each key.
bool Replicator::read_copy() {
    const StreamReader::Start start{
        .last_of_subjects = kAllKeys, .headers_only = true, .patience = kPatience};
    const auto reader = StreamReader::open(connection_, kStream, start, [this] { return goes_on(); });
    if (!reader) {
        fault(reader.error().text);
        return false;
    }
    while (goes_on()) {
        switch ((*reader)->next(kIdle)) {
            case StreamReader::Got::nothing:
                continue;
            case StreamReader::Got::everything:
                return true;
            case StreamReader::Got::lost:
                return false;
            case StreamReader::Got::message:
                break;
        }
        const std::string_view subject = (*reader)->subject();
        if (subject.starts_with(kPrefix)) {
            copy_.copy_entry(std::string{subject.substr(kPrefix.size())}, (*reader)->sequence(),
                             mark_of(**reader), !(*reader)->header("KV-Operation").empty());
        }
        if ((*reader)->sequence() >= local_.last) return true;
    }
    return false;
}

void Replicator::follow() {
    auto next_look = mono_now() + kLookInterval;
    while (goes_on() && !copy_.broken()) {
        take_outcomes(copy_.full() ? kManyOutcomes : milliseconds{0});
        if (!copy_.full() && !copy_.broken()) {
            const auto got = reader_->next(copy_.in_flight() > 0 ? kFewOutcomes : kIdle);
            if (got == StreamReader::Got::lost) return;
            if (got == StreamReader::Got::message) take();
            if (got == StreamReader::Got::everything) {
                copy_.source_read();
                read_to_ = source_.last;
            }
        }
        if (mono_now() >= next_look) {
            if (!all_is_as_it_was()) return;
            remove_vanished();
            next_look = mono_now() + kLookInterval;
        }
        tell();
    }
}

void Replicator::take() {
    const std::string_view subject = reader_->subject();
    if (!subject.starts_with(kPrefix)) return;
    SourceMessage message;
    message.key = subject.substr(kPrefix.size());
    message.revision = reader_->sequence();
    message.stored_at = contract::WallTime{std::chrono::microseconds{reader_->stored_at_us()}};
    message.operation = reader_->header("KV-Operation");
    message.value = reader_->payload();
    if (const auto to_send = copy_.message(std::move(message))) send(*to_send);
}

void Replicator::send(const ReplicaMessage& message) {
    const auto sent = writer_->publish(kPrefix + message.key, headers_of(message), message.value);
    if (sent) return;
    fault(sent.error().text);
    copy_.failed();
}

void Replicator::remove_vanished() {
    if (!copy_.whole()) return;
    if (!whole_since_) whole_since_ = mono_now();
    if (mono_now() - *whole_since_ < kPatienceWithTheAbsent) return;
    const std::vector<std::string> keys = copy_.vanished();
    if (keys.empty()) return;
    spdlog::info(
        "domain '{}' created bucket '{}' anew, without {} targets of the copy such as '{}': removes them",
        domain_, kBucket, keys.size(), keys.front());
    for (const std::string& key : keys) {
        if (copy_.full() || copy_.broken()) return;
        send(copy_.removal(key));
    }
}

/// Both streams are those that were opened, and nobody else writes into the copy.
bool Replicator::all_is_as_it_was() {
    const auto source = look_at_stream(connection_, kStream, domain_);
    if (source) {
        if (source->created != source_.created || source->last < copy_.read()) return false;
        source_ = *source;
    } else if (goes_on()) {
        stands(without_answer(source.error()));
        return false;
    }
    const auto local = look_at_stream(connection_, kStream);
    if (!local) return local.error().status != NATS_NOT_FOUND;
    return local->created == local_.created &&
           (copy_.in_flight() > 0 || local->last == copy_.expected_last());
}

void Replicator::tell() {
    // What was purged cannot be read any more.
    const std::uint64_t read = std::max(copy_.read(), read_to_);
    const std::uint64_t unread = source_.last > read ? source_.last - read : 0;
    meters_.behind.Set(static_cast<double>(unread + copy_.in_flight()));
    if (!copy_.whole())
        stands(Standing::behind);
    else if (copy_.in_flight() == 0 && !copy_.broken())
        stands(Standing::current);
}

}  // namespace pgpulse::ctl
