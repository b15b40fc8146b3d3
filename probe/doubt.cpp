#include "probe/doubt.hpp"

#include <algorithm>
#include <utility>

namespace pgpulse::probe {
namespace {

using std::chrono::nanoseconds;

/// In a mass failure a sample is not taken anew for every failure: one of just now stands for the targets that
/// were failing by then and whose own sample would reach further back, to more of the time before.
constexpr nanoseconds kSampleStands = std::chrono::milliseconds{10};

}  // namespace

void Doubt::add(TargetIndex index, Mono now) {
    remove(index);
    entry(index).added = now;
}

void Doubt::trusted(TargetIndex index, Mono started, Mono now) {
    Target& target = entry(index);
    target.trusted_since = std::max(target.trusted_since, started);
    target.known = true;
    target.failing = false;
    target.doubted = false;
    note(index, now);
}

Doubt::Weight Doubt::weigh(const SoftFailure& failure, Mono now) {
    Target& target = entry(failure.target);
    const nanoseconds window = std::max(2 * failure.timeout, kWindow);
    longest_window_ = std::max(longest_window_, window);
    if (!target.failing) {
        target.failing = true;
        target.began = now;
    }
    target.known = true;
    target.interval = failure.interval;
    note(failure.target, now);
    if (target.doubted) return {true, false};
    if (suspect_) return {false, false};
    if (now - target.began > window) return {true, false};

    const Mono since = std::min(target.began, failure.started);
    if (sampled_ != Mono::min() && now - sampled_ <= kSampleStands) {
        if (target.began <= sampled_ && since <= sampled_since_) return {true, false};
        // One that has just begun is left to its next failure.
        if (target.began > sampled_ && since - sampled_since_ <= kSampleStands) return {false, false};
    }
    const Sample sample = sample_since(since, now, window);
    if (sample.targets < kFewest) {
        if (can_compare(now, window)) return {false, true};
        if (!has_references_ || reference_stands(now)) return {true, false};
        question_due_ = true;
        return {false, false};
    }
    if (2 * sample.failing <= sample.targets) {
        sampled_ = now;
        sampled_since_ = since;
        return {true, false};
    }
    if (reference_stands(now)) return {true, false};
    begin(now, sample.shortest_interval);
    return {false, false};
}

void Doubt::remove(TargetIndex index) {
    if (index < targets_.size()) targets_[index] = Target{};
}

void Doubt::tick(Mono now) {
    while (!ended_.empty() && now - ended_.front().at > longest_window_) ended_.pop_front();
    if (suspect_ && now >= until_) end();
}

bool Doubt::takes_question(Mono now) {
    if (!question_due_ || asking_ || (asked_ != Mono::min() && now - asked_ < kAskInterval)) return false;
    question_due_ = false;
    asking_ = true;
    asked_ = now;
    return true;
}

void Doubt::answered(bool any, Mono now) {
    asking_ = false;
    if (any) {
        answered_ = now;
        question_due_ = false;
        if (std::exchange(blind_, false)) {
            sighted_ = now;
            begun_ = true;
            for (Target& target : targets_) target.failing = target.failing && target.doubted;
        }
        if (suspect_) end();
        return;
    }
    blind_ = true;
    if (!suspect_) begin(now, kAskInterval);
    question_due_ = true;
}

bool Doubt::takes_beginning() { return std::exchange(begun_, false); }

bool Doubt::believed(TargetIndex index) const { return index < targets_.size() && targets_[index].doubted; }

bool Doubt::fit_for_control(TargetIndex index) const {
    return index < targets_.size() && targets_[index].known && !targets_[index].failing;
}

bool Doubt::reference_stands(Mono now) const {
    return answered_ != Mono::min() && now - answered_ <= kAskInterval;
}

Mono Doubt::next_due() const {
    Mono due = suspect_ ? until_ : Mono::max();
    if (question_due_ && !asking_)
        due = std::min(due, asked_ == Mono::min() ? Mono::min() : asked_ + kAskInterval);
    return due;
}

Doubt::Target& Doubt::entry(TargetIndex index) {
    if (index >= targets_.size()) targets_.resize(index + 1);
    targets_[index].present = true;
    return targets_[index];
}

void Doubt::note(TargetIndex index, Mono now) {
    ended_.push_back({now, index});
    while (now - ended_.front().at > longest_window_) ended_.pop_front();
}

Doubt::Sample Doubt::sample_since(Mono since, Mono now, nanoseconds window) {
    ++samples_;
    Sample sample;
    sample.shortest_interval = nanoseconds::max();
    for (auto it = ended_.rbegin(); it != ended_.rend() && it->at >= since; ++it) {
        Target& target = targets_[it->target];
        if (!target.known || target.counted == samples_) continue;
        target.counted = samples_;
        if (target.failing ? target.doubted || now - target.began > window : target.trusted_since < since)
            continue;
        ++sample.targets;
        if (!target.failing) continue;
        ++sample.failing;
        sample.shortest_interval = std::min(sample.shortest_interval, target.interval);
    }
    return sample;
}

/// Whether kFewest targets could be in a sample, soon at the latest.
bool Doubt::can_compare(Mono now, nanoseconds window) const {
    std::size_t found = 0;
    for (const Target& target : targets_) {
        if (!target.present || target.doubted) continue;
        if (!target.known && now - target.added > window) continue;
        if (target.failing && now - target.began > window) continue;
        if (++found == kFewest) return true;
    }
    return false;
}

void Doubt::begin(Mono now, nanoseconds interval) {
    suspect_ = true;
    begun_ = true;
    until_ = has_references_ ? Mono::max() : now + 2 * interval;
    if (has_references_) question_due_ = true;
}

void Doubt::end() {
    suspect_ = false;
    until_ = Mono::max();
    for (Target& target : targets_) target.doubted = target.failing;
}

}  // namespace pgpulse::probe
