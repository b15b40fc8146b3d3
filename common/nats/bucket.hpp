#pragma once

#include "common/nats/connection.hpp"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

// JetStream KV buckets (NATS ADR-8): creating and watching.
namespace pgpulse::nats {

struct BucketConfig {
    std::string name;
    std::uint8_t history = 1;          // 1 to 64
    std::chrono::milliseconds ttl{0};  // 0: values stay
    int replicas = 1;                  // 1 to 5
    std::string republish_to;          // subject prefix such as "health.state"; empty: not republished
};

/// A bucket that is there.
struct BucketFound {
    int replicas = 1;
    // Of one that was found, not made:
    std::int64_t created_us = 0;      // when its stream was created, microseconds since 1970
    std::uint64_t last_revision = 0;  // of any key, deleted ones included
};

/// Looks for the bucket; empty where the server says that there is none. Blocks for at most two seconds.
Result<std::optional<BucketFound>> find_bucket(Connection& connection, const std::string& name);

/// Looks for the bucket, and creates it (file storage) only where the server says it is absent: creating over
/// an existing one could send a STREAM.UPDATE. Blocks for at most four seconds.
Result<BucketFound> ensure_bucket(Connection& connection, const BucketConfig& config);

/// Sees to it that a bucket is there, and says what is wrong with it in one line each: that it cannot be made, and that
/// it has fewer replicas than asked for, which is left to an operator. One that was there and is not is created a
/// second after it was missed first: nats-server (seen with 2.9.10) frees the name of a stream that is deleted before it
/// has removed its files, and would remove those of the next one with them, which then takes no message ever.
class BucketMaker {
  public:
    BucketMaker(Connection& connection, BucketConfig config)
        : connection_(connection), config_(std::move(config)) {}

    /// To be called again and again. Blocks as `ensure_bucket`. False: it is not known to be there.
    bool make();

  private:
    Connection& connection_;
    BucketConfig config_;
    std::string fault_told_;
    int replicas_told_ = 0;
    bool was_there_ = false;
    std::optional<std::chrono::steady_clock::time_point> missed_since_;

    Result<std::optional<BucketFound>> look();
};

/// Stores a value without waiting for an acknowledgement: who wants to know watches the bucket. May block for
/// about two seconds when the server is frozen, as any publish.
Result<void> put_unacknowledged(Connection& connection, std::string_view bucket, std::string_view key,
                                std::string_view value);

/// Stores a delete marker likewise.
Result<void> delete_unacknowledged(Connection& connection, std::string_view bucket, std::string_view key);

/// What a watch tells, in this order: `opened`, a `value` or `removed` for each key, `loaded`, then changes
/// as they come. Where what was told may no longer be what the bucket holds (the connection was lost, the bucket
/// was created anew, lost its newest writes or was purged: bucket_continuity.hpp) it starts
/// again with `opened` within five seconds, and a key that is not told again before `loaded` is no longer there.
struct BucketEvent {
    enum class Kind { opened, value, removed, loaded };
    Kind kind = Kind::opened;
    std::string key;
    std::string value;
    std::uint64_t revision = 0;     // the stream's sequence
    std::int64_t stored_at_us = 0;  // the server's wall clock, microseconds since 1970
    std::int64_t epoch_us = 0;      // when the bucket's stream was created, microseconds since 1970
    /// Of `value` and `removed`: written the way BucketWriter writes. False for an edit by hand (`nats kv put`,
    /// `update`, `del`) and for a write without a condition.
    bool by_bucket_writer = false;
};

/// Follows every key of a bucket on a thread of its own, through a StreamReader. It waits for a bucket that is
/// not there yet, and looks once a second whether the bucket still holds what was told (measured: 0.1 ms of the server
/// for 100,000 keys).
class BucketWatch {
  public:
    using OnEvent = std::function<void(BucketEvent)>;

    enum class Extent {
        whole,              // what the bucket holds: nothing comes after the first `loaded`
        whole_and_changes,  // for ever
    };

    /// `on_event` is called on the watch's thread.
    BucketWatch(Connection& connection, std::string bucket, OnEvent on_event,
                Extent extent = Extent::whole_and_changes);
    BucketWatch(const BucketWatch&) = delete;
    BucketWatch& operator=(const BucketWatch&) = delete;
    /// Stops within two seconds, or as soon as the connection is closed; no event after it returned.
    ~BucketWatch();

  private:
    struct Follow;
    void run();
    bool stopped_after(std::chrono::milliseconds pause);

    Connection& connection_;
    std::string bucket_;
    const Extent extent_;
    OnEvent on_event_;
    std::mutex mutex_;
    std::condition_variable wake_;
    bool stop_ = false;
    std::thread thread_;
};

}  // namespace pgpulse::nats
