#include "ctl/bucket_snapshot.hpp"

#include <fmt/format.h>

#include <condition_variable>
#include <mutex>

namespace pgpulse::ctl {
namespace {

/// What the bucket held when it had been read to its end.
class Snapshot {
  public:
    /// Called by the watch, on its thread.
    void take(nats::BucketEvent event) {
        const std::lock_guard lock{mutex_};
        if (loaded_) return;
        switch (event.kind) {
            case nats::BucketEvent::Kind::opened:
                opened_ = true;
                values_.clear();
                break;
            case nats::BucketEvent::Kind::value:
            case nats::BucketEvent::Kind::removed:
                values_[event.key] = std::move(event);
                break;
            case nats::BucketEvent::Kind::loaded:
                loaded_ = true;
                changed_.notify_one();
                break;
        }
    }

    bool wait(std::chrono::milliseconds timeout) {
        std::unique_lock lock{mutex_};
        return changed_.wait_for(lock, timeout, [this] { return loaded_; });
    }

    [[nodiscard]] bool opened() {
        const std::lock_guard lock{mutex_};
        return opened_;
    }

    /// Once `wait` said true.
    [[nodiscard]] Values take_values() { return std::move(values_); }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool opened_ = false;
    bool loaded_ = false;
    Values values_;
};

}  // namespace

tl::expected<Values, std::string> read_bucket(nats::Connection& connection, std::string_view bucket,
                                              std::chrono::milliseconds timeout) {
    auto values = read_bucket_with_markers(connection, bucket, timeout);
    if (values)
        std::erase_if(
            *values, [](const auto& entry) { return entry.second.kind == nats::BucketEvent::Kind::removed; });
    return values;
}

tl::expected<Values, std::string> read_bucket_with_markers(nats::Connection& connection,
                                                           std::string_view bucket,
                                                           std::chrono::milliseconds timeout) {
    Snapshot snapshot;
    bool whole = false;
    {
        const nats::BucketWatch watch{connection, std::string{bucket},
                                      [&](nats::BucketEvent event) { snapshot.take(std::move(event)); }};
        whole = snapshot.wait(timeout);
    }
    if (whole) return snapshot.take_values();
    const std::string name = fmt::format("bucket '{}'", bucket);
    return tl::unexpected((!connection.connected() ? "NATS cannot be reached"
                           : !snapshot.opened()    ? name + " is not there (has an aggregator run yet?)"
                                                   : name + " cannot be read to its end") +
                          fmt::format("; waited {} s", static_cast<double>(timeout.count()) / 1000));
}

}  // namespace pgpulse::ctl
