#pragma once

#include "probe/metrics.hpp"
#include "probe/publisher.hpp"
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
    Loop(Worker::Identity identity, Schedule::Limits limits, Publisher& publisher, Metrics& metrics);
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;
    /// Ends the loop; pings under way are closed and not published.
    ~Loop();

    /// Ends the loop's thread; what was found so far has gone to the publisher.
    void stop();

    /// Takes changes of the targets over; any thread.
    void change_targets(std::vector<TargetChange> changes);

    /// True while the loop turns; any thread.
    [[nodiscard]] bool turning() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace pgpulse::probe
