#include "common/nats/bucket.hpp"

#include "common/nats/bucket_continuity.hpp"
#include "common/nats/message_id.hpp"
#include "common/nats/stream_reader.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace pgpulse::nats {
namespace {

constexpr int64_t kRequestTimeoutMs = 2000;
/// Of three servers with one away, one in three consumers is made on the one that is away and never answers
/// (docs/nats.md): so many are asked for in quick succession, before a server is thought to be slow.
constexpr int64_t kFirstSubscribeWaitMs = 500;
constexpr int kQuickSubscribes = 4;
/// A server looks through all of a bucket for the newest values: 5 us a message where a core is slow, and it is given
/// four times as long.
constexpr std::uint64_t kMessagesAMillisecond = 50;
constexpr int64_t kLongestFirstWaitMs = 8000;
constexpr int64_t kLongestSubscribeWaitMs = 32'000;
constexpr std::chrono::milliseconds kNextMessage{200};
constexpr std::chrono::milliseconds kLookInterval{1000};
constexpr std::chrono::milliseconds kLoadingLookInterval{100};
constexpr std::chrono::milliseconds kRetryInterval{250};
constexpr int kTriesBeforeTold = 8;

/// A bucket's stream has its keys alone. "$KV.<bucket>.>" says the same, and has the server compare it with every key.
constexpr const char* kAllOfTheStream = ">";

std::string stream_of(const std::string& bucket) { return "KV_" + bucket; }
std::string prefix_of(const std::string& bucket) { return "$KV." + bucket + "."; }

Result<JetStreamHandle> jetstream(Connection& connection) {
    jsOptions options;
    jsOptions_Init(&options);
    options.Wait = kRequestTimeoutMs;
    jsCtx* raw = nullptr;
    const natsStatus s = natsConnection_JetStream(&raw, connection.handle(), &options);
    if (s != NATS_OK) return tl::unexpected(make_error("JetStream", s));
    return JetStreamHandle{raw};
}

/// The name of a deleted stream's files is free after so long.
constexpr std::chrono::milliseconds kRestOfAName{1000};

/// Nullopt: the server says that there is none.
Result<std::optional<BucketFound>> find(jsCtx* js, const std::string& name) {
    jsStreamInfo* info = nullptr;
    jsErrCode code = static_cast<jsErrCode>(0);
    const natsStatus s = js_GetStreamInfo(&info, js, stream_of(name).c_str(), nullptr, &code);
    if (s == NATS_OK) {
        const StreamInfoHandle found{info};
        return BucketFound{static_cast<int>(found->Config->Replicas), found->Created / 1000,
                           found->State.LastSeq};
    }
    if (s != NATS_NOT_FOUND) return tl::unexpected(make_error("bucket '" + name + "'", s, code));
    return std::nullopt;
}

Result<BucketFound> create(jsCtx* js, const BucketConfig& config) {
    kvConfig kv;
    kvConfig_Init(&kv);
    kv.Bucket = config.name.c_str();
    kv.History = config.history;
    kv.TTL = std::chrono::duration_cast<std::chrono::nanoseconds>(config.ttl).count();
    kv.StorageType = js_FileStorage;
    kv.Replicas = config.replicas;
    const std::string source = prefix_of(config.name) + ">";
    const std::string destination = config.republish_to + ".>";
    jsRePublish republish;
    jsRePublish_Init(&republish);
    republish.Source = source.c_str();
    republish.Destination = destination.c_str();
    if (!config.republish_to.empty()) kv.RePublish = &republish;
    kvStore* raw = nullptr;
    const natsStatus s = js_CreateKeyValue(&raw, js, &kv);
    if (s != NATS_OK) {
        // A server that has too few peers does not say for what.
        const std::string asked =
            config.replicas > 1 ? " with --replicas " + std::to_string(config.replicas) : "";
        return tl::unexpected(make_error("create bucket '" + config.name + "'" + asked, s));
    }
    kvStore_Destroy(raw);
    spdlog::info("created bucket '{}'{}", config.name,
                 config.replicas > 1 ? fmt::format(" with {} replicas", config.replicas) : "");
    return BucketFound{config.replicas};
}

}  // namespace

