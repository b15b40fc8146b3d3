#include "consul-bridge/bridge.hpp"

#include "common/contract/names.hpp"
#include "consul-bridge/consul_requests.hpp"

#include <spdlog/spdlog.h>

#include <malloc.h>

#include <algorithm>

namespace pgpulse::consul_bridge {
namespace {

using runtime::Mono;
using runtime::mono_now;
using std::chrono::milliseconds;

/// A worker for each transaction in flight, one for a read of everything and one for reads of targets.
constexpr std::size_t kReaders = 2;
constexpr milliseconds kLongestTurn{500};
constexpr milliseconds kStuckAfter{5000};
constexpr milliseconds kDrainAtMost{1000};
constexpr milliseconds kFlush{500};
constexpr milliseconds kWebhooksEnd{400};
/// A bridge whose loop did not turn for so long works no more.
constexpr milliseconds kWorking{1000};
constexpr std::size_t kEventsPerStep = 256;
constexpr milliseconds kLineInterval{1000};
constexpr milliseconds kOldestShown{1000};
/// Lines about targets: so many in such a time, and then the number of those kept back.
constexpr std::size_t kLinesAtOnce = 50;
constexpr milliseconds kLinesWindow{10'000};
/// What a read of everything took is to be given back. By default glibc keeps more the more it was once asked for, and in
/// a heap for each of the threads that read.
constexpr int kHeaps = 2;
constexpr int kKeptHeapBytes = 1 << 20;
constexpr std::size_t kManyTargets = 1000;

contract::WallTime wall_time(std::int64_t microseconds) {
    return contract::WallTime{std::chrono::microseconds{microseconds}};
}

/// Also those whose Consul is away: an endpoint has nothing to do with it.
std::vector<std::string> all_bridges(const cluster::Membership::View& view) {
    std::vector<std::string> all = view.bridges;
    all.insert(all.end(), view.bridges_aside.begin(), view.bridges_aside.end());
    std::ranges::sort(all);
    return all;
}

}  // namespace

Bridge::Bridge(Options options, runtime::ServiceManager& manager)
    : options_(std::move(options)),
      manager_(manager),
      mirror_(Mirror::Settings{.id = options_.common.id,
                               .kv_prefix = options_.kv_prefix,
                               .reconcile_interval = options_.reconcile_interval,
                               .compat = options_.compat,
                               .keep_removed = options_.keep_removed}),
      pipeline_(options_.stale_after, mono_now(), runtime::wall_now()),
      definition_lines_(kLineInterval),
      state_lines_(kLineInterval) {}

int Bridge::run() {
    mallopt(M_ARENA_MAX, kHeaps);
    mallopt(M_MMAP_THRESHOLD, kKeptHeapBytes);
    mallopt(M_TRIM_THRESHOLD, kKeptHeapBytes);
    turned_at_.store(mono_now().time_since_epoch().count());
    auto connection = nats::Connection::open(options_.common.nats);
    if (!connection) {
        spdlog::critical("{}", connection.error().text);
        return 2;
    }
    connection_ = std::move(*connection);
    pool_ =
        std::make_unique<ConsulPool>(options_.consul, Mirror::Settings{}.transactions_in_flight + kReaders);
    definitions_ = std::make_unique<nats::BucketWatch>(
        *connection_, std::string{contract::kTargetsBucket},
        [this](nats::BucketEvent event) { on_definition(std::move(event)); });
    states_ =
        std::make_unique<nats::BucketWatch>(*connection_, std::string{contract::kStateBucket},
                                            [this](nats::BucketEvent event) { on_state(std::move(event)); });
    const runtime::Health health{[this] { return turned_within(kStuckAfter); },
                                 [this] { return not_ready_because(); }};
    if (!options_.common.http.empty()) {
        auto endpoint = runtime::HttpEndpoint::open(options_.common.http, metrics_.registry(), health,
                                                    "pgpulse_bridge_ready");
        if (!endpoint) {
            spdlog::critical("--http: {}", endpoint.error());
            return 2;
        }
        endpoint_ = std::move(*endpoint);
    }
    if (!options_.webhooks.empty()) {
        webhooks_ = std::make_unique<webhook::Webhooks>(*connection_, *metrics_.registry(), options_.webhooks,
                                                        options_.common.id, options_.common.replicas);
    }
    const std::string run = runtime::random_run();
    membership_ = std::make_unique<runtime::MembershipFeed>(
        *connection_,
        contract::Member{contract::MemberKind::bridge, options_.common.id, run, options_.common.site,
                         contract::MemberPhase::starting},
        runtime::MembershipFeed::Events{
            [this] { return turned_within(kWorking); },
            [this](const cluster::Membership::View& view) {
                aggregators_.store(view.aggregators.size());
                another_serves_.store(std::ranges::any_of(
                    view.bridges, [this](const std::string& id) { return id != options_.common.id; }));
                metrics_.show_members(view);
                mailbox_.post(MembersChanged{view});
                if (webhooks_) webhooks_->serving(all_bridges(view));
            },
            [this](const std::string& line) {
                spdlog::critical("{}", line);
                mailbox_.post(Stop{2});
            },
            {},
            [this] { return aside_.load(); }},
        options_.common.replicas);
    drift_watch_ = std::make_unique<DriftWatch>(
        options_.consul, options_.kv_prefix, [this] { return drift_wanted_.load(std::memory_order_relaxed); },
        [this](Table table, std::uint64_t index) { mailbox_.post(Moved{table, index}); });
    if (options_.consul.is_encrypted() && !options_.consul.verify) {
        spdlog::warn(
            "Consul's certificate is not verified, as CONSUL_HTTP_SSL_VERIFY says: anybody between here and "
            "{} "
            "can read the token and change what is written",
            options_.consul.url);
    }
    if (webhooks_) webhooks_->start([this] { return membership_->steady(); });
    register_itself(run);
    spdlog::info("carrying states to Consul at {} below '{}'", options_.consul.url, options_.kv_prefix);

    const auto watch = manager_.watch(health);
    std::vector<Event> batch;
    while (!stopping_) turn(batch, mono_now() + kLongestTurn);
    manager_.stopping();
    if (webhooks_) webhooks_->stop();
    if (self_) self_->leave();
    membership_->leave();
    if (webhooks_) webhooks_->wait(kWebhooksEnd);
    drain();
    return *stopping_;
}

void Bridge::stop() { mailbox_.post(Stop{}); }

bool Bridge::turned_within(milliseconds time) const {
    const Mono turned_at{Mono::duration{turned_at_.load(std::memory_order_relaxed)}};
    return mono_now() - turned_at < time;
}

void Bridge::turn(std::vector<Event>& batch, Mono deadline) {
    turned_at_.store(mono_now().time_since_epoch().count(), std::memory_order_relaxed);
    for (const auto next : {mirror_.next_step(), drift_.next()})
        deadline = std::min(deadline, next.value_or(deadline));
    mailbox_.take_until(batch, deadline);
    Mono now = mono_now();
    // Once it has left it drains what it holds.
    if (!stopping_) mirror_.hear(membership_->serving() && membership_->steady(), now);
    std::size_t handled = 0;
    for (Event& event : batch) {
        handle(event, now);
        if (++handled % kEventsPerStep == 0) {
            now = mono_now();
            carry_out(mirror_.step(now), now);
        }
    }
    if (drift_.due(mirror_.counters().targets, now)) mirror_.read_soon(now);
    carry_out(mirror_.step(now), now);
    show(now);
}

void Bridge::show(Mono now) {
    const Mirror::Counters counters = mirror_.counters();
    consul_reachable_.store(counters.reachable && counters.read_once, std::memory_order_relaxed);
    stand_aside(counters.away, now);
    drift_wanted_.store(counters.reachable && counters.targets <= DriftAlarm::kMaxTargets,
                        std::memory_order_relaxed);
    metrics_.show(counters, mirror_.take_delays());
    look_at_pipeline(counters.owned, now);
    // Every target is looked at for it.
    if (now - oldest_shown_ < kOldestShown) return;
    oldest_shown_ = now;
    const auto oldest = mirror_.oldest_pending();
    metrics_.show_oldest_pending(oldest ? now - *oldest : std::chrono::nanoseconds{0});
}

/// A bridge whose own Consul is away leaves its share to the others.
void Bridge::stand_aside(bool consul_is_away, Mono now) {
    const bool aside = standing_aside_.observe(consul_is_away, another_serves_.load(), now);
    if (aside == aside_.exchange(aside)) return;
    if (aside)
        spdlog::warn("leaves its targets to the other bridges until its Consul answers");
    else
        spdlog::info("takes its share of the targets again");
}

void Bridge::register_itself(const std::string& run) {
    if (options_.self_service.empty()) return;
    SelfService service;
    service.name = options_.self_service;
    service.bridge = options_.common.id;
    service.run = run;
    service.version = runtime::program_version();
    service.kv_prefix = options_.kv_prefix;
    if (endpoint_) {
        const std::string host = runtime::parse_host_port(options_.common.http)->host;
        if (host != "0.0.0.0" && host != "::") service.address = host;
        service.port = static_cast<std::uint16_t>(endpoint_->port());
    }
    self_ = std::make_unique<SelfRegistration>(
        options_.consul, std::move(service),
        SelfRegistration::Events{[this] { return Mono{Mono::duration{turned_at_.load()}}; },
                                 [this](bool one_passes) { mailbox_.post(Others{one_passes}); },
                                 [this](std::string how) { mailbox_.post(NoAnswer{std::move(how)}); }});
}

/// Tells the pipeline's state to the mirror, to the bridge's own check and to monitoring.
void Bridge::look_at_pipeline(std::size_t targets, Mono now) {
    if (stopping_) return;
    // In this order: the membership counts the aggregators before it says that it hears itself.
    const bool hears_itself = membership_->steady();
    hears_itself_.store(hears_itself, std::memory_order_relaxed);
    pipeline_.observe({hears_itself, aggregators_.load(), targets}, now, runtime::wall_now());
    const std::optional<Stale>& stale = pipeline_.stale();
    mirror_.mark_stale(stale, now);
    SelfRegistration::Report report{pipeline_.check(), membership_->serving(), pipeline_.asks_for_others()};
    metrics_.show_pipeline(report.check.passing, stale.has_value());
    if (report.check.passing && !reported_.check.passing) {
        spdlog::info("own check passes: {}", report.check.output);
    } else if (!report.check.passing && reported_.check.passing) {
        spdlog::warn("own check is critical: {}", report.check.output);
    }
    if (self_ && report != reported_) self_->report(report);
    reported_ = std::move(report);
    if (stale == told_stale_) return;
    if (stale) {
        spdlog::warn("targets are stale since {}: {}", contract::to_rfc3339(stale->since), stale->why);
    } else {
        spdlog::info("targets are stale no more");
    }
    told_stale_ = stale;
}

/// Writes what arrived, as far as Consul takes it at once.
void Bridge::drain() {
    const Mono end = mono_now() + kDrainAtMost;
    connection_->close(kFlush);
    drift_watch_.reset();
    definitions_.reset();
    states_.reset();
    std::vector<Event> batch;
    const auto pending = [this] {
        const Mirror::Counters counters = mirror_.counters();
        return counters.reachable && counters.pending > 0;
    };
    while (pending() && mono_now() < end) turn(batch, end);
    pool_.reset();
    webhooks_.reset();
    self_.reset();
    const std::size_t left = mirror_.counters().pending;
    if (left > 0) {
        spdlog::warn("stopped with {} not written", count_of_targets(left));
    } else {
        spdlog::info("stopped");
    }
}

void Bridge::on_definition(nats::BucketEvent event) {
    switch (event.kind) {
        case nats::BucketEvent::Kind::opened:
            return;
        case nats::BucketEvent::Kind::loaded:
            definitions_loaded_.store(true, std::memory_order_relaxed);
            return;
        case nats::BucketEvent::Kind::removed:
            if (contract::is_target_name(event.key)) mailbox_.post(Undefined{std::move(event.key)});
            return;
        case nats::BucketEvent::Kind::value:
            break;
    }
    auto stored = contract::is_target_name(event.key)
                      ? contract::decode_definition(event.key, event.value)
                      : tl::unexpected("key '" + event.key + "': expected a target's name");
    if (stored) {
        mailbox_.post(Defined{std::move(stored->definition)});
    } else {
        refuse(std::string{contract::kTargetsBucket}, "definition", stored.error(), definition_lines_);
    }
}

void Bridge::on_state(nats::BucketEvent event) {
    switch (event.kind) {
        case nats::BucketEvent::Kind::opened:
            return;
        case nats::BucketEvent::Kind::loaded:
            states_loaded_.store(true, std::memory_order_relaxed);
            return;
        case nats::BucketEvent::Kind::removed:
            if (contract::is_target_name(event.key)) mailbox_.post(Forgotten{std::move(event.key)});
            return;
        case nats::BucketEvent::Kind::value:
            break;
    }
    auto state = contract::decode_state(event.key, event.value);
    if (state) {
        mailbox_.post(Observed{std::move(*state), {wall_time(event.epoch_us), event.revision}});
    } else {
        refuse(std::string{contract::kStateBucket}, std::string{to_string(state.error().cause)},
               event.key + ": " + state.error().detail, state_lines_);
    }
}

void Bridge::refuse(const std::string& bucket, const std::string& cause, const std::string& detail,
                    runtime::LineLimit& limit) {
    metrics_.count_refused(bucket, cause);
    const auto kept_back = limit.allow(mono_now());
    if (!kept_back) return;
    spdlog::warn("bucket '{}': refused {}{}", bucket, detail,
                 *kept_back > 0 ? " (and " + std::to_string(*kept_back) + " before)" : "");
}

void Bridge::handle(Event& event, Mono now) {
    if (auto* defined = std::get_if<Defined>(&event)) {
        mirror_.define(defined->definition, now);
    } else if (const auto* undefined = std::get_if<Undefined>(&event)) {
        mirror_.undefine(undefined->target, now);
    } else if (auto* observed = std::get_if<Observed>(&event)) {
        mirror_.observe(std::move(observed->state), observed->stamp, now);
    } else if (const auto* forgotten = std::get_if<Forgotten>(&event)) {
        mirror_.forget_state(forgotten->target);
    } else if (const auto* ended = std::get_if<TransactionEnded>(&event)) {
        if (const auto* committed = std::get_if<Committed>(&ended->outcome))
            drift_.committed(committed->index);
        mirror_.finished(ended->id, ended->outcome, now);
    } else if (auto* read = std::get_if<ReadEnded>(&event)) {
        if (read->snapshot) {
            const bool large = read->snapshot->size() >= kManyTargets;
            mirror_.read(read->id, std::move(*read->snapshot), now);
            // It has left the heap full of holes.
            if (large) pool_->run([](ConsulClient&) { malloc_trim(0); });
        } else {
            mirror_.read_failed(read->id, read->snapshot.error(), now);
        }
    } else if (const auto* answered = std::get_if<BucketAnswered>(&event)) {
        mirror_.bucket_is(answered->id, answered->state, now);
    } else if (auto* changed = std::get_if<MembersChanged>(&event)) {
        mirror_.members(std::move(changed->view.bridges), now);
    } else if (const auto* others = std::get_if<Others>(&event)) {
        pipeline_.others(others->one_passes, now);
    } else if (const auto* no_answer = std::get_if<NoAnswer>(&event)) {
        mirror_.no_answer(no_answer->how, now);
    } else if (const auto* moved = std::get_if<Moved>(&event)) {
        drift_.moved(moved->table, moved->index, now);
    } else {
        stopping_ = std::get<Stop>(event).code;
    }
}

void Bridge::carry_out(std::vector<Action> actions, Mono now) {
    for (Action& action : actions) {
        if (auto* send = std::get_if<SendTransaction>(&action)) {
            spdlog::debug("transaction {}: {} targets, {} operations", send->id, send->targets,
                          send->operations);
            pool_->run([this, id = send->id, body = std::move(send->body)](ConsulClient& client) {
                const Mono started = mono_now();
                auto outcome = send_transaction(client, body);
                metrics_.observe_request(mono_now() - started);
                // In place, because GCC 12 at -O2 takes the moves of a temporary for uses of uninitialised
                // memory.
                mailbox_.post(Event{std::in_place_type<TransactionEnded>, id, std::move(outcome)});
            });
        } else if (const auto* everything = std::get_if<ReadEverything>(&action)) {
            pool_->run([this, id = everything->id](ConsulClient& client) {
                mailbox_.post(ReadEnded{id, read_everything(client, options_.kv_prefix, options_.compat)});
            });
        } else if (auto* some = std::get_if<ReadTargets>(&action)) {
            pool_->run([this, id = some->id, targets = std::move(some->targets)](ConsulClient& client) {
                mailbox_.post(
                    ReadEnded{id, read_targets(client, options_.kv_prefix, targets, options_.compat)});
            });
        } else if (const auto* ask = std::get_if<AskBucket>(&action)) {
            // A thread of the pool's, because it may block.
            pool_->run([this, id = ask->id](ConsulClient&) {
                const auto found = nats::find_bucket(*connection_, std::string{contract::kStateBucket});
                std::optional<BucketState> state;
                if (found && *found)
                    state = BucketState{wall_time((*found)->created_us), (*found)->last_revision};
                mailbox_.post(BucketAnswered{id, state});
            });
        } else {
            say(std::get<Say>(action), now);
        }
    }
}

void Bridge::say(const Say& line, Mono now) {
    if (now - lines_since_ >= kLinesWindow) {
        if (lines_ > kLinesAtOnce) spdlog::warn("{} further lines kept back", lines_ - kLinesAtOnce);
        lines_since_ = now;
        lines_ = 0;
    }
    if (++lines_ > kLinesAtOnce) return;
    spdlog::log(line.level == Say::Level::info ? spdlog::level::info : spdlog::level::warn, "{}", line.text);
}

std::string Bridge::not_ready_because() const {
    if (!connection_->connected()) return "NATS is not connected";
    if (!definitions_loaded_.load()) {
        return "bucket '" + std::string{contract::kTargetsBucket} + "' is not read yet";
    }
    if (!states_loaded_.load()) {
        return "bucket '" + std::string{contract::kStateBucket} + "' is not read yet";
    }
    if (!hears_itself_.load()) return "it does not hear itself on NATS";
    if (!consul_reachable_.load()) return "Consul at " + options_.consul.url + " does not answer";
    return {};
}

}  // namespace pgpulse::consul_bridge
