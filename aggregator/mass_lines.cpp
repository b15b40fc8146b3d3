#include "aggregator/mass_lines.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace pgpulse::aggregator {

bool MassLines::allow(std::string_view kind, Mono now) {
    // One whose sum was not taken yet goes on.
    if (lines_ == 0 || (now - since_ >= kWindow && left_out_.empty())) {
        since_ = now;
        lines_ = 0;
    }
    if (++lines_ <= kAtOnce) return true;
    const auto found = left_out_.find(kind);
    ++(found != left_out_.end() ? found : left_out_.emplace(kind, 0).first)->second;
    return false;
}

std::optional<std::string> MassLines::take_sum(Mono now) {
    if (left_out_.empty() || now - since_ < kWindow) return std::nullopt;
    std::vector<std::pair<std::string, std::uint64_t>> kinds{left_out_.begin(), left_out_.end()};
    std::ranges::stable_sort(kinds, std::greater<>{}, [](const auto& kind) { return kind.second; });
    std::string each;
    for (const auto& [kind, count] : kinds) {
        if (!each.empty()) each += ", ";
        each += std::to_string(count) + " " + kind;
    }
    std::string sum = std::to_string(lines_ - kAtOnce) + " further lines in " +
                      std::to_string(std::chrono::duration_cast<std::chrono::seconds>(kWindow).count()) +
                      " s are left out: " + each;
    left_out_.clear();
    lines_ = 0;
    return sum;
}

}  // namespace pgpulse::aggregator