Result<std::optional<BucketFound>> find_bucket(Connection& connection, const std::string& name) {
    const auto js = jetstream(connection);
    if (!js) return tl::unexpected(js.error());
    return find(js->get(), name);
}

Result<BucketFound> ensure_bucket(Connection& connection, const BucketConfig& config) {
    const auto js = jetstream(connection);
    if (!js) return tl::unexpected(js.error());
    const auto found = find(js->get(), config.name);
    if (!found) return tl::unexpected(found.error());
    if (const std::optional<BucketFound>& there = *found) return *there;
    return create(js->get(), config);
}

Result<std::optional<BucketFound>> BucketMaker::look() {
    const auto js = jetstream(connection_);
    if (!js) return tl::unexpected(js.error());
    auto found = find(js->get(), config_.name);
    if (!found) return found;
    const auto now = std::chrono::steady_clock::now();
    if (!*found && was_there_) {
        if (!missed_since_) missed_since_ = now;
        if (now - *missed_since_ < kRestOfAName) return found;
    }
    if (!*found) {
        const auto created = create(js->get(), config_);
        if (!created) return tl::unexpected(created.error());
        found = *created;
    }
    was_there_ = true;
    missed_since_.reset();
    return found;
}

bool BucketMaker::make() {
    const Result<std::optional<BucketFound>> looked = look();
    // While the connection is lost, requests fail by nature: the connection's own line says so.
    if (!looked && !connection_.connected()) return false;
    const std::string fault = looked ? std::string{} : looked.error().text;
    if (!fault.empty() && fault != fault_told_) spdlog::warn("{}: trying again until it is there", fault);
    fault_told_ = fault;
    const std::optional<BucketFound> found = looked ? *looked : std::nullopt;
    if (!found) return false;
    if (found->replicas < config_.replicas && found->replicas != replicas_told_) {
        spdlog::warn(
            "bucket '{0}' has {1} of the {2} replicas that --replicas asks for: `nats stream edit {3} "
            "--replicas {2}` changes that",
            config_.name, found->replicas, config_.replicas, stream_of(config_.name));
    }
    replicas_told_ = found->replicas;
    return true;
}

Result<void> put_unacknowledged(Connection& connection, std::string_view bucket, std::string_view key,
                                std::string_view value) {
    return connection.publish(prefix_of(std::string{bucket}) + std::string{key}, value);
}

Result<void> delete_unacknowledged(Connection& connection, std::string_view bucket, std::string_view key) {
    const std::string subject = prefix_of(std::string{bucket}) + std::string{key};
    natsMsg* raw = nullptr;
    natsStatus s = natsMsg_Create(&raw, subject.c_str(), nullptr, nullptr, 0);
    const Message message{raw};
    if (s == NATS_OK) s = natsMsgHeader_Set(raw, "KV-Operation", "DEL");
    if (s == NATS_OK) s = natsConnection_PublishMsg(connection.handle(), raw);
    if (s != NATS_OK) return tl::unexpected(make_error("delete " + subject, s));
    return {};
}

/// How long the server may take to make a consumer.
struct SubscribePatience {
    int timeouts = 0;  // in a row

    /// `messages`: so many it looks through.
    [[nodiscard]] std::int64_t wait_ms(std::uint64_t messages) const {
        const auto look_through = static_cast<std::int64_t>(messages / kMessagesAMillisecond);
        std::int64_t wait = std::min(kFirstSubscribeWaitMs + look_through, kLongestFirstWaitMs);
        for (int i = kQuickSubscribes; i <= timeouts && wait < kLongestSubscribeWaitMs; ++i) wait *= 2;
        return std::min(wait, kLongestSubscribeWaitMs);
    }
};

