#include "common/nats/placed_writer.hpp"

#include <mutex>

namespace pgpulse::nats {
namespace {

constexpr std::int64_t kPlacedRequestTimeoutMs = 1000;
constexpr std::int64_t kPlacedAckTimeoutMs = 2000;

std::uint64_t expected_last_of(natsMsg* message) {
    const char* text = nullptr;
    if (natsMsgHeader_Get(message, "Nats-Expected-Last-Sequence", &text) != NATS_OK || text == nullptr)
        return 0;
    return std::stoull(text);
}

}  // namespace

/// Where acknowledgements go. nats.c may still call it after the writer is gone, so it is never freed before the process
/// ends.
struct PlacedWriter::Sink {
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

Result<std::unique_ptr<PlacedWriter>> PlacedWriter::open(Connection& connection, OnOutcome on_outcome) {
    std::unique_ptr<PlacedWriter> self{new PlacedWriter};
    self->sink_ = Sink::make(std::move(on_outcome));
    jsOptions options;
    jsOptions_Init(&options);
    options.Wait = kPlacedRequestTimeoutMs;
    options.PublishAsync.AckHandler = &PlacedWriter::on_ack;
    options.PublishAsync.AckHandlerClosure = self->sink_.get();
    jsCtx* raw = nullptr;
    const natsStatus s = natsConnection_JetStream(&raw, connection.handle(), &options);
    if (s != NATS_OK) return tl::unexpected(make_error("JetStream", s));
    self->js_.reset(raw);
    return self;
}

PlacedWriter::~PlacedWriter() {
    const std::lock_guard lock{sink_->mutex};
    sink_->on_outcome = nullptr;
}

Result<void> PlacedWriter::publish(const std::string& subject, const Headers& headers,
                                   std::string_view value) {
    natsMsg* raw = nullptr;
    natsStatus s =
        natsMsg_Create(&raw, subject.c_str(), nullptr, value.data(), static_cast<int>(value.size()));
    if (s != NATS_OK) return tl::unexpected(make_error("publish on " + subject, s));
    Message owner{raw};
    for (const auto& [name, text] : headers) {
        if (s == NATS_OK) s = natsMsgHeader_Set(raw, name.c_str(), text.c_str());
    }
    jsPubOptions options;
    jsPubOptions_Init(&options);
    options.MaxWait = kPlacedAckTimeoutMs;
    if (s == NATS_OK) {
        raw = owner.release();
        s = js_PublishMsgAsync(js_.get(), &raw, &options);
        owner.reset(raw);
    }
    if (s != NATS_OK) return tl::unexpected(make_error("publish on " + subject, s));
    return {};
}

void PlacedWriter::on_ack(jsCtx*, natsMsg* raw, jsPubAck* ack, jsPubAckErr* error, void* closure) {
    const Message message{raw};
    auto* sink = static_cast<Sink*>(closure);
    PlacedOutcome outcome;
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

}  // namespace pgpulse::nats
