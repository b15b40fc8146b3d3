#include "aggregator/loop.hpp"

#include "common/contract/names.hpp"
#include "common/contract/ping.hpp"
#include "common/contract/state.hpp"

#include <spdlog/spdlog.h>

#include <malloc.h>

#include <algorithm>
#include <random>

namespace pgpulse::aggregator {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kTick{50};
constexpr milliseconds kEchoInterval{200};
constexpr milliseconds kShowInterval{1000};
constexpr milliseconds kDrainDeadline{1000};
constexpr milliseconds kRefusalLineInterval{5000};
constexpr milliseconds kTrimAfter{2000};
/// Of pings that wait longer than half a second most would be late: in an overload some are dropped instead.
constexpr std::size_t kMostWaiting = 65'536;
constexpr std::size_t kEventsBetweenTicks = 256;

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

/// "role, writable": what a transition changed beside the state itself.
std::string changes_in_words(const Decided& decided) {
    std::string words;
    for (std::size_t i = 0; i < contract::kChanges; ++i) {
        const auto change = static_cast<contract::Change>(i);
        if (!decided.changed.test(i) || change == contract::Change::state) continue;
        words += words.empty() ? "; also changed: " : ", ";
        words += to_string(change);
    }
    return words;
}

/// To follow a number of such transitions.
std::string kind_of(const Decided& decided) {
    if (!decided.changed.test(static_cast<std::size_t>(contract::Change::state)))
        return "other changes while " + std::string{to_string(decided.state)};
    return "changes to " + std::string{to_string(decided.state)};
}

}  // namespace

Loop::Loop(std::string id, nats::Connection& connection, runtime::Mailbox<Event>& mailbox, Metrics& metrics)
    : id_(std::move(id)),
      connection_(connection),
      mailbox_(mailbox),
      metrics_(metrics),
      tally_(id_),
      refusals_(kRefusalLineInterval),
      failures_(kRefusalLineInterval),
      pings_(connection, [this](nats::Message message) {
          if (!mailbox_.try_post(std::move(message), kMostWaiting)) metrics_.dropped();
      }) {}

Now Loop::now() const {
    const runtime::Mono mono = runtime::mono_now();
    const auto server = server_clock_.at(mono);
    return {mono, server ? *server : runtime::wall_now()};
}

tl::expected<void, std::string> Loop::open() {
    auto writer = nats::BucketWriter::open(
        connection_, std::string{contract::kStateBucket}, [this](nats::WriteOutcome outcome) {
            mailbox_.post(std::make_unique<nats::WriteOutcome>(std::move(outcome)));
        });
    if (!writer) return tl::unexpected(writer.error().text);
    writer_ = std::move(*writer);
    auto definition_writer = nats::BucketWriter::open(
        connection_, std::string{contract::kTargetsBucket}, [this](nats::WriteOutcome outcome) {
            mailbox_.post(std::make_unique<DefinitionWritten>(std::move(outcome)));
        });
    if (!definition_writer) return tl::unexpected(definition_writer.error().text);
    definition_writer_ = std::move(*definition_writer);

    char inbox[64];
    std::random_device random;
    std::snprintf(inbox, sizeof inbox, ".pgpulse.%08x%08x", random(), random());
    echo_subject_ = connection_.inbox_prefix() + inbox;
    auto echoes = nats::Subscription::open(connection_, echo_subject_,
                                           [this](nats::Message) { mailbox_.post(Echo{}); });
    if (!echoes) return tl::unexpected(echoes.error().text);
    echoes_ = std::move(*echoes);
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
                say_sums(runtime::Mono::max());
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
    if (ranks_pending_) follow_ranks();
    tally_.tick(at, actions_);
    carry_out();
    put_definitions_back(at.mono);
    for (const std::string& line : definitions_.take_notices()) spdlog::warn("{}", line);
    say_sums(at.mono);
    if (loaded_.exchange(tally_.loaded()) != tally_.loaded()) trim_from_ = at.mono + kTrimAfter;
    if (at.mono >= trim_from_) {
        // Reading the buckets has left the heap full of holes, which glibc keeps otherwise.
        malloc_trim(0);
        trim_from_ = runtime::Mono::max();
    }
    if (at.mono >= next_echo_ && connection_.connected()) {
        next_echo_ = at.mono + kEchoInterval;
        // A failure shows by itself: no echo comes.
        static_cast<void>(connection_.publish(echo_subject_, {}));
    }
    if (at.mono >= next_show_) {
        next_show_ = at.mono + kShowInterval;
        metrics_.show(tally_.counts(), tally_.census());
        metrics_.show_dropped(pings_.dropped());
        metrics_.show_definitions_put_back(definitions_.put_back());
    }
}

