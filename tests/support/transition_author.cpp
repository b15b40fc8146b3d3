#include "tests/support/transition_author.hpp"

#include "common/contract/names.hpp"
#include "common/nats/bucket.hpp"
#include "common/nats/subscription.hpp"
#include "tests/support/bucket_author.hpp"
#include "tests/support/wait_until.hpp"

#include <set>
#include <stdexcept>

namespace pgpulse::support {
namespace {

constexpr int64_t kAuthorWaitMs = 5000;
constexpr int64_t kNextMessageMs = 20'000;
constexpr std::chrono::seconds kAuthorDeadline{60};

const std::string kBucket{contract::kStateBucket};
const std::string kHistory{contract::kHistoryStream};

std::string key_subject(const std::string& target) { return "$KV." + kBucket + "." + target; }

std::string header(natsMsg* message, const char* name) {
    const char* value = nullptr;
    if (natsMsgHeader_Get(message, name, &value) != NATS_OK || value == nullptr) return {};
    return value;
}

std::map<std::string, std::string> headers(natsMsg* message) {
    const char** names = nullptr;
    int count = 0;
    std::map<std::string, std::string> all;
    if (natsMsgHeader_Keys(message, &names, &count) != NATS_OK) return all;
    for (int i = 0; i < count; ++i) all[names[i]] = header(message, names[i]);
    free(static_cast<void*>(names));
    return all;
}

}  // namespace

TransitionAuthor::TransitionAuthor(const std::string& nats_url, int replicas) : replicas_(replicas) {
    nats::ConnectOptions options;
    options.url = nats_url;
    auto opened = nats::Connection::open(options);
    if (!opened) throw std::runtime_error(opened.error().text);
    connection_ = std::move(*opened);
    jsOptions js_options;
    jsOptions_Init(&js_options);
    js_options.Wait = kAuthorWaitMs;
    jsCtx* js = nullptr;
    if (natsConnection_JetStream(&js, connection_->handle(), &js_options) != NATS_OK)
        throw std::runtime_error("JetStream");
    js_.reset(js);
    make_bucket();
    auto writer = nats::BucketWriter::open(*connection_, kBucket, [this](nats::WriteOutcome outcome) {
        const std::lock_guard lock{mutex_};
        outcomes_.push_back(std::move(outcome));
        wake_.notify_one();
    });
    if (!writer) throw std::runtime_error(writer.error().text);
    writer_ = std::move(*writer);
}

void TransitionAuthor::make_bucket() {
    nats::BucketConfig config;
    config.name = kBucket;
    config.history = 64;
    config.replicas = replicas_;
    config.republish_to = "health.state";
    if (!wait_until([&] { return nats::ensure_bucket(*connection_, config).has_value(); }, kAuthorDeadline))
        throw std::runtime_error("the bucket cannot be made");
}

nats::WriteOutcome TransitionAuthor::outcome() {
    std::unique_lock lock{mutex_};
    if (!wake_.wait_for(lock, kAuthorDeadline, [this] { return !outcomes_.empty(); }))
        throw std::runtime_error("a write has no outcome");
    nats::WriteOutcome first = std::move(outcomes_.front());
    outcomes_.erase(outcomes_.begin());
    return first;
}

std::string TransitionAuthor::next_state(const std::string& target) {
    const auto last = last_.find(target);
    const std::uint64_t number = last == last_.end() ? 1 : last->second.transition + 1;
    contract::State state =
        a_state(target, number % 2 == 1 ? contract::Health::up : contract::Health::down, number);
    state.decided_at += std::chrono::seconds{++written_};
    last_[target] = state;
    return encode(state);
}

/// Until it is stored; nullopt: a delete marker.
void TransitionAuthor::write(const std::string& target, const std::optional<std::string>& value) {
    const auto stored = [&]() -> bool {
        std::uint64_t& revision = revisions_[target];
        const auto sent = value ? writer_->put(target, *value, revision) : writer_->remove(target, revision);
        if (sent) {
            const auto result = outcome();
            if (result.kind == nats::WriteOutcome::Kind::stored) {
                revision = result.revision;
                return true;
            }
        }
        // Not stored, or not known: what stands there tells.
        natsMsg* raw = nullptr;
        const natsStatus s = js_GetLastMsg(&raw, js_.get(), ("KV_" + kBucket).c_str(),
                                           key_subject(target).c_str(), nullptr, nullptr);
        if (s == NATS_NOT_FOUND) revision = 0;
        if (s != NATS_OK) return false;
        const nats::Message message{raw};
        revision = natsMsg_GetSequence(raw);
        const bool marker = !header(raw, "KV-Operation").empty();
        return value ? !marker && *value == nats::payload_of(message) : marker;
    };
    if (!wait_until(stored, kAuthorDeadline)) throw std::runtime_error("cannot write " + target);
}

void TransitionAuthor::transition(const std::string& target) {
    write(target, next_state(target));
    stories_[target].push_back(last_.at(target).transition);
}

void TransitionAuthor::transitions(const std::vector<std::string>& targets) {
    for (const std::string& target : targets) {
        if (!writer_->put(target, next_state(target), revisions_[target]))
            throw std::runtime_error("write " + target);
    }
    std::vector<std::string> unsure;
    for (std::size_t i = 0; i < targets.size(); ++i) {
        const auto result = outcome();
        if (result.kind == nats::WriteOutcome::Kind::stored) {
            revisions_[result.key] = result.revision;
            stories_[result.key].push_back(last_.at(result.key).transition);
        } else {
            unsure.push_back(result.key);
        }
    }
    // Where a server is slow to acknowledge, it is stored all the same.
    for (const std::string& target : unsure) {
        write(target, encode(last_.at(target)));
        stories_[target].push_back(last_.at(target).transition);
    }
}

void TransitionAuthor::remove(const std::string& target) {
    write(target, std::nullopt);
    last_.erase(target);
    stories_[target].push_back(0);
}

void TransitionAuthor::put_back(const std::string& target) { write(target, encode(last_.at(target))); }

void TransitionAuthor::put_by_hand(const std::string& target, const std::string& value) {
    jsPubAck* ack = nullptr;
    if (js_Publish(&ack, js_.get(), key_subject(target).c_str(), value.data(), static_cast<int>(value.size()),
                   nullptr, nullptr) != NATS_OK) {
        throw std::runtime_error("put " + target);
    }
    revisions_[target] = ack->Sequence;
    jsPubAck_Destroy(ack);
}

void TransitionAuthor::purge_by_hand(const std::string& target) {
    kvStore* raw = nullptr;
    if (js_KeyValue(&raw, js_.get(), kBucket.c_str()) != NATS_OK) throw std::runtime_error("bucket");
    const nats::KeyValueHandle bucket{raw};
    if (kvStore_Purge(raw, target.c_str(), nullptr) != NATS_OK) throw std::runtime_error("purge " + target);
    natsMsg* message = nullptr;
    if (js_GetLastMsg(&message, js_.get(), ("KV_" + kBucket).c_str(), key_subject(target).c_str(), nullptr,
                      nullptr) != NATS_OK)
        throw std::runtime_error("purge " + target);
    revisions_[target] = natsMsg_GetSequence(message);
    natsMsg_Destroy(message);
    stories_[target].push_back(0);
}

void TransitionAuthor::wipe() {
    if (js_DeleteStream(js_.get(), ("KV_" + kBucket).c_str(), nullptr, nullptr) != NATS_OK)
        throw std::runtime_error("delete the bucket");
    make_bucket();
    revisions_.clear();
    for (const auto& [target, state] : last_) put_back(target);
}

std::vector<TransitionAuthor::Told> TransitionAuthor::told() {
    std::vector<Told> all;
    const auto info = stream_info(kHistory);
    if (!info || info->State.Msgs == 0) return all;
    jsSubOptions options;
    jsSubOptions_Init(&options);
    options.Stream = kHistory.c_str();
    options.Ordered = true;
    natsSubscription* raw = nullptr;
    if (js_SubscribeSync(&raw, js_.get(), "health.history.>", nullptr, &options, nullptr) != NATS_OK)
        return all;
    // It must not go while nats.c is about to put a message into it.
    const auto end = [this](natsSubscription* subscription) {
        natsSubscription_Unsubscribe(subscription);
        natsConnection_FlushTimeout(connection_->handle(), kAuthorWaitMs);
        natsSubscription_Destroy(subscription);
    };
    const std::unique_ptr<natsSubscription, decltype(end)> subscription{raw, end};
    natsSubscription_SetPendingLimits(raw, -1, -1);
    for (;;) {
        natsMsg* message_raw = nullptr;
        if (natsSubscription_NextMsg(&message_raw, raw, kNextMessageMs) != NATS_OK) return all;
        const nats::Message message{message_raw};
        jsMsgMetaData* meta_raw = nullptr;
        if (natsMsg_GetMetaData(&meta_raw, message_raw) != NATS_OK) return all;
        const nats::MetaDataHandle meta{meta_raw};
        Told told;
        told.target =
            std::string{natsMsg_GetSubject(message_raw)}.substr(std::string{"health.history."}.size());
        told.body.assign(natsMsg_GetData(message_raw),
                         static_cast<std::size_t>(natsMsg_GetDataLength(message_raw)));
        told.headers = headers(message_raw);
        if (const auto state = contract::decode_state(told.target, told.body))
            told.transition = state->transition;
        all.push_back(std::move(told));
        // What was stored last may be purged meanwhile.
        if (meta->Sequence.Stream >= info->State.LastSeq || meta->NumPending == 0) return all;
    }
}

Stories TransitionAuthor::history() {
    Stories all;
    for (const Told& told : told()) all[told.target].push_back(told.transition);
    return all;
}

bool TransitionAuthor::history_is_complete() {
    return wait_until([&] { return history() == stories_; }, kAuthorDeadline);
}

nats::StreamInfoHandle TransitionAuthor::stream_info(const std::string& stream) {
    jsStreamInfo* raw = nullptr;
    if (js_GetStreamInfo(&raw, js_.get(), stream.c_str(), nullptr, nullptr) != NATS_OK) return nullptr;
    return nats::StreamInfoHandle{raw};
}

void TransitionAuthor::purge_stream(const std::string& stream) {
    if (js_PurgeStream(js_.get(), stream.c_str(), nullptr, nullptr) != NATS_OK)
        throw std::runtime_error("purge " + stream);
}

}  // namespace pgpulse::support
