#include "consul-bridge/denials.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

namespace pgpulse::consul_bridge {
namespace {

std::size_t place_of(Resource resource) { return static_cast<std::size_t>(resource); }

std::string_view plural(std::size_t place) {
    switch (static_cast<Resource>(place)) {
        case Resource::key:
            return "KV keys";
        case Resource::node:
            return "nodes";
        case Resource::service:
            break;
    }
    return "services and their checks";
}

}  // namespace

void Denials::deny(const std::string& target, const MissingRight& right, Mono now) {
    const auto [it, fresh] = targets_.try_emplace(target);
    Denied& denied = it->second;
    if (!denied.waits) {
        // What was denied the last time may be allowed by now.
        if (!fresh) forget(denied);
        if (waiting_.empty()) retry_at_ = now + kRetry;
        denied.waits = true;
        waiting_.push_back(target);
    }
    const std::size_t place = place_of(right.resource);
    if (std::exchange(denied.lacks.at(place), true)) return;
    Account& account = accounts_.at(place);
    // One that was tried again is an example that still holds.
    if (account.targets++ == 0 || !fresh) account.example = right;
    if (!account.say_at) account.say_at = now + kGather;
}

void Denials::forget(Denied& denied) {
    for (std::size_t place = 0; place < kResources; ++place) {
        if (std::exchange(denied.lacks.at(place), false)) --accounts_.at(place).targets;
    }
}

void Denials::settle(const std::string& target, bool written) {
    const auto it = targets_.find(target);
    if (it == targets_.end()) return;
    forget(it->second);
    targets_.erase(it);
    for (Account& account : accounts_) {
        if (account.targets == 0 && account.say_at) account.say_at = Mono{};
    }
    if (targets_.empty()) waiting_.clear();
    if (written && !waiting_.empty()) {
        try_all_ = true;
        retry_at_ = Mono{};
    }
}

std::vector<std::string> Denials::due(Mono now) {
    std::vector<std::string> names;
    if (waiting_.empty() || now < retry_at_) return names;
    const std::size_t most = std::exchange(try_all_, false) ? waiting_.size() : kAtOnce;
    while (!waiting_.empty() && names.size() < most) {
        std::string name = std::move(waiting_.front());
        waiting_.pop_front();
        const auto it = targets_.find(name);
        if (it == targets_.end() || !std::exchange(it->second.waits, false)) continue;
        names.push_back(std::move(name));
    }
    retry_at_ = now + kRetry;
    return names;
}

std::vector<Denials::Line> Denials::lines(Mono now) {
    std::vector<Line> lines;
    for (std::size_t place = 0; place < kResources; ++place) {
        Account& account = accounts_.at(place);
        if (!account.say_at || now < *account.say_at) continue;
        account.say_at.reset();
        if (account.targets == 0) {
            if (std::exchange(account.told, false)) {
                lines.push_back({false, "Consul allows writing " + std::string{plural(place)} + " again"});
            }
            continue;
        }
        std::string text = "Consul denies " + account.example.deed;
        if (account.targets > 1) {
            text += " (and of " + std::to_string(account.targets - 1) + " more " +
                    (account.targets == 2 ? "target)" : "targets)");
        }
        lines.push_back({true, text + ": the token needs " + account.example.rule});
        account.told = true;
        account.say_at = now + kSayAgain;
    }
    return lines;
}

std::optional<Mono> Denials::next() const {
    std::optional<Mono> next;
    const auto sooner = [&next](Mono at) { next = next ? std::min(*next, at) : at; };
    if (!waiting_.empty()) sooner(retry_at_);
    for (const Account& account : accounts_) {
        if (account.say_at) sooner(*account.say_at);
    }
    return next;
}

}  // namespace pgpulse::consul_bridge
