#include "ctl/timeline.hpp"

#include "ctl/state_table.hpp"
#include "ctl/text_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace pgpulse::ctl {
namespace {

using contract::Health;
using std::chrono::microseconds;

/// Until when what an entry says is so.
contract::WallTime end_of(const std::vector<TimelineEntry>& entries, std::size_t index,
                          contract::WallTime to) {
    return index + 1 < entries.size() ? std::min(entries[index + 1].stored_at, to) : to;
}

/// "state, role": what the transition changed.
std::string changes_of(const contract::State& state) {
    std::string words;
    for (std::size_t i = 0; i < contract::kChanges; ++i) {
        if (!state.changed.test(i)) continue;
        const auto change = static_cast<contract::Change>(i);
        words += words.empty() ? "" : ", ";
        words += to_string(change);
        if (change == contract::Change::maintenance) words += state.maintenance ? " on" : " off";
    }
    return words.empty() ? "-" : words;
}

}  // namespace

TimeInStates time_in_states(const std::vector<TimelineEntry>& entries, contract::WallTime from,
                            contract::WallTime to) {
    TimeInStates times{from, to, {}, {}, {}, 0, {}};
    microseconds outage{0};
    bool was_down = false;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        const contract::WallTime begin = std::max(entries[i].stored_at, from);
        const contract::WallTime end = end_of(entries, i, to);
        const auto& state = entries[i].state;
        const bool down = state && state->state == Health::down;
        if (end <= begin) {
            was_down = down;
            continue;
        }
        const auto length = std::chrono::duration_cast<microseconds>(end - begin);
        if (!down) outage = microseconds{0};
        if (state) (state->state == Health::up ? times.up : down ? times.down : times.unknown) += length;
        if (down) {
            if (!was_down || outage.count() == 0) ++times.outages;
            outage += length;
            times.longest_outage = std::max(times.longest_outage, outage);
        }
        was_down = down;
    }
    return times;
}

std::string length_in_words(microseconds length) {
    if (length < std::chrono::seconds{1}) return fmt::format("{}ms", length.count() / 1000);
    constexpr std::array<std::pair<std::int64_t, char>, 4> kUnits{
        {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}}};
    std::int64_t left = length.count() / 1'000'000;
    std::string words;
    int shown = 0;
    for (const auto& [seconds, unit] : kUnits) {
        const std::int64_t count = left / seconds;
        left %= seconds;
        if (count == 0 && shown == 0) continue;
        if (count > 0) words += fmt::format("{}{}{}", words.empty() ? "" : " ", count, unit);
        if (++shown == 2) break;
    }
    return words;
}

std::string in_words(const TimeInStates& times) {
    const microseconds all = times.up + times.down + times.unknown;
    if (all.count() == 0) return "not observed in this time";
    // Never 100 % where it was not up all the time.
    double share = 100.0 * static_cast<double>(times.up.count()) / static_cast<double>(all.count());
    if (times.up < all) share = std::min(share, 99.999);
    std::string words =
        fmt::format("up {:.3f} % of the {} that it was observed", share, length_in_words(all));
    if (times.unknown.count() > 0) words += fmt::format(", unknown for {}", length_in_words(times.unknown));
    if (times.outages == 0) return words + "; no outage";
    return words + fmt::format("; {} outage{}, the longest {}", times.outages, times.outages == 1 ? "" : "s",
                               length_in_words(times.longest_outage));
}

std::string timeline_table(const std::vector<TimelineEntry>& entries, contract::WallTime from,
                           contract::WallTime to, bool colours) {
    std::vector<std::vector<std::string>> rows{
        {"TIME", "STATE", "FOR", "REASON", "CHANGED", "OBSERVERS", "DECIDED BY"}};
    std::vector<std::optional<Health>> states;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        const TimelineEntry& entry = entries[i];
        if (entry.stored_at < from) continue;
        const auto length =
            std::chrono::duration_cast<microseconds>(end_of(entries, i, to) - entry.stored_at);
        const std::string time = contract::to_rfc3339(entry.stored_at);
        if (entry.state) {
            const contract::State& state = *entry.state;
            rows.push_back({time, std::string{to_string(state.state)},
                            length_in_words(std::max(length, microseconds{0})),
                            std::string{to_string(state.reason)}, changes_of(state), observers_of(state),
                            state.decided_by});
            states.emplace_back(state.state);
        } else {
            rows.push_back({time, "deleted", "-", "-", "-", "-", "-"});
            states.emplace_back();
        }
    }
    return text_table(rows, [&](std::size_t row, std::size_t column) {
        return colours && row > 0 && column == 1 && states[row - 1] ? colour_of(*states[row - 1]) : "";
    });
}

}  // namespace pgpulse::ctl
