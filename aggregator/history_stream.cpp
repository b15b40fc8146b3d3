#include "aggregator/history_stream.hpp"

#include "common/contract/names.hpp"

#include <spdlog/spdlog.h>

namespace pgpulse::aggregator {
namespace {

using nats::make_error;

/// Two copiers within this time are known apart by the message id, at other times by the place of the message. So it
/// may be short, and has to be: an id that the server still knows of a message that was purged keeps its copy out.
constexpr std::chrono::nanoseconds kDuplicates = std::chrono::seconds{10};

}  // namespace

nats::Result<std::unique_ptr<HistoryStream>> HistoryStream::open(nats::Connection& connection,
                                                                 OnOutcome on_outcome) {
    auto writer = nats::PlacedWriter::open(connection, std::move(on_outcome));
    if (!writer) return tl::unexpected(writer.error());
    return std::unique_ptr<HistoryStream>{new HistoryStream{connection, std::move(*writer)}};
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
    const natsStatus s = js_AddStream(&raw, writer_->js(), &stream, nullptr, &code);
    if (s != NATS_OK) return tl::unexpected(make_error("create stream '" + name + "'", s, code));
    const nats::StreamInfoHandle info{raw};
    spdlog::info("created stream '{}', which keeps transitions for {} days", name, config.days);
    return nats::look_at_stream(connection_, name);
}

nats::Result<void> HistoryStream::publish(const HistoryMessage& message) {
    return writer_->publish(contract::history_subject(message.target), headers_of(message), message.value);
}

}  // namespace pgpulse::aggregator
