#pragma once

#include "consul-bridge/consul_client.hpp"
#include "consul-bridge/consul_options.hpp"

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace pgpulse::consul_bridge {

/// Threads with a connection to Consul each, so that a slow Consul never blocks the thread that decides.
class ConsulPool {
  public:
    using Job = std::function<void(ConsulClient&)>;

    ConsulPool(const ConsulOptions& options, std::size_t threads);
    ConsulPool(const ConsulPool&) = delete;
    ConsulPool& operator=(const ConsulPool&) = delete;
    /// Ends requests under way; jobs that wait are dropped.
    ~ConsulPool();

    /// Runs the job on the next free thread.
    void run(Job job);

  private:
    void work(ConsulClient& client);

    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Job> jobs_;
    bool stop_ = false;
    std::vector<std::unique_ptr<ConsulClient>> clients_;
    std::vector<std::thread> threads_;
};

}  // namespace pgpulse::consul_bridge
