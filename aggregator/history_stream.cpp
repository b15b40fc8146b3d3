#include "aggregator/history_stream.hpp"

#include "common/contract/names.hpp"

#include <spdlog/spdlog.h>

#include <mutex>
#include <vector>

namespace pgpulse::aggregator {
namespace {

using nats::make_error;

constexpr std::int64_t kRequestTimeoutMs = 1000;
constexpr std::int64_t kAckTimeoutMs = 2000;
/// Two copiers within this time are known apart by the message id, at other times by the place of the message. So it
/// may be short, and has to be: an id that the server still knows of a message that was purged keeps its copy out.
constexpr std::chrono::nanoseconds kDuplicates = std::chrono::seconds{10};

std::uint64_t expected_last_of(natsMsg* message) {
    const char* text = nullptr;
    if (natsMsgHeader_Get(message, "Nats-Expected-Last-Sequence", &text) != NATS_OK || text == nullptr)
        return 0;
    return std::stoull(text);
}

}  // namespace

/// Where acknowledgements go. nats.c may still call it after the stream's owner is gone, so it is never freed before
/// the process ends.
struct HistoryStream::Sink {
    std::mutex mutex;
    OnOutcome on_outcome;

    static std::shared_ptr<Sink> make(OnOutcome on_outcome) {
        static std::mutex all_mutex;
        static std::vector<std::shared_ptr<Sink>> all;
        auto sink = std::make_shared<Sink>();
        sink->on_outcome = std::move(on_outcome);
        const std::lock_guard lock{all_mutex};
        all.push_back(sink);
        return sink;
    }
};

nats::Result<std::unique_ptr<HistoryStream>> HistoryStream::open(nats::Connection& connection,
                                                                 OnOutcome on_outcome) {
    std::unique_ptr<HistoryStream> self{new HistoryStream{connection}};
    self->sink_ = Sink::make(std::move(on_outcome));
    jsOptions options;
    jsOptions_Init(&options);
    options.Wait = kRequestTimeoutMs;
    options.PublishAsync.AckHandler = &HistoryStream::on_ack;
    options.PublishAsync.AckHandlerClosure = self->sink_.get();
    jsCtx* raw = nullptr;
    const natsStatus s = natsConnection_JetStream(&raw, connection.handle(), &options);
    if (s != NATS_OK) return tl::unexpected(make_error("JetStream", s));
    self->js_.reset(raw);
    return self;
}

HistoryStream::~HistoryStream() {
    const std::lock_guard lock{sink_->mutex};
    sink_->on_outcome = nullptr;
}

nats::Result<nats::StreamFacts> HistoryStream::ensure(const HistoryConfig& config) {
    const std::string name{contract::kHistoryStream};
    auto facts = nats::look_at_stream(connection_, name);
    if (facts || facts.error().status != NATS_NOT_FOUND) return facts;

    const std::string subject{contract::kAllHistory};
    const char* subjects[] = {subject.c_str()};
    jsStreamConfig stream;
    jsStreamConfig_Init(&stream);
    stream.Name = name.c_str();
    stream.Description = "Every transition of bucket 'health', copied by pgpulse-aggregator";
    stream.Subjects = subjects;
    stream.SubjectsLen = 1;
    stream.Storage = js_FileStorage;
    stream.Replicas = config.replicas;
    stream.MaxAge = std::chrono::nanoseconds{kDay * config.days}.count();
    stream.Duplicates = kDuplicates.count();
    jsStreamInfo* raw = nullptr;
    jsErrCode code = static_cast<jsErrCode>(0);
    const natsStatus s = js_AddStream(&raw, js_.get(), &stream, nullptr, &code);
    if (s != NATS_OK) return tl::unexpected(make_error("create stream '" + name + "'", s, code));
    const nats::StreamInfoHandle info{raw};
    spdlog::info("created stream '{}', which keeps transitions for {} days", name, config.days);
    return nats::look_at_stream(connection_, name);
}

nats::Result<void> HistoryStream::publish(const HistoryMessage& message) {
    const std::string subject = contract::history_subject(message.target);
    natsMsg* raw = nullptr;
    natsStatus s = natsMsg_Create(&raw, subject.c_str(), nullptr, message.value.data(),
                                  static_cast<int>(message.value.size()));
    if (s != NATS_OK) return tl::unexpected(make_error("publish on " + subject, s));
    nats::Message owner{raw};
    for (const auto& [name, value] : headers_of(message)) {
        if (s == NATS_OK) s = natsMsgHeader_Set(raw, name.c_str(), value.c_str());
    }
    jsPubOptions options;
    jsPubOptions_Init(&options);
    options.MaxWait = kAckTimeoutMs;
    if (s == NATS_OK) {
        raw = owner.release();
        s = js_PublishMsgAsync(js_.get(), &raw, &options);
        owner.reset(raw);
    }
    if (s != NATS_OK) return tl::unexpected(make_error("publish on " + subject, s));
    return {};
}

void HistoryStream::on_ack(jsCtx*, natsMsg* raw, jsPubAck* ack, jsPubAckErr* error, void* closure) {
    const nats::Message message{raw};
    auto* sink = static_cast<Sink*>(closure);
    HistoryOutcome outcome;
    outcome.expected_last = expected_last_of(raw);
    if (ack != nullptr) {
        outcome.stored = true;
        outcome.duplicate = ack->Duplicate;
        outcome.sequence = ack->Sequence;
    } else {
        outcome.text = error != nullptr && error->ErrText != nullptr ? error->ErrText : "no acknowledgement";
    }
    const std::lock_guard lock{sink->mutex};
    if (sink->on_outcome) sink->on_outcome(std::move(outcome));
}

}  // namespace pgpulse::aggregator
