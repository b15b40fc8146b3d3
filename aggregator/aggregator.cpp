#include "aggregator/aggregator.hpp"

#include "aggregator/history_copier.hpp"
#include "aggregator/loop.hpp"
#include "aggregator/metrics.hpp"
#include "common/contract/names.hpp"
#include "common/nats/bucket.hpp"
#include "common/nats/bucket_keeper.hpp"
#include "common/runtime/http_endpoint.hpp"
#include "common/runtime/membership_feed.hpp"
#include "common/runtime/service_manager.hpp"
#include "common/runtime/signals.hpp"
#include "common/runtime/stop_limit.hpp"

#include <spdlog/spdlog.h>

#include <malloc.h>

#include <atomic>
#include <optional>

namespace pgpulse::aggregator {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLoopIsDead{5000};
constexpr milliseconds kFlush{500};
constexpr int kKeptHeapBytes = 1 << 20;
/// An aggregator whose loop did not turn for as long as it refreshes its membership works no more.
constexpr milliseconds kWorking = cluster::Membership::kRefresh;

}  // namespace

int run(const Options& options) {
    // What a burst took is to be given back. By default glibc keeps more the more it was once asked for, in the heap of
    // every thread.
    mallopt(M_TRIM_THRESHOLD, kKeptHeapBytes);
    // What is read on one thread is let go of on another: with a heap for each, pages that one has no use for any more
    // are of none to the others.
    mallopt(M_ARENA_MAX, 1);
    // They outlive the signals' thread, which uses them.
    runtime::StopLimit limit;
    runtime::ServiceManager manager;
    runtime::Reload reload = options.common.reload;
    runtime::Mailbox<Event> mailbox;
    runtime::Signals signals;
    signals.listen([&](runtime::Signal signal) {
        if (signal == runtime::Signal::reload) {
            manager.reloading();
            reload.carry_out();
            manager.reloaded();
            return;
        }
        limit.begin();
        manager.stopping();
        mailbox.post(Stop{});
    });
    manager.start();
    Metrics metrics;
    nats::ConnectOptions connect = options.common.nats;
    // A subscription for each partition, and no thread for each.
    connect.one_delivery_thread = true;
    auto connection = nats::Connection::open(connect);
    if (!connection) {
        spdlog::critical("{}", connection.error().text);
        return 2;
    }
    nats::Connection& nats = **connection;
    Loop loop{options.common.id, nats, mailbox, metrics};

    const runtime::Health health{[&loop] { return loop.ticked_within(kLoopIsDead); },
                                 [&loop] { return loop.not_ready_because(); }};
    std::unique_ptr<runtime::HttpEndpoint> http;
    if (!options.common.http.empty()) {
        auto opened = runtime::HttpEndpoint::open(options.common.http, metrics.registry(), health,
                                                  "pgpulse_aggregator_ready");
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
    health_bucket.replicas = options.common.replicas;
    health_bucket.republish_to = "health.state";
    nats::BucketConfig targets_bucket;
    targets_bucket.name = definitions;
    targets_bucket.history = 8;
    targets_bucket.replicas = options.common.replicas;
    HistoryCopier history{
        nats, options.common.id, {options.history_days, options.common.replicas}, metrics, [&loop] {
            return loop.writing();
        }};
    std::atomic<bool> taken{false};
    std::optional<nats::BucketWatch> definition_watch;
    std::optional<nats::BucketWatch> state_watch;
    // The large buckets follow the first word of the members: to know each other takes two seconds from then on, in which
    // those are read, and a server answers one connection's requests in their order.
    const auto read_buckets = [&] {
        if (definition_watch) return;
        definition_watch.emplace(nats, definitions, [&](nats::BucketEvent event) {
            mailbox.post(std::make_unique<DefinitionEvent>(std::move(event)));
        });
        state_watch.emplace(nats, states, [&](nats::BucketEvent event) {
            mailbox.post(std::make_unique<StateEvent>(std::move(event)));
        });
    };
    runtime::MembershipFeed membership{
        nats,
        {contract::MemberKind::aggregator, options.common.id, runtime::random_run(), options.common.site,
         contract::MemberPhase::starting},
        {[&loop] { return loop.ticked_within(kWorking); },
         [&](const cluster::Membership::View& view) {
             metrics.show_members(view);
             mailbox.post(std::make_unique<ViewEvent>(view));
             history.serving(view.aggregators);
         },
         [&](const std::string& line) {
             spdlog::critical("{}", line);
             taken.store(true);
             mailbox.post(Stop{});
         },
         [&](contract::WallTime stored) {
             read_buckets();
             mailbox.post(ServerTime{stored});
         },
         {},
         [&metrics](bool frozen) { metrics.members_frozen(frozen); }},
        options.common.replicas};
    const nats::BucketKeeper keeper{nats, {health_bucket, targets_bucket}};
    const auto watch = manager.watch(health);
    loop.run();
    manager.stopping();
    history.stop();
    membership.leave();
    nats.close(kFlush);
    if (taken.load()) return 2;
    spdlog::info("stopped");
    return 0;
}

}  // namespace pgpulse::aggregator
