#include "common/nats/stream_reader.hpp"

#include "common/nats/subscription.hpp"

#include <nlohmann/json.hpp>

#include <charconv>

namespace pgpulse::nats {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kIdleHeartbeatNs = 1'000'000'000;
/// Three heartbeats that did not come while they were waited for: the time in which this process was stopped is nobody's
/// silence, and what came meanwhile has yet to be read.
constexpr milliseconds kSilence{3500};
constexpr std::int64_t kSliceMs = 50;

Result<SubscriptionHandle> subscribe(Connection& connection, const std::string& subject) {
    natsSubscription* raw = nullptr;
    const natsStatus s = natsConnection_SubscribeSync(&raw, connection.handle(), subject.c_str());
    if (s != NATS_OK) return tl::unexpected(make_error("subscribe to " + subject, s));
    SubscriptionHandle subscription{raw};
    natsSubscription_SetPendingLimits(raw, -1, -1);
    return subscription;
}

std::string consumer_request(const std::string& stream, const StreamReader::Start& start,
                             const std::string& deliver_to) {
    nlohmann::json config{{"deliver_subject", deliver_to},
                          {"ack_policy", "none"},
                          {"max_deliver", 1},
                          {"replay_policy", "instant"},
                          {"idle_heartbeat", kIdleHeartbeatNs},
                          {"flow_control", true},
                          {"mem_storage", true},
                          {"num_replicas", 1}};
    if (start.last_of_subjects.empty()) {
        config["deliver_policy"] = "by_start_sequence";
        config["opt_start_seq"] = start.sequence;
        if (!start.subjects.empty()) config["filter_subject"] = start.subjects;
    } else {
        config["deliver_policy"] = "last_per_subject";
        config["filter_subject"] = start.last_of_subjects;
    }
    if (start.headers_only) config["headers_only"] = true;
    return nlohmann::json{{"stream_name", stream}, {"config", std::move(config)}}.dump();
}

Error refused(const std::string& stream, const std::string& why, natsStatus status = NATS_ERR) {
    return {status, static_cast<jsErrCode>(0), "read stream '" + stream + "': " + why};
}

}  // namespace

Result<std::unique_ptr<StreamReader>> StreamReader::open(Connection& connection, const std::string& stream,
                                                         const Start& start,
                                                         const std::function<bool()>& go_on) {
    const std::string answer_to = connection.new_inbox();
    const std::string deliver_to = connection.new_inbox();
    std::unique_ptr<StreamReader> self{new StreamReader{connection}};
    auto answers = subscribe(connection, answer_to);
    if (!answers) return tl::unexpected(answers.error());
    self->answers_ = std::move(*answers);
    auto delivered = subscribe(connection, deliver_to);
    if (!delivered) return tl::unexpected(delivered.error());
    self->delivered_ = std::move(*delivered);

    const std::string domain = start.domain.empty() ? "" : start.domain + '.';
    const std::string subject = "$JS." + domain + "API.CONSUMER.CREATE." + stream;
    const std::string request = consumer_request(stream, start, deliver_to);
    const natsStatus s =
        natsConnection_PublishRequest(connection.handle(), subject.c_str(), answer_to.c_str(), request.data(),
                                      static_cast<int>(request.size()));
    if (s != NATS_OK) return tl::unexpected(make_error("read stream '" + stream + "'", s));
    const auto message = self->answer(stream, start.patience, go_on);
    if (!message) return tl::unexpected(message.error());
    const auto document = nlohmann::json::parse(payload_of(*message), nullptr, false);
    if (!document.is_object()) return tl::unexpected(refused(stream, "the answer is not understood"));
    if (const auto error = document.find("error"); error != document.end())
        return tl::unexpected(refused(stream, error->value("description", error->dump())));
    return self;
}

StreamReader::~StreamReader() {
    // The server removes the consumer once nobody has listened to it for a moment.
    for (SubscriptionHandle* subscription : {&answers_, &delivered_}) {
        if (*subscription) connection_.retired()->add(connection_.handle(), std::move(*subscription));
    }
}

/// The server's answer to the request that was sent; seconds where it has much to look through.
Result<Message> StreamReader::answer(const std::string& stream, milliseconds patience,
                                     const std::function<bool()>& go_on) {
    const auto deadline = Clock::now() + patience;
    for (;;) {
        natsMsg* raw = nullptr;
        const natsStatus s = natsSubscription_NextMsg(&raw, answers_.get(), kSliceMs);
        if (s == NATS_OK) return Message{raw};
        if (s != NATS_TIMEOUT) return tl::unexpected(make_error("read stream '" + stream + "'", s));
        if (!go_on()) return tl::unexpected(refused(stream, "given up"));
        if (Clock::now() >= deadline) return tl::unexpected(refused(stream, "no answer", NATS_TIMEOUT));
    }
}

StreamReader::Got StreamReader::next(milliseconds timeout) {
    natsMsg* raw = nullptr;
    const natsStatus s = natsSubscription_NextMsg(&raw, delivered_.get(), timeout.count());
    if (s == NATS_TIMEOUT) {
        waited_ += timeout;
        return waited_ > kSilence ? Got::lost : Got::nothing;
    }
    if (s != NATS_OK) return Got::lost;
    message_.reset(raw);
    waited_ = milliseconds{0};
    const char* reply = natsMsg_GetReply(raw);
    if (reply == nullptr || !std::string_view{reply}.starts_with("$JS.ACK.")) return told_by_the_server();
    jsMsgMetaData* meta_raw = nullptr;
    if (natsMsg_GetMetaData(&meta_raw, raw) != NATS_OK) return Got::lost;
    const MetaDataHandle meta{meta_raw};
    if (meta->Sequence.Consumer != read_ + 1) return Got::lost;
    ++read_;
    sequence_ = meta->Sequence.Stream;
    stored_at_ns_ = meta->Timestamp;
    pending_ = meta->NumPending;
    return Got::message;
}

StreamReader::Got StreamReader::told_by_the_server() {
    // A request for a sign that what came before it was read: the server sends no more until then.
    const char* reply = natsMsg_GetReply(message_.get());
    const std::string sign_to{reply != nullptr ? std::string_view{reply} : header("Nats-Consumer-Stalled")};
    if (!sign_to.empty()) return connection_.publish(sign_to, {}) ? Got::nothing : Got::lost;

    const std::string_view last = header("Nats-Last-Consumer");
    if (last.empty()) return Got::nothing;
    std::uint64_t delivered = 0;
    std::from_chars(last.data(), last.data() + last.size(), delivered);
    return delivered == read_ ? Got::everything : Got::lost;
}

std::string_view StreamReader::subject() const { return subject_of(message_); }

std::string_view StreamReader::payload() const { return payload_of(message_); }

std::string_view StreamReader::header(const char* name) const {
    const char* value = nullptr;
    if (natsMsgHeader_Get(message_.get(), name, &value) != NATS_OK || value == nullptr) return {};
    return value;
}

}  // namespace pgpulse::nats
