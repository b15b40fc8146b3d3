#include "aggregator/history_copier.hpp"

#include "common/contract/names.hpp"
#include "common/nats/stream_reader.hpp"
#include "common/runtime/clock.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace pgpulse::aggregator {
namespace {

using nats::look_at_stream;
using nats::StreamFacts;
using nats::StreamReader;
using runtime::mono_now;
using std::chrono::milliseconds;

constexpr milliseconds kIdle{100};
constexpr milliseconds kFirstRetry{250};
constexpr milliseconds kFirstPatience{4000};
constexpr int kMostDoublings = 4;
constexpr milliseconds kLookInterval{1000};
constexpr milliseconds kLineInterval{10'000};
/// An outcome comes within the time that an acknowledgement may take, or it never does.
constexpr milliseconds kSettle{4000};
constexpr milliseconds kFewOutcomes{5};
constexpr milliseconds kManyOutcomes{50};

const std::string kBucketStream = "KV_" + std::string{contract::kStateBucket};
const std::string kBucketPrefix = "$KV." + std::string{contract::kStateBucket} + ".";

contract::WallTime wall_time(std::int64_t us) { return contract::WallTime{std::chrono::microseconds{us}}; }

std::string length_of(std::chrono::nanoseconds age) {
    if (age.count() == 0) return "ever";
    if (age % kDay == age.zero()) return fmt::format("{} days", age / kDay);
    return fmt::format("{} s", std::chrono::duration_cast<std::chrono::seconds>(age).count());
}

}  // namespace

/// From the end of the history on, as long as all goes well.
class HistoryCopier::Session {
  public:
    Session(HistoryCopier& copier, const StreamFacts& history) : copier_(copier), history_(history) {}

    /// False where it could not begin.
    bool open();
    void follow();

  private:
    HistoryCopier& copier_;
    StreamFacts history_;
    StreamFacts bucket_;
    std::unique_ptr<StreamReader> reader_;

