#pragma once

#include "common/nats/bucket.hpp"

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace pgpulse::aggregator {

/// Sees to it that buckets exist: looks every second on a thread of its own, because such a request may
/// block, and creates what is absent.
class BucketKeeper {
  public:
    BucketKeeper(nats::Connection& connection, const std::vector<nats::BucketConfig>& buckets);
    BucketKeeper(const BucketKeeper&) = delete;
    BucketKeeper& operator=(const BucketKeeper&) = delete;
    ~BucketKeeper();

  private:
    nats::Connection& connection_;
    std::vector<nats::BucketMaker> buckets_;
    std::mutex mutex_;
    std::condition_variable wake_;
    bool stop_ = false;
    std::thread thread_;

    void run();
};

}  // namespace pgpulse::aggregator
