#pragma once

#include "common/nats/connection.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace pgpulse::nats {

/// How one compare-and-set ended.
struct WriteOutcome {
    enum class Kind {
        stored,  // it is the key's newest value, at `revision`
        lost,    // another write came first (10071, or the message id was taken): the watch tells what it was
        failed,  // no answer, no stream, no right: whether it was stored is not known
    };
    Kind kind = Kind::failed;
    std::string key;
    std::uint64_t expected = 0;
    std::uint64_t revision = 0;  // of `stored`
    std::string text;            // of `failed`: one line for a log
};

/// Writes keys of one bucket by compare-and-set, many in flight, with JetStream's asynchronous publish. The
/// message id `<key>@<expected>` closes a gap of servers before 2.9.21, which accept two writers at one
/// revision on a replicated bucket (nats-server #4320).
class BucketWriter {
  public:
    using OnOutcome = std::function<void(WriteOutcome)>;

    /// `on_outcome` is called on a thread of nats.c, once for every accepted `put` or `remove`.
    static Result<std::unique_ptr<BucketWriter>> open(Connection& connection, const std::string& bucket,
                                                      OnOutcome on_outcome);

    BucketWriter(const BucketWriter&) = delete;
    BucketWriter& operator=(const BucketWriter&) = delete;
    ~BucketWriter();

    /// Stores `value` if the key's last revision is `expected` (0: the key has never been). Error: it could
    /// not be sent; no outcome follows.
    Result<void> put(const std::string& key, std::string_view value, std::uint64_t expected);

    /// Stores a delete marker under the same condition.
    Result<void> remove(const std::string& key, std::uint64_t expected);

    /// Waits until every write has its outcome, at most `timeout`; false where some have not.
    bool drain(std::chrono::milliseconds timeout);

  private:
    struct Sink;

    BucketWriter() = default;
    Result<void> publish(const std::string& key, std::string_view value, std::uint64_t expected, bool remove);
    static void on_ack(jsCtx*, natsMsg*, jsPubAck*, jsPubAckErr*, void* sink);

    std::shared_ptr<Sink> sink_;
    JetStreamHandle js_;
};

}  // namespace pgpulse::nats
