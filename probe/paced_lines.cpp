#include "probe/paced_lines.hpp"

#include <algorithm>
#include <utility>

namespace pgpulse::probe {

void PacedLines::add(Level level, std::string text) {
    if (waiting_.size() >= kMostWaiting) {
        ++left_out_;
        return;
    }
    waiting_.push_back({level, std::move(text)});
}

std::optional<PacedLines::Line> PacedLines::next(Mono now) {
    if (waiting_.empty() || now < next_at_) return std::nullopt;
    next_at_ = std::max(next_at_, now - kAtOnce * kPace) + kPace;
    Line line = std::move(waiting_.front());
    waiting_.pop_front();
    if (waiting_.empty() && left_out_ != 0)
        line.text += " (" + std::to_string(std::exchange(left_out_, 0)) + " lines like this left out)";
    return line;
}

}  // namespace pgpulse::probe
