#pragma once

#include "common/contract/refusal.hpp"
#include "common/nats/bucket.hpp"
#include "common/nats/connection.hpp"
#include "common/runtime/clock.hpp"
#include "common/runtime/http_endpoint.hpp"
#include "common/runtime/logging.hpp"
#include "common/runtime/mailbox.hpp"
#include "common/runtime/membership_feed.hpp"
#include "common/runtime/service_manager.hpp"
#include "consul-bridge/consul_pool.hpp"
#include "consul-bridge/drift_alarm.hpp"
#include "consul-bridge/drift_watch.hpp"
#include "consul-bridge/metrics.hpp"
#include "consul-bridge/mirror.hpp"
#include "consul-bridge/options.hpp"
#include "consul-bridge/pipeline_health.hpp"
#include "consul-bridge/self_registration.hpp"
#include "consul-bridge/standing_aside.hpp"
#include "consul-bridge/webhook/webhooks.hpp"

#include <atomic>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace pgpulse::consul_bridge {

/// The shell around the mirror: watches the buckets, carries out what the mirror decides, and tells
/// monitoring. `run` is the one thread that owns the mirror.
class Bridge {
  public:
    /// `manager` is told how the bridge is.
    Bridge(Options options, runtime::ServiceManager& manager);
    Bridge(const Bridge&) = delete;
    Bridge& operator=(const Bridge&) = delete;

    /// Works until `stop`. Returns the program's exit code: 0, or 2 where an option cannot be used.
    int run();

    /// From any thread.
    void stop();

  private:
    struct Defined {
        contract::TargetDefinition definition;
    };
    struct Undefined {
        std::string target;
    };
    struct Observed {
        contract::State state;
        Stamp stamp;
    };
    struct Forgotten {
        std::string target;
    };
    struct TransactionEnded {
        RequestId id = 0;
        TransactionOutcome outcome;
    };
    struct ReadEnded {
        RequestId id = 0;
        tl::expected<Snapshot, Unreachable> snapshot;
    };
    struct BucketAnswered {
        RequestId id = 0;
        std::optional<BucketState> state;
    };
    struct MembersChanged {
        cluster::Membership::View view;
    };
    struct Moved {
        Table table{};
        std::uint64_t index = 0;
    };
    /// Whether the check of another bridge passes.
    struct Others {
        bool one_passes = false;
    };
    struct NoAnswer {
        std::string how;
    };
    struct Stop {
        int code = 0;  // to exit with
    };
    using Event = std::variant<Defined, Undefined, Observed, Forgotten, TransactionEnded, ReadEnded,
                               BucketAnswered, MembersChanged, Others, NoAnswer, Moved, Stop>;

    void on_definition(nats::BucketEvent event);
    void on_state(nats::BucketEvent event);
    void refuse(const std::string& bucket, const std::string& cause, const std::string& detail,
                runtime::LineLimit& limit);
    void handle(Event& event, runtime::Mono now);
    void carry_out(std::vector<Action> actions, runtime::Mono now);
    void show(runtime::Mono now);
    void say(const Say& line, runtime::Mono now);
    void turn(std::vector<Event>& batch, runtime::Mono deadline);
    void stand_aside(bool consul_is_away, runtime::Mono now);
    void register_itself(const std::string& run);
    void look_at_pipeline(std::size_t targets, runtime::Mono now);
    void drain();
    [[nodiscard]] std::string not_ready_because() const;
    [[nodiscard]] bool turned_within(std::chrono::milliseconds time) const;

    Options options_;
    runtime::ServiceManager& manager_;
    Mirror mirror_;
    DriftAlarm drift_;
    Metrics metrics_;
    PipelineHealth pipeline_;
    SelfRegistration::Report reported_;
    std::optional<Stale> told_stale_;
    std::atomic<std::size_t> aggregators_{0};  // that serve; of the membership's thread
    runtime::Mailbox<Event> mailbox_;
    std::optional<int> stopping_;          // the code to exit with
    runtime::LineLimit definition_lines_;  // each of one watch's thread
    runtime::LineLimit state_lines_;
    runtime::Mono lines_since_{};
    std::size_t lines_ = 0;

    // What the HTTP endpoint's threads read.
    std::atomic<runtime::Mono::rep> turned_at_{0};
    std::atomic<bool> definitions_loaded_{false};
    std::atomic<bool> states_loaded_{false};
    std::atomic<bool> consul_reachable_{false};
    std::atomic<bool> another_serves_{false};  // of the bridges
    std::atomic<bool> aside_{false};
    StandingAside standing_aside_;
    std::atomic<bool> hears_itself_{false};
    // What the drift watch's threads read.
    std::atomic<bool> drift_wanted_{false};
    runtime::Mono oldest_shown_{};

    std::unique_ptr<nats::Connection> connection_;
    std::unique_ptr<ConsulPool> pool_;
    std::unique_ptr<DriftWatch> drift_watch_;
    std::unique_ptr<nats::BucketWatch> definitions_;
    std::unique_ptr<nats::BucketWatch> states_;
    std::unique_ptr<webhook::Webhooks> webhooks_;  // empty: none asked for
    std::unique_ptr<runtime::MembershipFeed> membership_;
    std::unique_ptr<runtime::HttpEndpoint> endpoint_;
    std::unique_ptr<SelfRegistration> self_;  // none where it is not to be registered
};

}  // namespace pgpulse::consul_bridge
