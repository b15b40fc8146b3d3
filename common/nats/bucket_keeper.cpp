#include "common/nats/bucket_keeper.hpp"

namespace pgpulse::nats {
namespace {

constexpr std::chrono::milliseconds kKeepInterval{1000};
constexpr std::chrono::milliseconds kFirstLookInterval{100};

}  // namespace

BucketKeeper::BucketKeeper(Connection& connection, const std::vector<BucketConfig>& buckets)
    : connection_(connection) {
    for (const BucketConfig& bucket : buckets) buckets_.emplace_back(connection, bucket);
    thread_ = std::thread{[this] { run(); }};
}

BucketKeeper::~BucketKeeper() {
    {
        const std::lock_guard lock{mutex_};
        stop_ = true;
    }
    wake_.notify_one();
    thread_.join();
}

void BucketKeeper::run() {
    bool looked = false;
    for (;;) {
        if (connection_.connected()) {
            looked = true;
            for (BucketMaker& bucket : buckets_) looked = bucket.make() && looked;
        }
        std::unique_lock lock{mutex_};
        if (wake_.wait_for(lock, looked ? kKeepInterval : kFirstLookInterval, [this] { return stop_; }))
            return;
    }
}

}  // namespace pgpulse::nats