void Loop::say_sums(runtime::Mono mono) {
    if (const auto sum = changes_.take_sum(mono)) spdlog::info("{}", *sum);
    if (const auto sum = faults_.take_sum(mono)) spdlog::warn("{}", *sum);
}

void Loop::carry_out() {
    // A write that cannot even be sent is an outcome too, which may append further actions.
    for (std::size_t i = 0; i < actions_.size(); ++i) {
        const Action action = std::move(actions_[i]);
        std::visit([this](const auto& a) { carry_out(a); }, action);
    }
    actions_.clear();
    writing_.store(tally_.writing(), std::memory_order_relaxed);
}

void Loop::carry_out(const PutState& put) {
    if (const auto sent = writer_->put(put.state.target, encode(put.state), put.expected); !sent) {
        write_fault(sent.error().text);
        outcome(put.state.target, Written::failed, put.expected, 0);
    }
}

void Loop::carry_out(const RemoveState& remove) {
    if (changes_.allow("states deleted with their definitions", runtime::mono_now()))
        spdlog::info("{}: its definition was deleted: deleting its state", remove.target);
    if (const auto sent = writer_->remove(remove.target, remove.expected); !sent) {
        write_fault(sent.error().text);
        outcome(remove.target, Written::failed, remove.expected, 0);
    }
}

void Loop::carry_out(const Decided& decided) {
    if (decided.latency) metrics_.decided(*decided.latency);
    if (!changes_.allow(kind_of(decided), runtime::mono_now())) return;
    spdlog::info("{}: {} -> {} ({}), transition {}{}", decided.target,
                 decided.previous ? to_string(*decided.previous) : "new", to_string(decided.state),
                 to_string(decided.reason), decided.transition, changes_in_words(decided));
}

void Loop::carry_out(const Notice& notice) { spdlog::warn("{}", notice.text); }

void Loop::outcome(const std::string& target, Written written, std::uint64_t expected,
                   std::uint64_t revision) {
    tally_.written(target, written, expected, revision, now(), actions_);
}

void Loop::write_fault(const std::string& text) {
    const auto kept_back = failures_.allow(runtime::mono_now());
    if (kept_back) spdlog::warn("{}: trying again{}", text, runtime::kept_back_words(*kept_back));
}

void Loop::follow_ranks() {
    const auto followed = pings_.follow(ranks_);
    ranks_pending_ = !followed;
    if (!followed) write_fault(followed.error());
}

void Loop::handle(ViewEvent& event) {
    const Ranks ranks = ranks_of(id_, event.view.aggregators);
    if (ranks != ranks_) {
        ranks_ = ranks;
        metrics_.show_partitions(ranks);
        spdlog::info("tallies {} of {} partitions, first in {}", tallied(ranks), contract::kPartitions,
                     std::ranges::count(ranks, Rank::first));
        follow_ranks();
        tally_.ranks(ranks, now(), actions_);
        definitions_.ranks(ranks, runtime::mono_now());
    }
    tally_.members(event.view.probes, now(), actions_);
    serving_.store(true);
}

void Loop::handle(ServerTime& event) {
    server_clock_.told(event.stored, runtime::mono_now());
    tally_.stored_echo(now());
}

