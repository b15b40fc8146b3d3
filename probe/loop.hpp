#pragma once

#include "probe/metrics.hpp"
#include "probe/open_files.hpp"
#include "probe/publisher.hpp"
#include "probe/references.hpp"
#include "probe/target_set.hpp"
#include "probe/worker.hpp"

#include <functional>
#include <memory>
#include <vector>

namespace pgpulse::probe {

/// The shell around the worker's core: one thread with one event loop that keeps the core's time, makes the
/// pings it asks for and hands their results to the publisher.
///
/// After each wait the loop reads every socket that is ready before it tells the core the time, so that an
/// answer that arrived in time is never taken for silence, however late the loop woke up.
class Loop {
  public:
    Loop(Worker::Identity identity, Schedule::Limits limits, std::vector<Reference> references,
         Publisher& publisher, Metrics& metrics, const OpenFiles& files = {},
         SelfDoubt self_doubt = SelfDoubt::on);
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;
    /// Ends the loop; pings under way are closed and not published.
    ~Loop();

    /// Ends the loop's thread; what was found so far has gone to the publisher.
    void stop();

    /// Takes changes of the targets over, in order and a few a turn, so that many of them hold no ping up;
    /// any thread.
    void change_targets(std::vector<TargetChange> changes);

    /// The probes that share the targets, this one included; any thread.
    void set_probes(std::vector<std::string> probes);

    /// Somebody asks for a ping of this target now; any thread.
    void call(std::string target);

    /// True where the loop turned within this time; any thread.
    [[nodiscard]] bool turned_within(std::chrono::milliseconds time) const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace pgpulse::probe
