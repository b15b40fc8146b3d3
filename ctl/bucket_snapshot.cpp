#include "ctl/bucket_snapshot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>

namespace pgpulse::ctl {
namespace {

constexpr std::chrono::milliseconds kSlice{50};

/// The server has refused what this user asked of the bucket, or the answer to it.
bool is_refused(const nats::Connection& connection, std::string_view bucket) {
    const auto missing = connection.missing_right();
    if (!missing) return false;
    return missing->subject.find(bucket) != std::string::npos ||
           missing->kind == nats::MissingRight::Kind::subscribe;
}

/// Why it could not be read, though there was time enough.
std::string fault_of(nats::Connection& connection, std::string_view bucket) {
    if (!connection.connected()) return "NATS cannot be reached";
    const std::string name = fmt::format("bucket '{}'", bucket);
    if (is_refused(connection, bucket))
        return name + " may not be read by this user, who lacks the right above (docs/nats-rights.md)";
    const auto found = nats::find_bucket(connection, std::string{bucket});
    if (found && !*found) return name + " is not there (has an aggregator run yet?)";
    if (is_refused(connection, bucket)) return fault_of(connection, bucket);
    return name + " cannot be read: the NATS servers do not answer in time";
}

/// What the bucket held when it had been read to its end.
class Snapshot {
  public:
    /// Called by the watch, on its thread.
    void take(nats::BucketEvent event) {
        const std::lock_guard lock{mutex_};
        switch (event.kind) {
            case nats::BucketEvent::Kind::opened:
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

    /// Until it is read to its end, or `hopeless` says that it never will be.
    template <typename Hopeless>
    bool wait(std::chrono::milliseconds timeout, Hopeless hopeless) {
        const auto deadline = std::chrono::steady_clock::now() + timeout;
        std::unique_lock lock{mutex_};
        while (!loaded_ && std::chrono::steady_clock::now() < deadline && !hopeless()) {
            changed_.wait_until(lock, std::min(deadline, std::chrono::steady_clock::now() + kSlice));
        }
        return loaded_;
    }

    /// Once `wait` said true.
    [[nodiscard]] Values take_values() { return std::move(values_); }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
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
                                      [&](nats::BucketEvent event) { snapshot.take(std::move(event)); },
                                      nats::BucketWatch::Extent::whole};
        whole = snapshot.wait(timeout, [&] { return is_refused(connection, bucket); });
    }
    if (whole) return snapshot.take_values();
    std::string fault = fault_of(connection, bucket);
    if (!is_refused(connection, bucket))
        fault += fmt::format("; waited {} s", static_cast<double>(timeout.count()) / 1000);
    return tl::unexpected(std::move(fault));
}

}  // namespace pgpulse::ctl