void Loop::handle(nats::Message& message) {
    const auto ping = contract::decode_ping(nats::subject_of(message), nats::payload_of(message));
    if (!ping) {
        metrics_.refused(ping.error().cause);
        if (const auto kept_back = refusals_.allow(runtime::mono_now())) {
            spdlog::warn("refused a message on {}: {}{}", nats::subject_of(message), ping.error().detail,
                         runtime::kept_back_words(*kept_back));
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
                tally_.state_removed(event.key, event.revision, event.by_bucket_writer, now(), actions_);
            return;
        case nats::BucketEvent::Kind::value:
            break;
    }
    if (!contract::is_target_name(event.key)) return;
    auto decoded = contract::decode_state(event.key, event.value);
    if (!decoded) {
        if (faults_.allow("states that are none", runtime::mono_now()))
            spdlog::warn("bucket 'health', key '{}': {}", event.key, decoded.error().detail);
        tally_.unreadable_state(event.key, event.revision, now(), actions_);
        return;
    }
    tally_.state(event.key, std::move(*decoded), event.revision, event.by_bucket_writer, now(), actions_);
}

void Loop::handle(DefinitionEvent& definition) {
    const nats::BucketEvent& event = definition.event;
    const runtime::Mono mono = runtime::mono_now();
    switch (event.kind) {
        case nats::BucketEvent::Kind::opened:
            definitions_.opened(event.epoch_us);
            return;
        case nats::BucketEvent::Kind::loaded:
            definitions_.loaded(mono);
            tally_.definitions_loaded(now(), actions_);
            return;
        case nats::BucketEvent::Kind::removed:
            if (definitions_.removed(event.key, event.revision, event.stored_at_us, mono) &&
                contract::is_target_name(event.key))
                tally_.definition_removed(event.key, now(), actions_);
            return;
        case nats::BucketEvent::Kind::value:
            break;
    }
    if (definitions_.holds(event.key, event.value)) {
        // As all of a bucket that is read anew or put back: the tally knows it.
        definitions_.value(event.key, event.value, event.revision, event.stored_at_us, mono);
        return;
    }
    const auto stored = contract::decode_definition(event.key, event.value);
    if (!stored) {
        metrics_.definition_refused();
        if (faults_.allow("definitions that are none", mono))
            spdlog::warn("bucket 'health_targets': {}; what was known of it stays in force", stored.error());
        definitions_.invalid_value(event.key, event.revision, mono);
        return;
    }
    if (definitions_.value(event.key, event.value, event.revision, event.stored_at_us, mono))
        tally_.definition(stored->definition, now(), actions_);
}

void Loop::put_definitions_back(runtime::Mono mono) {
    for (const PutDefinition& put : definitions_.take_puts(mono)) {
        if (const auto sent = definition_writer_->put(put.key, put.value, put.expected); !sent) {
            write_fault(sent.error().text);
            definitions_.written(put.key, Written::failed, put.expected, mono);
        }
    }
}

void Loop::handle(DefinitionWritten& written) {
    const nats::WriteOutcome& outcome = written.outcome;
    if (outcome.kind == nats::WriteOutcome::Kind::failed) write_fault(outcome.text);
    const runtime::Mono mono = runtime::mono_now();
    definitions_.written(outcome.key, to_written(outcome.kind), outcome.expected, mono);
    // A tick is longer than a server takes for them.
    if (definitions_.has_room()) put_definitions_back(mono);
}

void Loop::handle(nats::WriteOutcome& result) {
    if (result.kind == nats::WriteOutcome::Kind::failed) write_fault(result.text);
    outcome(result.key, to_written(result.kind), result.expected, result.revision);
}

std::string Loop::not_ready_because() const {
    if (!connection_.connected()) return "NATS is not connected";
    if (!serving_.load()) return "the membership is not settled yet";
    if (!loaded_.load()) return "the buckets are not read yet";
    return {};
}

}  // namespace pgpulse::aggregator
