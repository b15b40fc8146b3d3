#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgpulse::aggregator {

/// The time in which this aggregator was able to hear pings. Freshness runs on it, so that neither a cut from
/// NATS nor a stop of this process makes anybody look silent: it stands still while the aggregator does not
/// hear its own echo, and across any gap between two ticks that is longer than `kLongestGap`. The echo is of two
/// kinds: on core NATS, which a server that is cut off from its cluster gives as well, and through JetStream, which it
/// does not.
class HearingClock {
  public:
    using Mono = std::chrono::steady_clock::time_point;
    using Time = std::chrono::milliseconds;

    static constexpr std::chrono::milliseconds kLongestGap{250};
    static constexpr std::chrono::milliseconds kEchoFreshness{1000};

    /// What it published came back.
    void echo(Mono now) { echoed_ = now; }
    /// What was just stored, by whomever, was told.
    void stored_echo(Mono now) { stored_ = now; }
    void tick(Mono now);

    /// As of the last tick.
    [[nodiscard]] Time now() const { return std::chrono::duration_cast<Time>(heard_); }

  private:
    Mono echoed_{};
    Mono stored_{};
    Mono ticked_{};
    std::chrono::steady_clock::duration heard_{0};
};

/// One start of one worker, as seen from here: how late its pings are, and which of them were seen already.
/// No wall clock takes part: lateness is the receipt on our monotonic clock minus the worker's monotonic
/// time, less the smallest such difference of the last one to two minutes (older ones are forgotten, because
/// two clocks drift apart).
class WorkerRun {
  public:
    using Time = std::chrono::milliseconds;

    enum class Standing { current, ended };

    /// A ping of `run` arrived: `ended` where it belongs to a run that another has followed, one of the last
    /// `kEndedRuns`.
    Standing meet(std::string_view run);

    /// The lateness of a ping of the current run. Nullopt for one that claims to come from the future: quicker
    /// than the quickest by more than `kFarthestAhead`. The next one that is as far ahead is believed: then it was
    /// the earlier pings that were held up, by as much.
    std::optional<Time> lateness(Time receipt, Time mono);

    static constexpr Time kFarthestAhead{60'000};
    static constexpr std::size_t kEndedRuns = 8;

  private:
    static constexpr Time kWindow{60'000};
    static constexpr Time kNone{std::numeric_limits<std::int64_t>::max()};

    std::string run_;
    std::vector<std::string> ended_runs_;  // the newest last
    Time window_began_{0};
    Time smallest_{kNone};
    Time smallest_before_{kNone};
    Time ahead_{kNone};  // the difference of a ping that was not believed
};

}  // namespace pgpulse::aggregator
