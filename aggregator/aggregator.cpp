#include "aggregator/aggregator.hpp"

#include "aggregator/bucket_keeper.hpp"
#include "aggregator/metrics.hpp"
#include "aggregator/tally.hpp"
#include "common/contract/names.hpp"
#include "common/contract/ping.hpp"
#include "common/nats/bucket.hpp"
#include "common/nats/bucket_writer.hpp"
#include "common/nats/subscription.hpp"
#include "common/runtime/clock.hpp"
#include "common/runtime/http_endpoint.hpp"
#include "common/runtime/logging.hpp"
#include "common/runtime/mailbox.hpp"
#include "common/runtime/membership_feed.hpp"
#include "common/runtime/signals.hpp"

#include <spdlog/spdlog.h>

#include <atomic>
#include <random>
#include <variant>
#include <vector>

namespace pgpulse::aggregator {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kTick{50};
constexpr milliseconds kEchoInterval{200};
constexpr milliseconds kShowInterval{1000};
constexpr milliseconds kDrainDeadline{1000};
constexpr milliseconds kLoopIsDead{5000};
/// An aggregator whose loop did not turn for as long as it refreshes its membership works no more.
constexpr milliseconds kWorking = cluster::Membership::kRefresh;
constexpr milliseconds kRefusalLineInterval{5000};
constexpr std::size_t kMostWaiting = 200'000;
constexpr std::size_t kEventsBetweenTicks = 256;

struct StateEvent {
    nats::BucketEvent event;
};
struct DefinitionEvent {
    nats::BucketEvent event;
};
struct Echo {};
struct Stop {};
using Event = std::variant<nats::Message, StateEvent, DefinitionEvent, nats::WriteOutcome, Echo, Stop>;

Written to_written(nats::WriteOutcome::Kind kind) {
    switch (kind) {
        case nats::WriteOutcome::Kind::stored:
            return Written::stored;
        case nats::WriteOutcome::Kind::lost:
            return Written::lost;
        case nats::WriteOutcome::Kind::failed:
            return Written::failed;
    }
    return Written::failed;
}

Now now() { return {runtime::mono_now(), runtime::wall_now()}; }

/// The one thread that owns the tally: takes events, carries out actions.
class Loop {
  public:
    Loop(const Options& options, nats::Connection& connection, runtime::Mailbox<Event>& mailbox,
         Metrics& metrics)
        : connection_(connection), mailbox_(mailbox), metrics_(metrics), tally_(options.common.id) {}

    /// Opens what talks to NATS; an error is one line.
    tl::expected<void, std::string> open();

    /// Until Stop.
    void run();

    [[nodiscard]] std::string not_ready_because() const;
    [[nodiscard]] bool ticked_within(milliseconds time) const {
        return runtime::mono_now().time_since_epoch() - milliseconds{ticked_ms_.load()} < time;
    }

  private:
    nats::Connection& connection_;
    runtime::Mailbox<Event>& mailbox_;
    Metrics& metrics_;
    Tally tally_;
    Tally::Actions actions_;
    std::string echo_subject_;
    runtime::Mono next_echo_{};
    runtime::Mono next_show_{};
    runtime::LineLimit refusals_{kRefusalLineInterval};
    runtime::LineLimit failures_{kRefusalLineInterval};
    std::atomic<bool> loaded_{false};
    std::atomic<std::int64_t> ticked_ms_{0};
    std::unique_ptr<nats::BucketWriter> writer_;
    std::unique_ptr<nats::Subscription> echoes_;
    std::unique_ptr<nats::Subscription> pings_;

    void tick();
    void carry_out();
    void write(const PutState& put);
    void write(const RemoveState& remove);
    void outcome(const std::string& target, Written written, std::uint64_t expected, std::uint64_t revision);
    void write_fault(const std::string& text);

