#include "common/nats/stream_facts.hpp"

namespace pgpulse::nats {
namespace {

constexpr std::int64_t kFactsTimeoutMs = 1000;

contract::WallTime wall_time(std::int64_t nanoseconds) {
    return contract::WallTime{std::chrono::microseconds{nanoseconds / 1000}};
}

}  // namespace

Result<StreamFacts> look_at_stream(Connection& connection, const std::string& stream,
                                   const std::string& domain) {
    jsOptions options;
    jsOptions_Init(&options);
    options.Wait = kFactsTimeoutMs;
    if (!domain.empty()) options.Domain = domain.c_str();
    jsCtx* raw = nullptr;
    const natsStatus s = natsConnection_JetStream(&raw, connection.handle(), &options);
    if (s != NATS_OK) return tl::unexpected(make_error("JetStream", s));
    const JetStreamHandle js{raw};
    jsStreamInfo* raw_info = nullptr;
    jsErrCode code = static_cast<jsErrCode>(0);
    const natsStatus looked = js_GetStreamInfo(&raw_info, js.get(), stream.c_str(), nullptr, &code);
    if (looked != NATS_OK) return tl::unexpected(make_error("stream '" + stream + "'", looked, code));
    const StreamInfoHandle info{raw_info};
    return StreamFacts{wall_time(info->Created),
                       info->State.FirstSeq,
                       info->State.LastSeq,
                       info->State.Msgs,
                       std::chrono::nanoseconds{info->Config->MaxAge},
                       static_cast<int>(info->Config->Replicas)};
}

}  // namespace pgpulse::nats
