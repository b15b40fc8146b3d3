#include "aggregator/bucket_keeper.hpp"

#include <spdlog/spdlog.h>

namespace pgpulse::aggregator {
namespace {

constexpr std::chrono::milliseconds kLookInterval{1000};
constexpr std::chrono::milliseconds kFirstLookInterval{100};

}  // namespace

BucketKeeper::BucketKeeper(nats::Connection& connection, std::vector<nats::BucketConfig> buckets)
    : connection_(connection), buckets_(std::move(buckets)), thread_([this] { run(); }) {}

BucketKeeper::~BucketKeeper() {
    {
        const std::lock_guard lock{mutex_};
        stop_ = true;
    }
    wake_.notify_one();
    thread_.join();
}

void BucketKeeper::run() {
    std::string last_fault;
    bool looked = false;
    for (;;) {
        std::string fault;
        if (connection_.connected()) {
            for (const nats::BucketConfig& bucket : buckets_) {
                if (const auto kept = nats::ensure_bucket(connection_, bucket); !kept)
                    fault = kept.error().text;
            }
            looked = fault.empty();
        }
        // While the connection is lost, requests fail by nature: the connection's own line says so.
        if (!connection_.connected()) fault.clear();
        if (!fault.empty() && fault != last_fault) spdlog::warn("{}: trying again every second", fault);
        last_fault = fault;
        std::unique_lock lock{mutex_};
        if (wake_.wait_for(lock, looked ? kLookInterval : kFirstLookInterval, [this] { return stop_; }))
            return;
    }
}

}  // namespace pgpulse::aggregator
