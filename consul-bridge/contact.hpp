#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>

namespace pgpulse::consul_bridge {

using Mono = std::chrono::steady_clock::time_point;

/// Whether Consul answers, and when it is tried again while it does not. Pure.
class Contact {
  public:
    static constexpr std::chrono::milliseconds kFirstPause{1000};
    static constexpr std::chrono::milliseconds kLongestPause{5000};
    /// Consul has to take all requests for so long before it counts as no longer overloaded.
    static constexpr std::chrono::milliseconds kCalm{10'000};

    [[nodiscard]] bool present() const { return present_; }

    /// Consul did not answer last, or never has though it was asked; one that is only overloaded is not away.
    [[nodiscard]] bool away() const { return !present_ && lost_at_.has_value(); }

    /// True when one request may try whether Consul is back; `open` requests are under way.
    [[nodiscard]] bool may_try(std::size_t open, Mono now) const {
        return !present_ && open == 0 && now >= retry_at_;
    }

    [[nodiscard]] Mono retry_at() const { return retry_at_; }

    /// Call when such a request is sent.
    void trying() { trying_ = true; }

    /// Consul answered. The time it was away, if it was; empty also at the first contact, and where it was only
    /// overloaded.
    std::optional<std::chrono::nanoseconds> heard(Mono now) {
        if (present_) return std::nullopt;
        present_ = true;
        trying_ = false;
        pause_ = kFirstPause;
        std::optional<std::chrono::nanoseconds> away;
        if (ever_ && lost_at_) away = now - *lost_at_;
        ever_ = true;
        lost_at_.reset();
        return away;
    }

    /// A request failed. True when that is news: the first failure since Consul last answered, or at all.
    /// Nothing is sent for `pause` at least.
    bool lost(Mono now, std::chrono::milliseconds pause = {}) {
        const bool news = !lost_at_;
        if (news) {
            lost_at_ = now;
            pause_ = kFirstPause;
        } else if (trying_) {
            pause_ = std::min(2 * pause_, kLongestPause);
        }
        present_ = false;
        trying_ = false;
        retry_at_ = now + std::max(pause_, pause);
        return news;
    }

    /// Consul answered that it takes no more requests now. True when that is news, which it is again only after
    /// `calm`. What it holds is not in doubt.
    bool overloaded(Mono now, std::chrono::milliseconds pause) {
        const bool news = !overloaded_at_;
        if (news) overloaded_at_ = now;
        last_overloaded_ = now;
        if (trying_) pause_ = std::min(2 * pause_, kLongestPause);
        present_ = false;
        trying_ = false;
        retry_at_ = now + std::max(pause_, pause);
        return news;
    }

    /// How long Consul was overloaded, once that is over.
    std::optional<std::chrono::nanoseconds> calm(Mono now) {
        if (!overloaded_at_ || !present_ || now - last_overloaded_ < kCalm) return std::nullopt;
        const auto time = last_overloaded_ - *overloaded_at_;
        overloaded_at_.reset();
        return time;
    }

    /// When `calm` has something to say, if Consul is present then.
    [[nodiscard]] std::optional<Mono> calm_at() const {
        if (!overloaded_at_ || !present_) return std::nullopt;
        return last_overloaded_ + kCalm;
    }

    /// True once Consul has answered.
    [[nodiscard]] bool ever() const { return ever_; }

  private:
    bool present_ = false;
    bool ever_ = false;
    bool trying_ = false;
    std::optional<Mono> lost_at_;
    std::optional<Mono> overloaded_at_;
    Mono last_overloaded_{};
    Mono retry_at_{};
    std::chrono::milliseconds pause_{kFirstPause};
};

}  // namespace pgpulse::consul_bridge