    bool read_history();
    /// Of a stream of millions of messages the server needs seconds.
    [[nodiscard]] milliseconds patience() const { return kFirstPatience * (1 << copier_.troubles_); }
    void take();
    [[nodiscard]] bool all_is_as_it_was();
    void show_behind() const;
};

HistoryCopier::HistoryCopier(nats::Connection& connection, std::string id, const HistoryConfig& config,
                             Metrics& metrics, Writing writing)
    : connection_(connection),
      id_(std::move(id)),
      config_(config),
      metrics_(metrics),
      writing_(std::move(writing)),
      faults_(kLineInterval),
      thread_([this] { run(); }) {}

HistoryCopier::~HistoryCopier() {
    stop();
    thread_.join();
}

void HistoryCopier::serving(const std::vector<std::string>& aggregators) {
    chosen_.store(copies_history(id_, aggregators));
}

void HistoryCopier::stop() {
    {
        const std::lock_guard lock{mutex_};
        stop_.store(true);
    }
    wake_.notify_one();
}

bool HistoryCopier::goes_on() const { return !stop_.load() && chosen_.load() && connection_.connected(); }

void HistoryCopier::pause(milliseconds time) {
    std::unique_lock lock{mutex_};
    wake_.wait_for(lock, time, [this] { return stop_.load(); });
}

void HistoryCopier::fault(const std::string& text) {
    // While the connection is lost requests fail by nature: the connection's own line says so.
    if (!connection_.connected()) return;
    if (const auto kept_back = faults_.allow(mono_now())) {
        spdlog::warn("history: {}: trying again, from where the history ends{}", text,
                     runtime::kept_back_words(*kept_back));
    }
}

void HistoryCopier::run() {
    // What is needed to serve comes first.
    while (!stop_.load() && !writing_()) pause(kIdle);
    bool told = false;
    while (!stop_.load()) {
        const bool chosen = chosen_.load();
        if (chosen != told) {
            spdlog::info("{} transitions into stream '{}'",
                         chosen ? "copies" : "leaves it to another aggregator to copy",
                         contract::kHistoryStream);
        }
        told = chosen;
        if (!chosen) {
            metrics_.history_behind(0);
            // What was sent before another took over is stored all the same, and counts.
            if (copy_.in_flight() > 0 && connection_.connected()) take_outcomes(kIdle);
        }
        if (!chosen || !connection_.connected()) {
            pause(kIdle);
            continue;
        }
        troubles_ = copy() ? 0 : std::min(troubles_ + 1, kMostDoublings);
        if (goes_on()) pause(kFirstRetry * (1 << troubles_));
    }
}

bool HistoryCopier::copy() {
    if (!settled()) {
        if (!goes_on()) return false;
        stream_.reset();
    }
    if (!stream_) {
        auto opened = HistoryStream::open(
            connection_, [this](HistoryOutcome outcome) { outcomes_.post(std::move(outcome)); });
        if (!opened) {
            fault(opened.error().text);
            return false;
        }
        stream_ = std::move(*opened);
        outcomes_.take_until(batch_, mono_now());
    }
    const auto history = stream_->ensure(config_);
    if (!history) {
        fault(history.error().text);
        return false;
    }
    tell_of_max_age(*history);
    tell_of_replicas(*history);
    copied_ = false;
    Session session{*this, *history};
    if (session.open()) session.follow();
    return copied_;
}

/// Waits for the outcomes of an earlier session; false where they do not come.
bool HistoryCopier::settled() {
    const auto deadline = mono_now() + kSettle;
    while (copy_.in_flight() > 0 && goes_on()) {
        if (mono_now() >= deadline) return false;
        take_outcomes(kManyOutcomes);
    }
    return copy_.in_flight() == 0;
}

void HistoryCopier::take_outcomes(milliseconds patience) {
    outcomes_.take_until(batch_, mono_now() + patience);
    for (const HistoryOutcome& outcome : batch_) {
        if (!outcome.stored) {
            if (!copy_.broken()) fault(outcome.text);
            copy_.failed();
            continue;
        }
        const bool was_broken = copy_.broken();
        copy_.stored(outcome.expected_last, outcome.sequence);
        if (copy_.broken() && !was_broken)
            fault(fmt::format("what was to stand at {} stands at {}", outcome.expected_last + 1,
                              outcome.sequence));
        if (!outcome.duplicate) metrics_.history_copied();
        copied_ = true;
    }
}

void HistoryCopier::tell_of_max_age(const StreamFacts& history) {
    const std::chrono::nanoseconds wanted = kDay * config_.days;
    if (history.max_age == wanted || history.max_age == max_age_told_) return;
    max_age_told_ = history.max_age;
    spdlog::warn(
        "stream '{0}' keeps transitions for {1}, not for the {2} days of --history-days: "
        "'nats stream edit {0} --max-age {2}d' changes it",
        contract::kHistoryStream, length_of(history.max_age), config_.days);
}

void HistoryCopier::tell_of_replicas(const StreamFacts& history) {
    if (history.replicas < config_.replicas && history.replicas != replicas_told_) {
        spdlog::warn(
            "stream '{0}' has {1} of the {2} replicas that --replicas asks for: `nats stream edit {0} "
            "--replicas {2}` changes that",
            contract::kHistoryStream, history.replicas, config_.replicas);
    }
    replicas_told_ = history.replicas;
}

bool HistoryCopier::Session::open() {
    HistoryCopy& copy = copier_.copy_;
    copy.history_opened(history_.last, history_.replicas > 1);
    if (history_.messages > 0 && !read_history()) return false;
    const auto bucket = look_at_stream(copier_.connection_, kBucketStream);
    if (!bucket) {
        // Whoever makes the bucket usually does so within a moment.
        if (bucket.error().status != NATS_NOT_FOUND) copier_.fault(bucket.error().text);
        return false;
    }
    bucket_ = *bucket;
    const StreamReader::Start start{.sequence = copy.bucket_opened(bucket_.created, bucket_.last),
                                    .patience = patience()};
    auto opened =
        StreamReader::open(copier_.connection_, kBucketStream, start, [this] { return copier_.goes_on(); });
    if (!opened) {
        if (copier_.goes_on()) copier_.fault(opened.error().text);
        return false;
    }
    reader_ = std::move(*opened);
    // Another stream of the same name would have other revisions: the reader is one of the stream that was looked at.
    const auto again = look_at_stream(copier_.connection_, kBucketStream);
    if (!again || again->created != bucket_.created) return false;
    spdlog::debug("copying into stream '{}' from revision {} of bucket '{}' on", contract::kHistoryStream,
                  start.sequence, contract::kStateBucket);
    return true;
}

/// The last message of each target.
bool HistoryCopier::Session::read_history() {
    const StreamReader::Start start{
        .last_of_subjects = std::string{contract::kAllHistory}, .headers_only = true, .patience = patience()};
    const auto reader = StreamReader::open(copier_.connection_, std::string{contract::kHistoryStream}, start,
                                           [this] { return copier_.goes_on(); });
    if (!reader) {
        if (copier_.goes_on()) copier_.fault(reader.error().text);
        return false;
    }
    while (copier_.goes_on()) {
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
        const auto target = contract::parse_history_subject((*reader)->subject());
        const auto mark = contract::mark_of([&](const char* name) { return (*reader)->header(name); });
        if (target) copier_.copy_.history_entry(std::string{*target}, (*reader)->sequence(), mark);
        if ((*reader)->sequence() >= history_.last) return true;
    }
    return false;
}

void HistoryCopier::Session::follow() {
    const HistoryCopy& copy = copier_.copy_;
    auto next_look = mono_now() + kLookInterval;
    while (copier_.goes_on() && !copy.broken()) {
        const bool rests = copier_.pace_.rests(mono_now(), copier_.writing_().value_or(0));
        copier_.take_outcomes(rests || copy.full() ? kManyOutcomes : milliseconds{0});
        if (!rests && !copy.full() && !copy.broken()) {
            const auto got = reader_->next(copy.in_flight() > 0 ? kFewOutcomes : kIdle);
            if (got == StreamReader::Got::lost) return;
            if (got == StreamReader::Got::message) take();
            if (got == StreamReader::Got::nothing && copy.in_flight() == 0) copier_.pace_.caught_up();
        }
        if (mono_now() >= next_look) {
            if (!all_is_as_it_was()) return;
            next_look = mono_now() + kLookInterval;
        }
        show_behind();
    }
}

void HistoryCopier::Session::take() {
    const std::string_view subject = reader_->subject();
    if (!subject.starts_with(kBucketPrefix)) return;
    BucketRevision revision;
    revision.target = subject.substr(kBucketPrefix.size());
    revision.revision = reader_->sequence();
    revision.stored_at = wall_time(reader_->stored_at_us());
    revision.operation = reader_->header("KV-Operation");
    revision.compare_and_set = !reader_->header("Nats-Expected-Last-Subject-Sequence").empty();
    revision.value = reader_->payload();
    const auto message = copier_.copy_.revision(std::move(revision));
    if (!message) return;
    copier_.pace_.copied(mono_now());
    if (const auto sent = copier_.stream_->publish(*message); !sent) {
        copier_.fault(sent.error().text);
        copier_.copy_.failed();
    }
}

/// Both streams are those that were opened. No answer says nothing about a stream.
bool HistoryCopier::Session::all_is_as_it_was() {
    const auto bucket = look_at_stream(copier_.connection_, kBucketStream);
    if (bucket) {
        if (bucket->created != bucket_.created || bucket->last < copier_.copy_.read()) return false;
        bucket_ = *bucket;
    }
    if (!copier_.goes_on()) return false;
    const auto history = look_at_stream(copier_.connection_, std::string{contract::kHistoryStream});
    if (history && history->created != history_.created) return false;
    if (!history && history.error().status == NATS_NOT_FOUND) return false;
    return bucket || bucket.error().status != NATS_NOT_FOUND;
}

void HistoryCopier::Session::show_behind() const {
    // What was purged cannot be copied any more.
    const std::uint64_t read = std::max(copier_.copy_.read(), bucket_.first > 0 ? bucket_.first - 1 : 0);
    const std::uint64_t unread = bucket_.last > read ? bucket_.last - read : 0;
    copier_.metrics_.history_behind(unread + copier_.copy_.in_flight());
}

}  // namespace pgpulse::aggregator
