#include "tests/support/chorus.hpp"

#include <algorithm>
#include <stdexcept>

namespace pgpulse::support {
namespace {

constexpr std::chrono::milliseconds kPace{250};

}  // namespace

Chorus::Chorus(nats::Connection& connection, const std::vector<std::string>& ids, int replicas) {
    for (const std::string& id : ids)
        workers_.push_back(std::make_unique<PingingWorker>(connection, id, replicas));
    thread_ = std::thread{[this] { run(); }};
}

Chorus::~Chorus() {
    {
        const std::lock_guard lock{mutex_};
        stop_ = true;
    }
    wake_.notify_one();
    thread_.join();
}

bool Chorus::serves() const {
    return std::ranges::all_of(workers_, [](const auto& worker) { return worker->serves(); });
}

void Chorus::hold(const std::string& target, contract::Opinion opinion, More more) {
    {
        const std::lock_guard lock{mutex_};
        held_[target] = {opinion, std::move(more)};
        at_once_.push_back(target);
    }
    wake_.notify_one();
}

std::size_t Chorus::rounds() const {
    const std::lock_guard lock{mutex_};
    return rounds_;
}

void Chorus::run() {
    auto next = std::chrono::steady_clock::now();
    std::unique_lock lock{mutex_};
    for (;;) {
        wake_.wait_until(lock, next, [this] { return stop_ || !at_once_.empty(); });
        if (stop_) return;
        std::map<std::string, Held> said;
        for (const std::string& target : std::exchange(at_once_, {})) said[target] = held_.at(target);
        const bool all = std::chrono::steady_clock::now() >= next;
        if (all) {
            next = std::chrono::steady_clock::now() + kPace;
            said = held_;
        }
        lock.unlock();
        for (const auto& [target, held] : said) say(target, held);
        lock.lock();
        if (all) ++rounds_;
    }
}

void Chorus::say(const std::string& target, const Held& held) {
    for (const auto& worker : workers_) {
        contract::Ping ping = worker->ping(target, held.opinion);
        if (held.more) held.more(ping);
        try {
            worker->publish(ping);
        } catch (const std::runtime_error&) {
            return;  // NATS is away
        }
    }
}

}  // namespace pgpulse::support
