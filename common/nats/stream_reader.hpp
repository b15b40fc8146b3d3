#pragma once

#include "common/nats/connection.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace pgpulse::nats {

/// Reads a JetStream stream in its order, through an ephemeral push consumer with a heartbeat and flow control,
/// until it is lost; whoever goes on reading opens another one.
///
/// nats.c has ordered consumers as well. They mend themselves, so that one cannot tell any more of which stream a
/// message is when a stream was deleted and made again; on a stream of millions of messages, where the server
/// takes seconds to make a consumer (measured: 2 s for 2 million messages, by subject), they block that long, take
/// the silence for a fault and begin again without end; and one that is given up, because the server takes longer than
/// it may, is freed while the connection may be reading its first messages, which crashes (nats.c #637).
class StreamReader {
  public:
    struct Start {
        std::uint64_t sequence = 1;
        /// Not empty: of the messages from there on only those of the subjects that it covers.
        std::string subjects = {};
        /// Not empty: the last message of each subject that it covers, and then all further ones. `sequence` and
        /// `subjects` are of no account.
        std::string last_of_subjects = {};
        /// Without the messages' payloads.
        bool headers_only = false;
        /// The JetStream domain that the stream is in; empty: the connection's own.
        std::string domain = {};
        /// How long the server may take to make the consumer. A request may be lost as well.
        std::chrono::milliseconds patience{4000};
    };

    enum class Got {
        message,
        nothing,     // in the time allowed
        everything,  // the server says that all there is was read
        lost,        // this reader is of no more use
    };

    /// Blocks until the server has made the consumer, and while `go_on` says so.
    static Result<std::unique_ptr<StreamReader>> open(Connection& connection, const std::string& stream,
                                                      const Start& start, const std::function<bool()>& go_on);
    StreamReader(const StreamReader&) = delete;
    StreamReader& operator=(const StreamReader&) = delete;
    ~StreamReader();

    /// Takes the next message, waiting for it at most `timeout`.
    Got next(std::chrono::milliseconds timeout);

    // Of the message that was got last:
    [[nodiscard]] std::uint64_t sequence() const { return sequence_; }
    /// When the server stored it: its wall clock, microseconds or nanoseconds since 1970.
    [[nodiscard]] std::int64_t stored_at_us() const { return stored_at_ns_ / 1000; }
    [[nodiscard]] std::int64_t stored_at_ns() const { return stored_at_ns_; }
    /// So many of what the reader is to get were still to come when this one was sent.
    [[nodiscard]] std::uint64_t pending() const { return pending_; }
    [[nodiscard]] std::string_view subject() const;
    [[nodiscard]] std::string_view payload() const;
    /// Empty where there is none. The view lives until the next message.
    [[nodiscard]] std::string_view header(const char* name) const;

  private:
    explicit StreamReader(Connection& connection) : connection_(connection) {}
    Result<Message> answer(const std::string& stream, std::chrono::milliseconds patience,
                           const std::function<bool()>& go_on);
    Got told_by_the_server();

    Connection& connection_;
    SubscriptionHandle answers_;
    SubscriptionHandle delivered_;
    Message message_;
    std::uint64_t sequence_ = 0;
    std::int64_t stored_at_ns_ = 0;
    std::uint64_t pending_ = 0;
    std::uint64_t read_ = 0;               // messages of the consumer
    std::chrono::milliseconds waited_{0};  // since the last message, heartbeats included
};

}  // namespace pgpulse::nats