/// One pass over the bucket: from `opened` until it is lost or the watch ends.
struct BucketWatch::Follow {
    BucketWatch& watch;
    jsCtx* js;
    SubscribePatience& patience;
    BucketContinuity& continuity;
    /// Counted before the first look: a connection that is established anew after it has the bucket read again.
    std::uint64_t times_established;
    std::string stream;
    std::string prefix;
    std::unique_ptr<StreamReader> reader;
    int64_t created_ns = 0;
    bool loaded = false;

    Follow(BucketWatch& of, jsCtx* jetstream, SubscribePatience& with, BucketContinuity& to_tell)
        : watch(of),
          js(jetstream),
          patience(with),
          continuity(to_tell),
          times_established(of.connection_.times_established()),
          stream(stream_of(of.bucket_)),
          prefix(prefix_of(of.bucket_)) {}

    [[nodiscard]] bool goes_on() const {
        return !watch.stopped_after(std::chrono::milliseconds{0}) &&
               watch.connection_.times_established() == times_established && watch.connection_.connected();
    }

    /// Empty where the server does not answer in time; `gone`, where the bucket is not there.
    [[nodiscard]] std::optional<BucketContinuity::Look> look(bool& gone) const {
        jsStreamInfo* raw = nullptr;
        jsErrCode code = static_cast<jsErrCode>(0);
        const natsStatus s = js_GetStreamInfo(&raw, js, stream.c_str(), nullptr, &code);
        gone = s == NATS_NOT_FOUND;
        if (s != NATS_OK) return std::nullopt;
        const StreamInfoHandle info{raw};
        BucketContinuity::Look look;
        look.created_ns = info->Created;
        look.last_revision = info->State.LastSeq;
        look.last_stored_ns = info->State.LastTime;
        look.messages = info->State.Msgs;
        look.keys = static_cast<std::uint64_t>(info->State.NumSubjects);
        const jsStreamConfig& config = *info->Config;
        look.lets_messages_go = config.MaxAge > 0 || (config.Discard == js_DiscardOld &&
                                                      (config.MaxMsgs > 0 || config.MaxBytes > 0));
        return look;
    }

    bool open() {
        bool gone = false;
        const auto now_there = look(gone);
        if (!now_there) return false;
        created_ns = now_there->created_ns;
        // Where every message is its key's newest the server need not look for those, which takes it as long as sending
        // them does. A write that comes meanwhile follows the value that it replaces, as any later one.
        const bool all_are_newest = now_there->messages == now_there->keys;
        StreamReader::Start start;
        if (!all_are_newest) start.last_of_subjects = kAllOfTheStream;
        start.patience =
            std::chrono::milliseconds{patience.wait_ms(all_are_newest ? 0 : now_there->messages)};
        auto opened = StreamReader::open(watch.connection_, stream, start, [this] { return goes_on(); });
        if (!opened) {
            const bool timeout = opened.error().status == NATS_TIMEOUT;
            if (timeout) ++patience.timeouts;
            // A server makes a connection's consumers one after another: a small bucket's may wait for a large one's.
            const bool nothing_yet = timeout && patience.timeouts <= kQuickSubscribes;
            if (goes_on() && !nothing_yet)
                spdlog::warn("watch of bucket '{}': {}", watch.bucket_, opened.error().text);
            return false;
        }
        reader = std::move(*opened);
        patience.timeouts = 0;
        continuity.opened(*now_there);
        emit(BucketEvent::Kind::opened);
        if (now_there->messages == 0) finish_loading();
        return true;
    }

    /// False when the bucket is to be read anew.
    bool holds() {
        bool gone = false;
        const auto now_there = look(gone);
        if (gone) {
            spdlog::warn("bucket '{}' is gone: reading it anew when it is back", watch.bucket_);
            return false;
        }
        if (!now_there) return true;  // no answer says nothing about the bucket
        if (!stands(continuity.looked(*now_there))) return false;
        if (!loaded && (now_there->messages == 0 || continuity.all_told())) finish_loading();
        return true;
    }

    [[nodiscard]] std::chrono::milliseconds look_interval() const {
        return continuity.at_the_end() ? kLoadingLookInterval : kLookInterval;
    }

