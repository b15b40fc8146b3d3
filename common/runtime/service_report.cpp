#include "common/runtime/service_report.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace pgpulse::runtime {
namespace {

constexpr std::chrono::microseconds kLook{1'000'000};
constexpr std::chrono::microseconds kLookWhileStarting{50'000};

std::string status_of(const std::optional<ServiceReport::Facts>& facts) {
    if (!facts) return "Starting: NATS has not answered yet";
    if (!facts->turning) return "The working loop stands still";
    if (facts->not_ready_because.empty()) return "Ready";
    std::string status = "Waiting: " + facts->not_ready_because;
    // A second line would be another message.
    std::ranges::replace(status, '\n', ' ');
    return status;
}

}  // namespace

ServiceReport::ServiceReport(std::optional<std::chrono::microseconds> watchdog, Mono began)
    : began_(began), pause_(kLook) {
    if (!watchdog) return;
    const auto half = *watchdog / 2;
    looks_a_ping_ = static_cast<int>((half + kLook - std::chrono::microseconds{1}) / kLook);
    looks_a_ping_ = std::max(looks_a_ping_, 1);
    pause_ = half / looks_a_ping_;
}

std::string ServiceReport::look(const std::optional<Facts>& facts, Mono now) {
    std::string text;
    const bool turning = facts && facts->turning;
    // Alive as far as anybody can tell: before there is a loop nothing can hang but the start.
    const bool alive = turning || !facts;
    if (!ready_told_ && (turning || (!facts && now - began_ >= kStartPatience))) {
        ready_told_ = true;
        text += "READY=1\n";
    }
    if (const std::string status = status_of(facts); status != status_told_) {
        status_told_ = status;
        text += "STATUS=" + status + "\n";
    }
    // The manager counts from READY=1.
    if (looks_a_ping_ > 0 && ready_told_ && ++looks_ >= looks_a_ping_ && alive) {
        looks_ = 0;
        text += "WATCHDOG=1\n";
    }
    return text;
}

std::chrono::microseconds ServiceReport::pause() const {
    return ready_told_ ? pause_ : std::min(pause_, kLookWhileStarting);
}

void ServiceReport::lost() {
    ready_told_ = false;
    status_told_.clear();
}

std::string ServiceReport::reloading(Mono now) {
    const auto since_boot = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch());
    return "RELOADING=1\nMONOTONIC_USEC=" + std::to_string(since_boot.count()) + "\n";
}

std::string ServiceReport::reloaded() { return "READY=1\n"; }

std::string ServiceReport::stopping() { return "STOPPING=1\nSTATUS=Stopping\n"; }

std::optional<std::chrono::microseconds> parse_watchdog(const std::string& microseconds,
                                                        const std::string& pid, long own_pid) {
    if (!pid.empty() && pid != std::to_string(own_pid)) return std::nullopt;
    std::int64_t value = 0;
    const char* const end = microseconds.data() + microseconds.size();
    const auto [parsed, error] = std::from_chars(microseconds.data(), end, value);
    if (error != std::errc{} || parsed != end || value < 2) return std::nullopt;
    return std::chrono::microseconds{value};
}

}  // namespace pgpulse::runtime
