#include "common/nats/bucket_writer.hpp"

#include "common/nats/message_id.hpp"

#include <mutex>
#include <vector>

namespace pgpulse::nats {
namespace {

constexpr int64_t kAckTimeoutMs = 2000;
constexpr int64_t kMaxInFlight = 65536;
constexpr int kWrongLastSequence = 10071;
constexpr int kWrongLastSequenceConstant = 10164;  // newer servers

}  // namespace

/// Where acknowledgements go. nats.c may still call it after the writer is gone, so it is never freed before
/// the process ends.
struct BucketWriter::Sink {
    std::mutex mutex;
    OnOutcome on_outcome;
    std::string prefix;

    static std::shared_ptr<Sink> make(OnOutcome on_outcome, std::string prefix) {
        static std::mutex all_mutex;
        static std::vector<std::shared_ptr<Sink>> all;
        auto sink = std::make_shared<Sink>();
        sink->on_outcome = std::move(on_outcome);
        sink->prefix = std::move(prefix);
        const std::lock_guard lock{all_mutex};
        all.push_back(sink);
        return sink;
    }
};

Result<std::unique_ptr<BucketWriter>> BucketWriter::open(Connection& connection, const std::string& bucket,
                                                         OnOutcome on_outcome) {
    std::unique_ptr<BucketWriter> self{new BucketWriter};
    self->sink_ = Sink::make(std::move(on_outcome), "$KV." + bucket + ".");
    jsOptions options;
    jsOptions_Init(&options);
    options.Wait = kAckTimeoutMs;
    options.PublishAsync.MaxPending = kMaxInFlight;
    options.PublishAsync.AckHandler = &BucketWriter::on_ack;
    options.PublishAsync.AckHandlerClosure = self->sink_.get();
    jsCtx* raw = nullptr;
    const natsStatus s = natsConnection_JetStream(&raw, connection.handle(), &options);
    if (s != NATS_OK) return tl::unexpected(make_error("JetStream", s));
    self->js_.reset(raw);
    return self;
}

BucketWriter::~BucketWriter() {
    const std::lock_guard lock{sink_->mutex};
    sink_->on_outcome = nullptr;
}

Result<void> BucketWriter::put(const std::string& key, std::string_view value, std::uint64_t expected) {
    return publish(key, value, expected, false);
}

Result<void> BucketWriter::remove(const std::string& key, std::uint64_t expected) {
    return publish(key, {}, expected, true);
}

bool BucketWriter::drain(std::chrono::milliseconds timeout) {
    jsPubOptions options;
    jsPubOptions_Init(&options);
    options.MaxWait = timeout.count();
    return js_PublishAsyncComplete(js_.get(), &options) == NATS_OK;
}

Result<void> BucketWriter::publish(const std::string& key, std::string_view value, std::uint64_t expected,
                                   bool remove) {
    const std::string subject = sink_->prefix + key;
    natsMsg* raw = nullptr;
    natsStatus s =
        natsMsg_Create(&raw, subject.c_str(), nullptr, value.data(), static_cast<int>(value.size()));
    if (s != NATS_OK) return tl::unexpected(make_error("write " + subject, s));
    Message message{raw};
    if (remove) s = natsMsgHeader_Set(raw, "KV-Operation", "DEL");
    jsPubOptions options;
    jsPubOptions_Init(&options);
    options.MaxWait = kAckTimeoutMs;
    const std::string id = message_id(key, expected);
    if (expected == 0) {
        options.ExpectNoMessage = true;
    } else {
        options.ExpectLastSubjectSeq = expected;
        options.MsgId = id.c_str();
    }
    if (s == NATS_OK) {
        raw = message.release();
        s = js_PublishMsgAsync(js_.get(), &raw, &options);
        message.reset(raw);
    }
    if (s != NATS_OK) return tl::unexpected(make_error("write " + subject, s));
    return {};
}

void BucketWriter::on_ack(jsCtx*, natsMsg* raw, jsPubAck* ack, jsPubAckErr* error, void* closure) {
    const Message message{raw};
    auto* sink = static_cast<Sink*>(closure);
    WriteOutcome outcome;
    outcome.key = std::string{natsMsg_GetSubject(raw)}.substr(sink->prefix.size());
    const char* expected = nullptr;
    if (natsMsgHeader_Get(raw, kExpectedHeader, &expected) == NATS_OK && expected != nullptr) {
        outcome.expected = std::stoull(expected);
    }
    if (ack != nullptr) {
        outcome.kind = ack->Duplicate ? WriteOutcome::Kind::lost : WriteOutcome::Kind::stored;
        outcome.revision = ack->Sequence;
    } else if (error != nullptr &&
               (error->ErrCode == kWrongLastSequence || error->ErrCode == kWrongLastSequenceConstant)) {
        outcome.kind = WriteOutcome::Kind::lost;
    } else {
        outcome.kind = WriteOutcome::Kind::failed;
        outcome.text = "write " + outcome.key + ": ";
        outcome.text += error != nullptr && error->ErrText != nullptr ? error->ErrText : "no acknowledgement";
    }
    const std::lock_guard lock{sink->mutex};
    if (sink->on_outcome) sink->on_outcome(std::move(outcome));
}

}  // namespace pgpulse::nats
