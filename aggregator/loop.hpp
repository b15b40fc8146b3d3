#pragma once

#include "aggregator/definition_keeper.hpp"
#include "aggregator/mass_lines.hpp"
#include "aggregator/metrics.hpp"
#include "aggregator/ping_subscriptions.hpp"
#include "aggregator/server_clock.hpp"
#include "aggregator/tally.hpp"
#include "common/cluster/membership.hpp"
#include "common/nats/bucket.hpp"
#include "common/nats/bucket_writer.hpp"
#include "common/nats/subscription.hpp"
#include "common/runtime/clock.hpp"
#include "common/runtime/logging.hpp"
#include "common/runtime/mailbox.hpp"

#include <tl/expected.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace pgpulse::aggregator {

struct StateEvent {
    nats::BucketEvent event;
};
struct DefinitionEvent {
    nats::BucketEvent event;
};
/// The members that serve, this aggregator among them.
struct ViewEvent {
    cluster::Membership::View view;
};
/// The NATS server stored something at `stored`.
struct ServerTime {
    contract::WallTime stored;
};
/// How a write to `health_targets` ended.
struct DefinitionWritten {
    nats::WriteOutcome outcome;
};
struct Echo {};
struct Stop {};
/// Most are messages, a pointer each; the larger ones are pointed to as well, so that many waiting ones take little.
using Event = std::variant<nats::Message, std::unique_ptr<StateEvent>, std::unique_ptr<DefinitionEvent>,
                           std::unique_ptr<ViewEvent>, std::unique_ptr<nats::WriteOutcome>,
                           std::unique_ptr<DefinitionWritten>, ServerTime, Echo, Stop>;

/// The one thread that owns the tally: takes events, carries out actions.
class Loop {
  public:
    Loop(std::string id, nats::Connection& connection, runtime::Mailbox<Event>& mailbox, Metrics& metrics);

    /// Opens what talks to NATS; an error is one line.
    tl::expected<void, std::string> open();

    /// Until Stop.
    void run();

    /// Why the aggregator does not do its work yet; empty once it does. Any thread.
    [[nodiscard]] std::string not_ready_because() const;
    /// How many states are being written or wait for it; empty until the buckets are read. Any thread.
    [[nodiscard]] std::optional<std::size_t> writing() const {
        if (!loaded_.load()) return std::nullopt;
        return writing_.load(std::memory_order_relaxed);
    }
    /// The loop turned within that time. Any thread.
    [[nodiscard]] bool ticked_within(std::chrono::milliseconds time) const {
        return runtime::mono_now().time_since_epoch() - std::chrono::milliseconds{ticked_ms_.load()} < time;
    }

  private:
    std::string id_;
    nats::Connection& connection_;
    runtime::Mailbox<Event>& mailbox_;
    Metrics& metrics_;
    Tally tally_;
    DefinitionKeeper definitions_;
    ServerClock server_clock_;
    Ranks ranks_{};
    bool ranks_pending_ = false;  // not subscribed to what the ranks ask for
    Tally::Actions actions_;
    std::string echo_subject_;
    runtime::Mono next_echo_{};
    runtime::Mono next_show_{};
    runtime::Mono trim_from_ = runtime::Mono::max();
    MassLines changes_;  // of targets
    MassLines faults_;   // of keys
    runtime::LineLimit refusals_;
    runtime::LineLimit failures_;
    std::atomic<bool> loaded_{false};
    std::atomic<std::size_t> writing_{0};
    std::atomic<bool> serving_{false};
    std::atomic<std::int64_t> ticked_ms_{0};
    std::unique_ptr<nats::BucketWriter> writer_;
    std::unique_ptr<nats::BucketWriter> definition_writer_;
    std::unique_ptr<nats::Subscription> echoes_;
    PingSubscriptions pings_;

    [[nodiscard]] Now now() const;
    void tick();
    void say_sums(runtime::Mono mono);
    void follow_ranks();
    void put_definitions_back(runtime::Mono mono);
    void carry_out();
    void carry_out(const PutState& put);
    void carry_out(const RemoveState& remove);
    void carry_out(const Decided& decided);
    static void carry_out(const Notice& notice);
    void outcome(const std::string& target, Written written, std::uint64_t expected, std::uint64_t revision);
    void write_fault(const std::string& text);

    template <typename Large>
    void handle(std::unique_ptr<Large>& event) {
        handle(*event);
    }
    void handle(nats::Message& message);
    void handle(StateEvent& event);
    void handle(DefinitionEvent& event);
    void handle(ViewEvent& event);
    void handle(ServerTime& event);
    void handle(nats::WriteOutcome& outcome);
    void handle(DefinitionWritten& written);
    void handle(Echo&) { tally_.echo(now()); }
    void handle(Stop&) {}
};

}  // namespace pgpulse::aggregator
