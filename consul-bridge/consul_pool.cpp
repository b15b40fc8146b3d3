#include "consul-bridge/consul_pool.hpp"

namespace pgpulse::consul_bridge {

ConsulPool::ConsulPool(const ConsulOptions& options, std::size_t threads) {
    for (std::size_t i = 0; i < threads; ++i) clients_.push_back(std::make_unique<ConsulClient>(options));
    for (const auto& client : clients_) threads_.emplace_back([this, &client = *client] { work(client); });
}

ConsulPool::~ConsulPool() {
    {
        const std::lock_guard lock{mutex_};
        stop_ = true;
    }
    wake_.notify_all();
    for (const auto& client : clients_) client->abort();
    for (std::thread& thread : threads_) thread.join();
}

void ConsulPool::run(Job job) {
    {
        const std::lock_guard lock{mutex_};
        jobs_.push_back(std::move(job));
    }
    wake_.notify_one();
}

void ConsulPool::work(ConsulClient& client) {
    for (;;) {
        Job job;
        {
            std::unique_lock lock{mutex_};
            wake_.wait(lock, [this] { return stop_ || !jobs_.empty(); });
            if (stop_) return;
            job = std::move(jobs_.front());
            jobs_.pop_front();
        }
        job(client);
    }
}

}  // namespace pgpulse::consul_bridge