    void handle(nats::Message& message);
    void handle(StateEvent& event);
    void handle(DefinitionEvent& event);
    void handle(nats::WriteOutcome& outcome);
    void handle(Echo&) { tally_.echo(now()); }
    void handle(Stop&) {}
};

tl::expected<void, std::string> Loop::open() {
    auto writer =
        nats::BucketWriter::open(connection_, std::string{contract::kStateBucket},
                                 [this](nats::WriteOutcome outcome) { mailbox_.post(std::move(outcome)); });
    if (!writer) return tl::unexpected(writer.error().text);
    writer_ = std::move(*writer);

    char inbox[64];
    std::random_device random;
    std::snprintf(inbox, sizeof inbox, "_INBOX.pgpulse.%08x%08x", random(), random());
    echo_subject_ = inbox;
    auto echoes = nats::Subscription::open(connection_, echo_subject_,
                                           [this](nats::Message) { mailbox_.post(Echo{}); });
    if (!echoes) return tl::unexpected(echoes.error().text);
    echoes_ = std::move(*echoes);

    auto pings = nats::Subscription::open(connection_, std::string{contract::kAllPings},
                                          [this](nats::Message message) {
                                              if (!mailbox_.try_post(std::move(message), kMostWaiting))
                                                  metrics_.dropped();
                                          });
    if (!pings) return tl::unexpected(pings.error().text);
    pings_ = std::move(*pings);
    return {};
}

void Loop::run() {
    std::vector<Event> batch;
    auto next_tick = runtime::mono_now();
    for (;;) {
        mailbox_.take_until(batch, next_tick);
        std::size_t since_look = 0;
        // What waits is handled before time is looked at: a ping that came while this process was held up
        // counts first.
        for (Event& event : batch) {
            if (std::holds_alternative<Stop>(event)) {
                writer_->drain(kDrainDeadline);
                return;
            }
            std::visit([this](auto& e) { handle(e); }, event);
            carry_out();
            if (++since_look < kEventsBetweenTicks) continue;
            since_look = 0;
            if (runtime::mono_now() < next_tick) continue;
            tick();
            next_tick = runtime::mono_now() + kTick;
        }
        if (runtime::mono_now() < next_tick) continue;
        tick();
        next_tick = runtime::mono_now() + kTick;
    }
}

void Loop::tick() {
    const Now at = now();
    ticked_ms_.store(std::chrono::duration_cast<milliseconds>(at.mono.time_since_epoch()).count());
    tally_.tick(at, actions_);
    carry_out();
    loaded_.store(tally_.loaded());
    if (at.mono >= next_echo_ && connection_.connected()) {
        next_echo_ = at.mono + kEchoInterval;
        // A failure shows by itself: no echo comes.
        static_cast<void>(connection_.publish(echo_subject_, {}));
    }
    if (at.mono >= next_show_) {
        next_show_ = at.mono + kShowInterval;
        metrics_.show(tally_.counts(), tally_.targets_by_state());
    }
}

void Loop::carry_out() {
    // A write that cannot even be sent is an outcome too, which may append further actions.
    for (std::size_t i = 0; i < actions_.size(); ++i) {
        const Action action = std::move(actions_[i]);
        if (const auto* put = std::get_if<PutState>(&action)) write(*put);
        if (const auto* remove = std::get_if<RemoveState>(&action)) write(*remove);
        if (const auto* notice = std::get_if<Notice>(&action)) spdlog::warn("{}", notice->text);
    }
    actions_.clear();
}

void Loop::write(const PutState& put) {
    const contract::State& state = put.state;
    spdlog::info("{}: {} -> {} ({}), transition {}", state.target,
                 state.previous ? to_string(*state.previous) : "new", to_string(state.state),
                 to_string(state.reason), state.transition);
    if (const auto sent = writer_->put(state.target, encode(state), put.expected); !sent) {
        write_fault(sent.error().text);
        outcome(state.target, Written::failed, put.expected, 0);
    }
}

void Loop::write(const RemoveState& remove) {
    spdlog::info("{}: its definition was deleted: deleting its state", remove.target);
    if (const auto sent = writer_->remove(remove.target, remove.expected); !sent) {
        write_fault(sent.error().text);
        outcome(remove.target, Written::failed, remove.expected, 0);
    }
}

void Loop::outcome(const std::string& target, Written written, std::uint64_t expected,
                   std::uint64_t revision) {
    tally_.written(target, written, expected, revision, now(), actions_);
}

void Loop::write_fault(const std::string& text) {
    const auto kept_back = failures_.allow(runtime::mono_now());
    if (kept_back) spdlog::warn("{}: trying again ({} further such lines kept back)", text, *kept_back);
}

void Loop::handle(nats::Message& message) {
    const auto ping = contract::decode_ping(nats::subject_of(message), nats::payload_of(message));
    if (!ping) {
        metrics_.refused(ping.error().cause);
        if (const auto kept_back = refusals_.allow(runtime::mono_now())) {
            spdlog::warn("refused a message on {}: {} ({} further such lines kept back)",
                         nats::subject_of(message), ping.error().detail, *kept_back);
        }
        return;
    }
    metrics_.heard(tally_.ping(*ping, now(), actions_));
}

void Loop::handle(StateEvent& state) {
    nats::BucketEvent& event = state.event;
    switch (event.kind) {
        case nats::BucketEvent::Kind::opened:
            tally_.states_opened();
            return;
        case nats::BucketEvent::Kind::loaded:
            tally_.states_loaded(now(), actions_);
            return;
        case nats::BucketEvent::Kind::removed:
            if (contract::is_target_name(event.key))
                tally_.state_removed(event.key, event.revision, now(), actions_);
            return;
        case nats::BucketEvent::Kind::value:
            break;
    }
    if (!contract::is_target_name(event.key)) return;
    auto decoded = contract::decode_state(event.key, event.value);
    if (!decoded) {
        spdlog::warn("bucket 'health', key '{}': {}", event.key, decoded.error().detail);
        tally_.unreadable_state(event.key, event.revision, now(), actions_);
        return;
    }
    tally_.state(event.key, std::move(*decoded), event.revision, now(), actions_);
}

void Loop::handle(DefinitionEvent& definition) {
    const nats::BucketEvent& event = definition.event;
    switch (event.kind) {
        case nats::BucketEvent::Kind::opened:
            return;
        case nats::BucketEvent::Kind::loaded:
            tally_.definitions_loaded(now(), actions_);
            return;
        case nats::BucketEvent::Kind::removed:
            tally_.definition_removed(event.key, now(), actions_);
            return;
        case nats::BucketEvent::Kind::value:
            break;
    }
    const auto stored = contract::decode_definition(event.key, event.value);
    if (!stored) {
        metrics_.definition_refused();
        spdlog::warn("bucket 'health_targets': {}; what was known of it stays in force", stored.error());
        return;
    }
    tally_.definition(stored->definition, now(), actions_);
}

void Loop::handle(nats::WriteOutcome& result) {
    if (result.kind == nats::WriteOutcome::Kind::failed) write_fault(result.text);
    outcome(result.key, to_written(result.kind), result.expected, result.revision);
}

std::string Loop::not_ready_because() const {
    if (!connection_.connected()) return "NATS is not connected";
    if (!loaded_.load()) return "the buckets are not read yet";
    return {};
}

}  // namespace

