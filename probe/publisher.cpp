#include "probe/publisher.hpp"

#include "common/contract/names.hpp"

#include <algorithm>
#include <iterator>

namespace pgpulse::probe {
namespace {

// Bounds what a stop has to wait for and what the queue's bound does not cover.
constexpr std::size_t kBatch = 256;

bool send_one(const Publisher::Send& send, const Outgoing& message) {
    if (const auto* const ping = std::get_if<contract::Ping>(&message))
        return send(contract::ping_subject(ping->worker, ping->target), contract::encode(*ping));
    return send(contract::check_subject(std::get<CallObservers>(message).target), {});
}

}  // namespace

Publisher::Publisher(Send send, std::size_t capacity)
    : send_(std::move(send)), capacity_(capacity), thread_([this] { run(); }) {}

Publisher::~Publisher() {
    {
        const std::lock_guard lock{mutex_};
        stop_ = true;
    }
    wake_.notify_all();
    thread_.join();
}

void Publisher::push(std::vector<Outgoing>& messages) {
    if (messages.empty()) return;
    bool wake = false;
    {
        const std::lock_guard lock{mutex_};
        wake = queue_.empty() && !sending_;
        for (Outgoing& message : messages) {
            if (queue_.size() >= capacity_) {
                queue_.pop_front();
                ++dropped_;
            }
            queue_.push_back(std::move(message));
        }
    }
    messages.clear();
    if (wake) wake_.notify_one();
}

bool Publisher::drain(std::chrono::milliseconds timeout) {
    std::unique_lock lock{mutex_};
    return idle_.wait_for(lock, timeout, [this] { return queue_.empty() && !sending_; });
}

std::uint64_t Publisher::dropped() const {
    const std::lock_guard lock{mutex_};
    return dropped_;
}

std::uint64_t Publisher::unsent() const {
    const std::lock_guard lock{mutex_};
    return unsent_;
}

void Publisher::run() {
    std::vector<Outgoing> batch;
    std::unique_lock lock{mutex_};
    for (;;) {
        wake_.wait(lock, [this] { return stop_ || !queue_.empty(); });
        if (stop_) return;
        const auto count = static_cast<std::ptrdiff_t>(std::min(queue_.size(), kBatch));
        batch.assign(std::make_move_iterator(queue_.begin()),
                     std::make_move_iterator(queue_.begin() + count));
        queue_.erase(queue_.begin(), queue_.begin() + count);
        sending_ = true;
        lock.unlock();
        std::uint64_t unsent = 0;
        for (const Outgoing& message : batch) {
            if (!send_one(send_, message)) ++unsent;
        }
        lock.lock();
        unsent_ += unsent;
        sending_ = false;
        if (queue_.empty()) idle_.notify_all();
    }
}

}  // namespace pgpulse::probe
