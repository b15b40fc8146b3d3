#pragma once

#include "common/nats/bucket.hpp"
#include "common/nats/bucket_writer.hpp"
#include "common/nats/connection.hpp"
#include "common/runtime/logging.hpp"
#include "common/runtime/mailbox.hpp"
#include "probe/assignment.hpp"
#include "probe/target_set.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <variant>
#include <vector>

namespace pgpulse::probe {

/// Follows the bucket `health_targets`, brings the targets file into it (target_set.hpp has the rules) and
/// tells which targets are this worker's (assignment.hpp), on a thread of its own. Waits for NATS as long as
/// it takes.
class TargetsFeed {
  public:
    /// Called on the feed's thread with changes in their order.
    using OnChanges = std::function<void(std::vector<TargetChange>)>;

    /// `worker` is this worker's id. Nothing is its own before `members`. `replicas`: of the bucket where this
    /// program creates it, 1 to 5.
    TargetsFeed(nats::Connection& connection, std::string worker,
                std::vector<contract::TargetDefinition> file, OnChanges on_changes, int replicas);
    TargetsFeed(const TargetsFeed&) = delete;
    TargetsFeed& operator=(const TargetsFeed&) = delete;
    /// No call after it returned. Can take two seconds when NATS is frozen.
    ~TargetsFeed();

    /// The probes that serve, this one among them; any thread.
    void members(std::vector<std::string> probes);

    /// The file was read again.
    void reload(std::vector<contract::TargetDefinition> file);

    /// True when the bucket was read once.
    [[nodiscard]] bool known() const { return known_.load(); }

  private:
    struct Reload {
        std::vector<contract::TargetDefinition> file;
    };
    struct Members {
        std::vector<std::string> probes;
    };
    struct Stop {};
    using Event = std::variant<nats::BucketEvent, nats::WriteOutcome, Reload, Members, Stop>;

    void run();
    void make_bucket();
    void write();
    std::optional<TargetChange> take(nats::BucketEvent& event);
    [[nodiscard]] std::optional<TargetChange> as_assigned(TargetChange change);
    void take(Members& members, std::vector<TargetChange>& changes);
    void take(const nats::WriteOutcome& outcome);

    nats::Connection& connection_;
    nats::BucketMaker bucket_;
    OnChanges on_changes_;
    TargetSet set_;
    Assignment assignment_;
    std::chrono::steady_clock::time_point next_look_{};
    std::chrono::steady_clock::time_point next_write_{};
    runtime::LineLimit failed_lines_{std::chrono::seconds{10}};
    bool file_reported_ = true;
    std::atomic<bool> known_{false};
    runtime::Mailbox<Event> mailbox_;
    std::unique_ptr<nats::BucketWriter> writer_;
    std::unique_ptr<nats::BucketWatch> watch_;
    std::thread thread_;
};

}  // namespace pgpulse::probe
