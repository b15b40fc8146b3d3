#include "ctl/live_table.hpp"

#include "ctl/state_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <vector>

namespace pgpulse::ctl {
namespace {

using contract::Health;
using contract::State;

constexpr std::size_t kLinesAbove = 3;  // headline, a blank, the table's head
constexpr std::array kByTrouble{Health::down, Health::unknown, Health::up};

std::size_t trouble(Health health) {
    return static_cast<std::size_t>(std::ranges::find(kByTrouble, health) - kByTrouble.begin());
}

std::string counts(const std::map<std::string, State>& states) {
    std::string text = fmt::format("{} target{}", states.size(), states.size() == 1 ? "" : "s");
    for (const Health health : kByTrouble) {
        const auto count = std::ranges::count_if(
            states, [health](const auto& entry) { return entry.second.state == health; });
        if (count > 0) text += fmt::format(", {} {}", count, contract::to_string(health));
    }
    return text;
}

/// No longer than that, where each character is one column: the contract's words and names are ASCII.
std::string cut(std::string text, std::size_t columns) {
    if (text.size() > columns) text.resize(columns);
    return text;
}

/// The line with its state in colour, which takes no columns.
std::string coloured(std::string line, std::size_t at, const State& state) {
    const std::string word{contract::to_string(state.state)};
    if (at + word.size() > line.size()) return line;
    return line.substr(0, at) + colour_of(state.state) + word + "\x1b[0m" + line.substr(at + word.size());
}

}  // namespace

void LiveTable::reset() {
    coming_.clear();
    loading_ = true;
}

void LiveTable::loaded() {
    if (loading_) states_ = std::move(coming_);
    coming_.clear();
    loading_ = false;
}

void LiveTable::take(State state) {
    std::string target = state.target;
    (loading_ ? coming_ : states_).insert_or_assign(std::move(target), std::move(state));
}

void LiveTable::remove(const std::string& target) { (loading_ ? coming_ : states_).erase(target); }

void LiveTable::scroll(std::ptrdiff_t rows) {
    const auto wanted = static_cast<std::ptrdiff_t>(offset_) + rows;
    offset_ = static_cast<std::size_t>(std::max<std::ptrdiff_t>(wanted, 0));
}

std::string LiveTable::frame(ScreenSize size, const std::string& notice, bool colours) {
    std::vector<const State*> rows;
    rows.reserve(states_.size());
    for (const auto& [target, state] : states_) rows.push_back(&state);
    std::ranges::sort(rows, [](const State* one, const State* other) {
        return std::tuple{trouble(one->state), other->since, one->target} <
               std::tuple{trouble(other->state), one->since, other->target};
    });
    const std::size_t fit = size.rows > kLinesAbove ? size.rows - kLinesAbove : 0;
    offset_ = std::min(offset_, rows.size() > fit ? rows.size() - fit : 0);
    const auto first = rows.begin() + static_cast<std::ptrdiff_t>(offset_);
    rows = {first, first + static_cast<std::ptrdiff_t>(std::min(fit, rows.size() - offset_))};

    std::vector<State> shown;
    shown.reserve(rows.size());
    for (const State* state : rows) shown.push_back(*state);
    const std::string table = state_table(shown, false);
    const std::size_t state_column = table.find("STATE");

    std::string screen =
        cut("pgpulse  " + counts(states_) + (notice.empty() ? "  (q ends)" : "  " + notice), size.columns) +
        "\n\n";
    std::size_t line = 0;
    for (std::size_t at = 0; at < table.size(); ++line) {
        const std::size_t end = table.find('\n', at);
        std::string text = cut(table.substr(at, end - at), size.columns);
        if (colours && line > 0) text = coloured(std::move(text), state_column, shown[line - 1]);
        screen += text + (line < shown.size() ? "\n" : "");
        at = end + 1;
    }
    return screen;
}

}  // namespace pgpulse::ctl
