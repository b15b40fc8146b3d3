#pragma once

#include "consul-bridge/consul_client.hpp"
#include "consul-bridge/drift_alarm.hpp"

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace pgpulse::consul_bridge {

/// Tells when something moved in Consul, by one blocking query for each table, on a thread and a connection of its own
/// each. The queries ask for as little as Consul can be made to answer, and twice a second at most: it is the index that
/// counts.
class DriftWatch {
  public:
    /// Called on the watch's threads with X-Consul-Index, as long as Consul answers.
    using OnMove = std::function<void(Table, std::uint64_t)>;

    /// `wanted`: whether it is worth Consul's trouble now. Called on the watch's threads.
    DriftWatch(const ConsulOptions& options, const std::string& kv_prefix, std::function<bool()> wanted,
               OnMove on_move);
    DriftWatch(const DriftWatch&) = delete;
    DriftWatch& operator=(const DriftWatch&) = delete;
    /// Ends the queries under way; no call after it returned.
    ~DriftWatch();

  private:
    struct Query {
        Table table;
        std::string path;  // without index and wait
        std::unique_ptr<ConsulClient> client;
    };

    void follow(Query& query);
    bool stopped_after(std::chrono::milliseconds pause);

    std::function<bool()> wanted_;
    OnMove on_move_;
    std::mutex mutex_;
    std::condition_variable wake_;
    bool stop_ = false;
    std::vector<Query> queries_;
    std::vector<std::thread> threads_;
};

}  // namespace pgpulse::consul_bridge
