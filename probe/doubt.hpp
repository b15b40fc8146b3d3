#pragma once

#include "probe/ping_result.hpp"

#include <chrono>
#include <cstddef>
#include <deque>
#include <vector>

// Pure: whether this observer can trust its eyes. What it cannot reach may be gone, or the observer itself is
// blind: a cable pulled, a full connection table, a firewall's new rule.
//
// A soft failure (silence, a reset, no route) begins a soft row of its target; any other result ends the row.
// The sample of a failure is the newest results of the targets that ended since the first ping of its row had
// failed, or since its own ping started where that is earlier: several pings of one target may be under way
// together. Of the successes it takes those of pings that started since then: the observer may have been cut
// off before this ping, though it was not when the first of the row started. The window is kWindow, or twice the ping's own timeout where that is longer: a control that starts when the first
// failure has ended needs a timeout of its own to fail.
//
// The rules, each tested under its name:
//   hard_is_no_doubt      Hard evidence comes from the target's own host: it is never weighed here.
//   alone_is_trusted      With fewer than kFewest targets that are not failing for long, and without
//                         references, nothing can be compared: every failure stands. A new target counts for
//                         a window before its first result.
//   wait_for_sample       A soft failure decides nothing before kFewest targets are in its sample. While they
//                         are not, other targets are to be pinged (`controls_wanted`); when a window has
//                         passed it stands all the same.
//   majority_is_doubt     When more than half of the sample has begun to fail softly within it, the observer
//                         is suspect.
//   two_intervals         Without references suspicion lasts two intervals, the shortest of those that fail.
//                         What fails still when it ends is believed, and not doubted again before it has
//                         succeeded once.
//   old_failures_aside    Who has failed softly for longer than the window, or was doubted before, is in no
//                         sample.
//   references_decide     With references suspicion lasts as long as none of them answers: one that does ends
//                         it at once, and what fails is believed. With references, fewer than kFewest targets
//                         are doubted as well, until one has answered.
//   blind_until_then      Where a question has found no reference and a later one does, the observer was blind
//                         in between: failing rows begin anew, and a ping that started before the answer and
//                         fails softly says nothing, when it ends after it too.
namespace pgpulse::probe {

class Doubt {
  public:
    static constexpr std::size_t kFewest = 5;
    static constexpr std::chrono::nanoseconds kWindow = std::chrono::seconds{1};
    /// How often references are asked while none answers, and how long an answer counts.
    static constexpr std::chrono::nanoseconds kAskInterval = std::chrono::milliseconds{250};

    explicit Doubt(bool has_references) : has_references_(has_references) {}

    /// A target is to be pinged from now on: its first result is worth waiting for.
    void add(TargetIndex target, Mono now);

    /// A ping that started then ended with anything but a soft failure that says something about the target.
    void trusted(TargetIndex target, Mono started, Mono now);

    struct Weight {
        bool decides = true;           // the failure may settle an opinion
        bool controls_wanted = false;  // ping others now, so that there is a sample
    };

    /// A ping ended with a soft failure.
    struct SoftFailure {
        TargetIndex target = 0;
        Mono started{};
        std::chrono::nanoseconds timeout{};
        std::chrono::nanoseconds interval{};
    };
    Weight weigh(const SoftFailure& failure, Mono now);

    void remove(TargetIndex target);

    /// Takes the time into account: suspicion may end.
    void tick(Mono now);

    /// Whether the references are to be asked now; counts as asked.
    bool takes_question(Mono now);
    /// What became of the question: whether any reference answered.
    void answered(bool any, Mono now);

    [[nodiscard]] bool suspect() const { return suspect_; }
    /// Whether suspicion began, or the observer turned out to have been blind, since the last call: failing
    /// rows are to begin anew.
    bool takes_beginning();

    /// Whether a soft failure of a ping that started then is known to be the observer's own.
    [[nodiscard]] bool blind_at(Mono started) const { return started < sighted_; }

    /// Whether the target was failing when suspicion ended and has not succeeded since: its failures stand.
    [[nodiscard]] bool believed(TargetIndex target) const;

    /// Whether the target is healthy as far as this observer knows, and so is fit for a control.
    [[nodiscard]] bool fit_for_control(TargetIndex target) const;

    /// When `tick` or `takes_question` next has something to do; Mono::max(): not by time alone.
    [[nodiscard]] Mono next_due() const;

  private:
    struct Target {
        bool present = false;
        bool known = false;    // a result was heard
        bool failing = false;  // its newest result is a soft failure
        bool doubted = false;  // was failing when suspicion ended
        Mono added{};
        Mono trusted_since{};  // the start of its newest ping that did not fail softly
        Mono began{};          // the end of the first ping of its row
        std::chrono::nanoseconds interval{};
        std::uint64_t counted = 0;  // the sample it was counted in last
    };
    struct Ended {
        Mono at;
        TargetIndex target;
    };
    struct Sample {
        std::size_t targets = 0;
        std::size_t failing = 0;
        std::chrono::nanoseconds shortest_interval{};
    };

    Target& entry(TargetIndex target);
    void note(TargetIndex target, Mono now);
    Sample sample_since(Mono since, Mono now, std::chrono::nanoseconds window);
    [[nodiscard]] bool can_compare(Mono now, std::chrono::nanoseconds window) const;
    [[nodiscard]] bool reference_stands(Mono now) const;
    void begin(Mono now, std::chrono::nanoseconds interval);
    void end();

    bool has_references_;
    bool suspect_ = false;
    bool begun_ = false;
    Mono until_ = Mono::max();
    bool asking_ = false;        // a question is open
    bool question_due_ = false;  // one is to be asked as soon as the last one is old enough
    Mono asked_ = Mono::min();
    Mono answered_ = Mono::min();  // when a reference answered last
    bool blind_ = false;           // the newest question found none
    Mono sighted_ = Mono::min();   // when blindness ended last
    std::vector<Target> targets_;
    std::deque<Ended> ended_;  // in the order of time, of the longest window so far
    std::chrono::nanoseconds longest_window_ = kWindow;
    std::uint64_t samples_ = 0;
    Mono sampled_ = Mono::min();  // the newest sample that was large enough and showed no doubt
    Mono sampled_since_{};        // and how far back it reached
};

}  // namespace pgpulse::probe
