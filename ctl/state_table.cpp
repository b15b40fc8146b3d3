#include "ctl/state_table.hpp"

#include "ctl/text_table.hpp"

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace pgpulse::ctl {
namespace {

constexpr std::size_t kStateColumn = 1;

std::string reason_of(const contract::State& state) {
    std::string text{contract::to_string(state.reason)};
    if (state.maintenance) text += ", maintenance";
    for (std::size_t i = 0; i < state.conflicts_with.size(); ++i) {
        text += (i == 0 ? ", conflicts with " : " ") + state.conflicts_with[i];
    }
    return text;
}

/// The median of what the voters measured when it was decided.
std::string rtt_of(const contract::State& state) {
    std::vector<std::int64_t> times;
    for (const contract::Evidence& voter : state.evidence) {
        if (voter.rtt_us) times.push_back(*voter.rtt_us);
    }
    if (times.empty()) return "-";
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::ranges::nth_element(times, middle);
    return fmt::format("{:.1f} ms", static_cast<double>(*middle) / 1000);
}

}  // namespace

std::string observers_of(const contract::State& state) {
    const auto opinion = state.state == contract::Health::up     ? contract::Opinion::up
                         : state.state == contract::Health::down ? contract::Opinion::down
                                                                 : contract::Opinion::undecided;
    const auto agreeing = std::ranges::count(state.evidence, opinion, &contract::Evidence::opinion);
    return std::to_string(agreeing) + "/" + std::to_string(state.evidence.size());
}

const char* colour_of(contract::Health state) {
    switch (state) {
        case contract::Health::up:
            return "\x1b[32m";
        case contract::Health::down:
            return "\x1b[31m";
        case contract::Health::unknown:
            return "\x1b[33m";
    }
    return "";
}

std::string state_table(const std::vector<contract::State>& states, bool colours) {
    std::vector<std::vector<std::string>> rows{
        {"TARGET", "STATE", "SINCE", "ROLE", "REASON", "OBSERVERS", "RTT", "TRANSITION"}};
    for (const contract::State& state : states) {
        rows.push_back({state.target, std::string{contract::to_string(state.state)},
                        contract::to_rfc3339(state.since),
                        state.role ? std::string{contract::to_string(*state.role)} : "-", reason_of(state),
                        observers_of(state), rtt_of(state), std::to_string(state.transition)});
    }
    return text_table(rows, [&](std::size_t row, std::size_t column) {
        return colours && row > 0 && column == kStateColumn ? colour_of(states[row - 1].state) : "";
    });
}

bool colours_wanted() {
    const char* no_color = std::getenv("NO_COLOR");
    return isatty(STDOUT_FILENO) == 1 && (no_color == nullptr || *no_color == '\0');
}

}  // namespace pgpulse::ctl
