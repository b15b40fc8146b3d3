#pragma once

#include "common/contract/member.hpp"
#include "common/nats/connection.hpp"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace pgpulse::bench {

/// Keeps made-up workers among the members of the cluster, since nobody else has a voice: writes the key of
/// each in the bucket `health_members` every 500 ms, over a connection of its own that no flood of pings holds
/// up.
class Members {
  public:
    /// Returns when they are stored. Ends the program with one line where they are not.
    Members(const std::string& url, const std::vector<contract::Member>& members);
    Members(const Members&) = delete;
    Members& operator=(const Members&) = delete;
    /// They leave.
    ~Members();

  private:
    struct Key {
        std::string name;
        std::string value;
    };

    std::unique_ptr<nats::Connection> connection_;
    std::vector<Key> keys_;
    std::mutex mutex_;
    std::condition_variable wake_;
    bool stop_ = false;
    std::thread thread_;

    void keep();
};

}  // namespace pgpulse::bench
