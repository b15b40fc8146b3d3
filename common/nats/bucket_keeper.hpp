#pragma once

#include "common/nats/bucket.hpp"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace pgpulse::nats {

/// Sees to it that buckets exist: looks every second on a thread of its own, because such a request may
/// block, and creates what is absent.
class BucketKeeper {
  public:
    BucketKeeper(Connection& connection, const std::vector<BucketConfig>& buckets);
    BucketKeeper(const BucketKeeper&) = delete;
    BucketKeeper& operator=(const BucketKeeper&) = delete;
    /// Can take four seconds while NATS does not answer, unless the connection is closed.
    ~BucketKeeper();

  private:
    Connection& connection_;
    std::vector<BucketMaker> buckets_;
    std::mutex mutex_;
    std::condition_variable wake_;
    bool stop_ = false;
    std::thread thread_;

    void run();
};

}  // namespace pgpulse::nats
