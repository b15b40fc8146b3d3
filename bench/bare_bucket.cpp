#include "bench/bare_bucket.hpp"

#include "bench/arguments.hpp"

namespace pgpulse::bench {
namespace {

constexpr std::int64_t kMostPending = 65'536;
constexpr std::int64_t kStoredWithinMs = 30'000;

}  // namespace

void check(const char* what, natsStatus status) {
    if (status != NATS_OK) give_up(std::string{what} + ": " + natsStatus_GetText(status));
}

BareBucket::BareBucket(natsConnection* connection, const std::string& name, const std::string& republish_to)
    : prefix_("$KV." + name + ".") {
    jsOptions options;
    jsOptions_Init(&options);
    options.PublishAsync.MaxPending = kMostPending;
    options.PublishAsync.AckHandler = &BareBucket::on_ack;
    options.PublishAsync.AckHandlerClosure = this;
    check("JetStream", natsConnection_JetStream(&js_, connection, &options));
    kvConfig config;
    kvConfig_Init(&config);
    config.Bucket = name.c_str();
    config.History = 64;
    config.StorageType = js_FileStorage;
    const std::string source = prefix_ + ">";
    const std::string destination = republish_to + ".>";
    jsRePublish republish;
    jsRePublish_Init(&republish);
    republish.Source = source.c_str();
    republish.Destination = destination.c_str();
    config.RePublish = &republish;
    kvStore* bucket = nullptr;
    if (js_KeyValue(&bucket, js_, name.c_str()) != NATS_OK)
        check("create the bucket", js_CreateKeyValue(&bucket, js_, &config));
    kvStore_Destroy(bucket);
}

BareBucket::~BareBucket() { jsCtx_Destroy(js_); }

void BareBucket::put(const std::string& key, std::string_view value) {
    jsPubOptions options;
    jsPubOptions_Init(&options);
    std::string message_id;
    {
        const std::lock_guard lock{mutex_};
        if (const auto known = revisions_.find(key); known != revisions_.end()) {
            message_id = key + "@" + std::to_string(known->second);
            options.ExpectLastSubjectSeq = known->second;
            options.MsgId = message_id.c_str();
        }
    }
    natsMsg* message = nullptr;
    check("message", natsMsg_Create(&message, (prefix_ + key).c_str(), nullptr, value.data(),
                                    static_cast<int>(value.size())));
    check("publish", js_PublishMsgAsync(js_, &message, &options));
}

void BareBucket::finish() {
    jsPubOptions options;
    jsPubOptions_Init(&options);
    options.MaxWait = kStoredWithinMs;
    check("not all was stored", js_PublishAsyncComplete(js_, &options));
}

void BareBucket::on_ack(jsCtx*, natsMsg* message, jsPubAck* ack, jsPubAckErr* error, void* self) {
    if (ack == nullptr || ack->Duplicate) {
        give_up(std::string{"a value was not stored: "} +
                (error != nullptr && error->ErrText != nullptr ? error->ErrText : "no answer"));
    }
    auto& bucket = *static_cast<BareBucket*>(self);
    {
        const std::lock_guard lock{bucket.mutex_};
        bucket.revisions_[natsMsg_GetSubject(message) + bucket.prefix_.size()] = ack->Sequence;
    }
    natsMsg_Destroy(message);
}

}  // namespace pgpulse::bench
