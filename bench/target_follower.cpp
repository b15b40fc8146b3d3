#include "bench/target_follower.hpp"

#include "bench/arguments.hpp"
#include "bench/fleet.hpp"
#include "common/contract/names.hpp"
#include "common/contract/ping.hpp"

namespace pgpulse::bench {
namespace {

constexpr std::chrono::seconds kFollowPatience{30};

}  // namespace

TargetFollower::TargetFollower(nats::Connection& connection, std::string target, contract::Via via,
                               std::size_t observers)
    : target_(std::move(target)),
      via_(via),
      observers_(observers),
      pings_(open(connection,
                  // Its partition's of all workers.
                  contract::ping_subject("*", target_), &TargetFollower::take_ping)),
      states_(open(connection, contract::state_subject(target_), &TargetFollower::take_state)) {
    // Who comes later was told of no transition.
    const auto value = stored_value(connection, contract::kStateBucket, target_);
    if (!value) return;
    auto state = contract::decode_state(target_, *value);
    const std::lock_guard lock{mutex_};
    if (state && !state_) state_ = std::move(*state);
}

void TargetFollower::await_up() {
    await("is not up by all of its observers", [this] {
        return state_ && state_->state == contract::Health::up && holding_.size() >= observers_;
    });
    const std::lock_guard lock{mutex_};
    first_down_.reset();
    down_.reset();
}

TargetFollower::Down TargetFollower::await_down() {
    await("is not down", [this] { return first_down_ && down_; });
    const std::lock_guard lock{mutex_};
    holding_.clear();
    return {first_down_.value_or(Clock::time_point{}), down_.value_or(Clock::time_point{})};
}

std::unique_ptr<nats::Subscription> TargetFollower::open(nats::Connection& connection,
                                                         const std::string& subject,
                                                         void (TargetFollower::*take)(const nats::Message&)) {
    auto opened = nats::Subscription::open(
        connection, subject, [this, take](const nats::Message& message) { (this->*take)(message); });
    if (!opened) give_up(opened.error().text);
    return std::move(*opened);
}

void TargetFollower::take_ping(const nats::Message& message) {
    const auto now = Clock::now();
    const auto ping = contract::decode_ping(nats::subject_of(message), nats::payload_of(message));
    if (!ping) return;
    const std::lock_guard lock{mutex_};
    if (ping->opinion == contract::Opinion::down) {
        holding_.erase(ping->worker);
        if (!first_down_) first_down_ = now;
    }
    if (ping->via == via_ && ping->opinion == contract::Opinion::up) holding_.insert(ping->worker);
    changed_.notify_all();
}

void TargetFollower::take_state(const nats::Message& message) {
    const auto now = Clock::now();
    auto state = contract::decode_state(target_, nats::payload_of(message));
    if (!state) return;
    const std::lock_guard lock{mutex_};
    if (state->state == contract::Health::down && !down_) down_ = now;
    state_ = std::move(*state);
    changed_.notify_all();
}

void TargetFollower::await(const char* otherwise, const std::function<bool()>& condition) {
    std::unique_lock lock{mutex_};
    if (!changed_.wait_for(lock, kFollowPatience, condition)) give_up(target_ + " " + otherwise);
}

}  // namespace pgpulse::bench
