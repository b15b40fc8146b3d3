#include "common/nats/stream_facts.hpp"

namespace pgpulse::nats {
namespace {

constexpr std::int64_t kFactsTimeoutMs = 1000;

contract::WallTime wall_time(std::int64_t nanoseconds) {
    return contract::WallTime{std::chrono::microseconds{nanoseconds / 1000}};
}

Result<JetStreamHandle> open_jetstream(Connection& connection, const std::string& domain = {}) {
    jsOptions options;
    jsOptions_Init(&options);
    options.Wait = kFactsTimeoutMs;
    if (!domain.empty()) options.Domain = domain.c_str();
    jsCtx* raw = nullptr;
    const natsStatus s = natsConnection_JetStream(&raw, connection.handle(), &options);
    if (s != NATS_OK) return tl::unexpected(make_error("JetStream", s));
    return JetStreamHandle{raw};
}

}  // namespace

Result<StreamFacts> look_at_stream(Connection& connection, const std::string& stream,
                                   const std::string& domain) {
    const auto js = open_jetstream(connection, domain);
    if (!js) return tl::unexpected(js.error());
    jsStreamInfo* raw_info = nullptr;
    jsErrCode code = static_cast<jsErrCode>(0);
    const natsStatus looked = js_GetStreamInfo(&raw_info, js->get(), stream.c_str(), nullptr, &code);
    if (looked != NATS_OK) return tl::unexpected(make_error("stream '" + stream + "'", looked, code));
    const StreamInfoHandle info{raw_info};
    StreamFacts facts;
    facts.created = wall_time(info->Created);
    facts.first = info->State.FirstSeq;
    facts.last = info->State.LastSeq;
    facts.messages = info->State.Msgs;
    facts.max_age = std::chrono::nanoseconds{info->Config->MaxAge};
    facts.replicas = static_cast<int>(info->Config->Replicas);
    facts.per_subject = info->Config->MaxMsgsPerSubject;
    if (info->Config->RePublish != nullptr && info->Config->RePublish->Destination != nullptr)
        facts.republish_to = info->Config->RePublish->Destination;
    for (int i = 0; info->Cluster != nullptr && i < info->Cluster->ReplicasLen; ++i) {
        const jsPeerInfo& replica = *info->Cluster->Replicas[i];
        if (replica.Current && !replica.Offline) ++facts.replicas_current;
    }
    return facts;
}

Result<JetStreamFacts> look_at_jetstream(Connection& connection) {
    const auto js = open_jetstream(connection);
    if (!js) return tl::unexpected(js.error());
    jsAccountInfo* raw_info = nullptr;
    jsErrCode code = static_cast<jsErrCode>(0);
    const natsStatus looked = js_GetAccountInfo(&raw_info, js->get(), nullptr, &code);
    if (looked != NATS_OK) return tl::unexpected(make_error("JetStream", looked, code));
    const AccountInfoHandle info{raw_info};
    return JetStreamFacts{info->Store, info->Limits.MaxStore, info->Streams};
}

}  // namespace pgpulse::nats
