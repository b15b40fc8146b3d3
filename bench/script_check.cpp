#include "bench/script_check.hpp"

#include "bench/arguments.hpp"
#include "bench/database_server.hpp"

#include <algorithm>
#include <utility>

namespace pgpulse::bench {
namespace {

constexpr std::chrono::seconds kPatience{30};

}  // namespace

ScriptCheck::ScriptCheck(std::string pg_isready, std::string port)
    : pg_isready_(std::move(pg_isready)), port_(std::move(port)), thread_([this] { run(); }) {}

ScriptCheck::~ScriptCheck() {
    {
        const std::lock_guard lock{mutex_};
        stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

void ScriptCheck::await_up() {
    std::unique_lock lock{mutex_};
    if (!changed_.wait_for(lock, kPatience, [this] { return up_; }))
        give_up("pg_isready: port " + port_ + " is not up");
}

ScriptCheck::Clock::time_point ScriptCheck::await_down() {
    std::unique_lock lock{mutex_};
    if (!changed_.wait_for(lock, kPatience, [this] { return down_.has_value(); }))
        give_up("pg_isready: port " + port_ + " is not down");
    return down_.value_or(Clock::time_point{});
}

void ScriptCheck::run() {
    int failures = 0;
    auto next = Clock::now();
    for (;;) {
        // libpq makes two seconds of it, its least; pg_isready's own default of three would be no match for ours.
        const bool accepts =
            run_program({pg_isready_, "-h", "127.0.0.1", "-p", port_, "-U", "postgres", "-t", "1"}) == 0;
        std::unique_lock lock{mutex_};
        failures = accepts ? 0 : failures + 1;
        up_ = accepts;
        if (accepts) down_.reset();
        if (failures == kFall) down_ = Clock::now();
        changed_.notify_all();
        // A run that took longer than the interval is followed by the next at once.
        next = std::max(next + kInterval, Clock::now());
        if (changed_.wait_until(lock, next, [this] { return stop_; })) return;
    }
}

}  // namespace pgpulse::bench
