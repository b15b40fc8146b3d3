#include "tests/support/bucket_author.hpp"

#include "common/contract/names.hpp"
#include "common/nats/bucket.hpp"
#include "tests/support/connect.hpp"
#include "tests/support/wait_until.hpp"

#include <stdexcept>

namespace pgpulse::support {
namespace {

constexpr int64_t kWaitMs = 5000;

void need(natsStatus status, const std::string& what) {
    if (status != NATS_OK) throw std::runtime_error(what + ": " + natsStatus_GetText(status));
}

}  // namespace

BucketAuthor::BucketAuthor(const std::string& nats_url) : BucketAuthor(connect(nats_url)) {}

BucketAuthor::BucketAuthor(std::unique_ptr<nats::Connection> connection)
    : connection_(std::move(connection)) {
    jsCtx* js = nullptr;
    jsOptions js_options;
    jsOptions_Init(&js_options);
    js_options.Wait = kWaitMs;
    need(natsConnection_JetStream(&js, connection_->handle(), &js_options), "JetStream");
    js_.reset(js);
    make(std::string{contract::kStateBucket});
    make(std::string{contract::kTargetsBucket});
}

void BucketAuthor::make(const std::string& bucket) {
    nats::BucketConfig config;
    config.name = bucket;
    const bool states = bucket == contract::kStateBucket;
    config.history = states ? 64 : 8;
    if (states) config.republish_to = "health.state";
    const bool made = wait_until([&] { return nats::ensure_bucket(*connection_, config).has_value(); });
    if (!made) throw std::runtime_error("bucket " + bucket + " cannot be made");
}

std::uint64_t BucketAuthor::publish(const std::string& bucket, const std::string& key, std::string_view value,
                                    bool remove) {
    const std::string subject = "$KV." + bucket + "." + key;
    natsMsg* raw = nullptr;
    need(natsMsg_Create(&raw, subject.c_str(), nullptr, value.data(), static_cast<int>(value.size())),
         subject);
    const nats::Message message{raw};
    if (remove) need(natsMsgHeader_Set(raw, "KV-Operation", "DEL"), subject);
    jsPubAck* ack = nullptr;
    need(js_PublishMsg(&ack, js_.get(), raw, nullptr, nullptr), "write " + subject);
    const std::uint64_t revision = ack->Sequence;
    jsPubAck_Destroy(ack);
    return revision;
}

void BucketAuthor::define(const contract::TargetDefinition& definition) {
    put(std::string{contract::kTargetsBucket}, definition.name,
        encode(contract::StoredDefinition{definition}));
}

void BucketAuthor::undefine(const std::string& target) {
    publish(std::string{contract::kTargetsBucket}, target, {}, true);
}

std::uint64_t BucketAuthor::state(const contract::State& state) {
    return put(std::string{contract::kStateBucket}, state.target, encode(state));
}

std::uint64_t BucketAuthor::remove_state(const std::string& target) {
    return publish(std::string{contract::kStateBucket}, target, {}, true);
}

std::uint64_t BucketAuthor::put(const std::string& bucket, const std::string& key, std::string_view value) {
    return publish(bucket, key, value, false);
}

void BucketAuthor::recreate(const std::string& bucket) {
    need(js_DeleteStream(js_.get(), ("KV_" + bucket).c_str(), nullptr, nullptr), "delete " + bucket);
    make(bucket);
}

contract::WallTime BucketAuthor::epoch(const std::string& bucket) {
    jsStreamInfo* info = nullptr;
    need(js_GetStreamInfo(&info, js_.get(), ("KV_" + bucket).c_str(), nullptr, nullptr), bucket);
    const nats::StreamInfoHandle owner{info};
    return contract::WallTime{std::chrono::microseconds{info->Created / 1000}};
}

contract::TargetDefinition a_definition(const std::string& target) {
    contract::TargetDefinition definition;
    definition.name = definition.service = target;
    definition.address = "127.0.0.1";
    return definition;
}

contract::State a_state(const std::string& target, contract::Health health, std::uint64_t transition) {
    using namespace std::chrono;
    const contract::WallTime at =
        sys_days{2026y / 1 / 2} + hours{14} + seconds{static_cast<std::int64_t>(transition)};
    contract::State state;
    state.target = target;
    state.state = health;
    state.since = state.decided_at = at;
    state.transition = transition;
    if (transition > 1) state.previous = contract::Health::up;
    state.reason = health == contract::Health::down ? contract::Reason::refused : contract::Reason::ok;
    state.decided_by = "a1";
    contract::Evidence evidence;
    evidence.worker = "w1";
    evidence.opinion = health == contract::Health::down ? contract::Opinion::down : contract::Opinion::up;
    evidence.verdict =
        health == contract::Health::down ? contract::Verdict::no_response : contract::Verdict::accepting;
    evidence.reason = state.reason;
    evidence.at = at;
    if (health != contract::Health::unknown) state.evidence.push_back(evidence);
    return state;
}

}  // namespace pgpulse::support