    /// False when the bucket is to be read anew.
    bool next() {
        switch (reader->next(kNextMessage)) {
            case StreamReader::Got::nothing:
                return true;
            case StreamReader::Got::everything:
                if (!loaded) finish_loading();
                return true;
            case StreamReader::Got::lost:
                // What was rewritten meanwhile is not known.
                if (goes_on())
                    spdlog::warn("bucket '{}' did not deliver for a while: reading it anew", watch.bucket_);
                return false;
            case StreamReader::Got::message:
                break;
        }
        const std::string_view subject = reader->subject();
        if (!subject.starts_with(prefix)) return true;
        BucketEvent event;
        event.kind =
            reader->header("KV-Operation").empty() ? BucketEvent::Kind::value : BucketEvent::Kind::removed;
        event.key = subject.substr(prefix.size());
        event.revision = reader->sequence();
        if (!stands(continuity.told({event.key, event.revision, reader->stored_at_ns(), reader->pending()})))
            return false;
        event.by_bucket_writer = is_conditional_write(event.key, reader->header(kExpectedHeader),
                                                      reader->header(kMessageIdHeader));
        event.value = reader->payload();
        event.stored_at_us = reader->stored_at_us();
        event.epoch_us = created_ns / 1000;
        watch.on_event_(std::move(event));
        if (!loaded && continuity.all_told()) finish_loading();
        return true;
    }

    [[nodiscard]] bool stands(std::optional<BucketContinuity::Break> what) const {
        if (what) spdlog::warn("bucket '{}' {}: reading it anew", watch.bucket_, to_string(*what));
        return !what;
    }

    void finish_loading() {
        loaded = true;
        continuity.loaded();
        emit(BucketEvent::Kind::loaded);
    }

    void emit(BucketEvent::Kind kind) const {
        BucketEvent event;
        event.kind = kind;
        event.epoch_us = created_ns / 1000;
        watch.on_event_(std::move(event));
    }
};

BucketWatch::BucketWatch(Connection& connection, std::string bucket, OnEvent on_event, Extent extent)
    : connection_(connection),
      bucket_(std::move(bucket)),
      extent_(extent),
      on_event_(std::move(on_event)),
      thread_([this] { run(); }) {}

BucketWatch::~BucketWatch() {
    {
        const std::lock_guard lock{mutex_};
        stop_ = true;
    }
    wake_.notify_all();
    thread_.join();
}

bool BucketWatch::stopped_after(std::chrono::milliseconds pause) {
    std::unique_lock lock{mutex_};
    // A wait for no time would still be a call into the kernel, for each of a hundred thousand entries.
    if (pause == pause.zero()) return stop_;
    return wake_.wait_for(lock, pause, [this] { return stop_; });
}

void BucketWatch::run() {
    const auto js = jetstream(connection_);
    if (!js) {
        spdlog::error("watch of bucket '{}': {}", bucket_, js.error().text);
        return;
    }
    BucketContinuity continuity;
    SubscribePatience patience;
    int tries = 0;
    while (!stopped_after(std::chrono::milliseconds{0})) {
        Follow follow{*this, js->get(), patience, continuity};
        if (!connection_.connected() || !follow.open()) {
            // Whoever makes the bucket usually does so within a moment; only a longer wait is worth a line.
            if (connection_.connected() && ++tries == kTriesBeforeTold)
                spdlog::info("waiting for bucket '{}'", bucket_);
            if (stopped_after(kRetryInterval)) return;
            continue;
        }
        tries = 0;
        auto looked_at = std::chrono::steady_clock::now();
        while (!stopped_after(std::chrono::milliseconds{0}) &&
               connection_.times_established() == follow.times_established) {
            if (follow.loaded && extent_ == Extent::whole) return;
            if (!follow.next()) break;
            const auto now = std::chrono::steady_clock::now();
            if (now - looked_at < follow.look_interval()) continue;
            looked_at = now;
            if (connection_.connected() && !follow.holds()) break;
        }
    }
}

}  // namespace pgpulse::nats