int run(const Options& options) {
    runtime::Mailbox<Event> mailbox;
    runtime::Signals signals;
    Metrics metrics;
    auto connection = nats::Connection::open(options.common.nats);
    if (!connection) {
        spdlog::critical("{}", connection.error().text);
        return 2;
    }
    nats::Connection& nats = **connection;
    Loop loop{options, nats, mailbox, metrics};

    std::unique_ptr<runtime::HttpEndpoint> http;
    if (!options.common.http.empty()) {
        auto opened = runtime::HttpEndpoint::open(options.common.http, metrics.registry(),
                                                  {[&loop] { return loop.ticked_within(kLoopIsDead); },
                                                   [&loop] { return loop.not_ready_because(); }});
        if (!opened) {
            spdlog::critical("--http: {}", opened.error());
            return 2;
        }
        http = std::move(*opened);
    }

    if (const auto opened = loop.open(); !opened) {
        spdlog::critical("{}", opened.error());
        return 1;
    }
    const std::string states{contract::kStateBucket};
    const std::string definitions{contract::kTargetsBucket};
    nats::BucketConfig health_bucket;
    health_bucket.name = states;
    health_bucket.history = 64;
    health_bucket.replicas = options.replicas;
    health_bucket.republish_to = "health.state";
    nats::BucketConfig targets_bucket;
    targets_bucket.name = definitions;
    targets_bucket.history = 8;
    targets_bucket.replicas = options.replicas;
    const BucketKeeper keeper{nats, {health_bucket, targets_bucket}};
    const nats::BucketWatch definition_watch{
        nats, definitions, [&](nats::BucketEvent event) { mailbox.post(DefinitionEvent{std::move(event)}); }};
    const nats::BucketWatch state_watch{
        nats, states, [&](nats::BucketEvent event) { mailbox.post(StateEvent{std::move(event)}); }};
    std::atomic<bool> taken{false};
    runtime::MembershipFeed membership{
        nats,
        {contract::MemberKind::aggregator, options.common.id, runtime::random_run(), options.common.site,
         contract::MemberPhase::starting},
        {[&loop] { return loop.ticked_within(kWorking); },
         [&metrics](const cluster::Membership::View& view) { metrics.show_members(view); },
         [&](const std::string& line) {
             spdlog::critical("{}", line);
             taken.store(true);
             mailbox.post(Stop{});
         }}};
    signals.listen([&](runtime::Signal signal) {
        if (signal == runtime::Signal::stop) mailbox.post(Stop{});
    });
    loop.run();
    membership.leave();
    if (taken.load()) return 2;
    spdlog::info("stopped");
    return 0;
}

}  // namespace pgpulse::aggregator
