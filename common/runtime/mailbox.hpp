#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

namespace pgpulse::runtime {

/// Where other threads leave events for the one thread that owns a core. First in, first out; taken a batch
/// at a time, so that a busy owner pays for one lock a batch.
template <typename Event>
class Mailbox {
  public:
    /// Leaves an event whatever is already waiting.
    void post(Event event) {
        bool was_empty = false;
        {
            const std::lock_guard lock{mutex_};
            was_empty = waiting_.empty();
            waiting_.push_back(std::move(event));
        }
        if (was_empty) wake_.notify_one();
    }

    /// Leaves an event unless `limit` are waiting already; false where it was not taken.
    bool try_post(Event event, std::size_t limit) {
        bool was_empty = false;
        {
            const std::lock_guard lock{mutex_};
            if (waiting_.size() >= limit) return false;
            was_empty = waiting_.empty();
            waiting_.push_back(std::move(event));
        }
        if (was_empty) wake_.notify_one();
        return true;
    }

    /// Takes everything that waits, in order; waits until `deadline` for a first event. `batch` is emptied
    /// first and its memory reused.
    void take_until(std::vector<Event>& batch, std::chrono::steady_clock::time_point deadline) {
        batch.clear();
        // What a burst took is given back: a bucket of a hundred thousand keys is read once.
        if (batch.capacity() > kKept) batch = std::vector<Event>{};
        std::unique_lock lock{mutex_};
        wake_.wait_until(lock, deadline, [this] { return !waiting_.empty(); });
        std::swap(batch, waiting_);
    }

  private:
    static constexpr std::size_t kKept = 8192;  // events

    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<Event> waiting_;
};

}  // namespace pgpulse::runtime
