#include "common/contract/names.hpp"
#include "common/nats/connection.hpp"
#include "common/nats/subscription.hpp"
#include "common/runtime/http_endpoint.hpp"
#include "common/runtime/membership_feed.hpp"
#include "common/runtime/service_manager.hpp"
#include "common/runtime/signals.hpp"
#include "common/runtime/stop_limit.hpp"
#include "common/runtime/targets_file.hpp"
#include "probe/connection_parameters.hpp"
#include "probe/loop.hpp"
#include "probe/metrics.hpp"
#include "probe/options.hpp"
#include "probe/publisher.hpp"
#include "probe/targets_feed.hpp"

#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cstdio>
#include <iostream>
#include <variant>

namespace pgpulse::probe {
namespace {

constexpr std::chrono::milliseconds kDrain{700};
constexpr std::chrono::milliseconds kFlush{500};
constexpr std::chrono::milliseconds kTurning{1000};
/// A worker whose loop did not turn for as long as it refreshes its membership works no more.
constexpr std::chrono::milliseconds kWorking = cluster::Membership::kRefresh;

/// What the worker waits for before it does its job; empty: nothing.
std::string not_ready_because(const nats::Connection& connection, const TargetsFeed* feed,
                              const runtime::MembershipFeed* membership) {
    if (!connection.connected()) return "NATS is not connected";
    if (feed == nullptr || !feed->known()) return "the bucket of targets is not read yet";
    if (membership == nullptr || !membership->serving()) return "the other members are not known yet";
    return {};
}

/// The id belongs to another worker.
struct Taken {
    std::string line;
};

/// What main waits for.
using Asked = std::variant<runtime::Signal, Taken>;

int run(int argc, char** argv) {
    // They outlive the signals' thread, which uses them.
    runtime::StopLimit limit;
    runtime::ServiceManager manager;
    runtime::Mailbox<Asked> asked;
    runtime::Signals signals;
    auto read = read_options(argc, argv);
    if (const int* const code = std::get_if<int>(&read)) return *code;
    const Options options = std::move(std::get<Options>(read));
    std::vector<contract::TargetDefinition> file;
    if (!options.targets_file.empty()) {
        auto targets = runtime::read_targets_file(options.targets_file);
        if (!targets) {
            std::cerr << "pgpulse-probe: " << targets.error() << '\n';
            return 2;
        }
        file = std::move(*targets);
    }
    clear_libpq_environment();
    spdlog::info("this process may open {} files: {} pings under way and {} sessions at most",
                 options.files.limit, options.files.pings, options.files.sessions);
    if (options.self_doubt == SelfDoubt::off)
        spdlog::warn("--trust-itself: this worker takes its own stalls for failures of the targets");

    signals.listen([&asked, &limit, &manager](runtime::Signal signal) {
        if (signal == runtime::Signal::stop) {
            limit.begin();
            manager.stopping();
        }
        asked.post(signal);
    });
    manager.start();
    auto opened = nats::Connection::open(options.common.nats);
    if (!opened) {
        std::cerr << "pgpulse-probe: " << opened.error().text << '\n';
        return 2;
    }
    nats::Connection& connection = **opened;
    const auto registry = std::make_shared<prometheus::Registry>();
    Metrics metrics{*registry};
    Publisher publisher{[&connection](const std::string& subject, std::string_view payload) {
        return connection.publish(subject, payload).has_value();
    }};
    const std::string run_id = runtime::random_run();
    auto loop = std::make_unique<Loop>(Worker::Identity{options.common.id, options.common.site, run_id},
                                       options.limits, options.references, publisher, metrics, options.files,
                                       options.self_doubt);

    // Read by the endpoint's threads.
    std::atomic<const TargetsFeed*> started_feed{nullptr};
    std::atomic<const runtime::MembershipFeed*> started_membership{nullptr};
    const runtime::Health health{[&loop] { return loop->turned_within(kTurning); },
                                 [&connection, &started_feed, &started_membership] {
                                     return not_ready_because(connection, started_feed, started_membership);
                                 }};
    std::unique_ptr<runtime::HttpEndpoint> http;
    if (!options.common.http.empty()) {
        auto endpoint =
            runtime::HttpEndpoint::open(options.common.http, registry, health, "pgpulse_probe_ready");
        if (!endpoint) {
            std::cerr << "pgpulse-probe: --http: " << endpoint.error() << '\n';
            return 2;
        }
        http = std::move(*endpoint);
    }
    auto calls = nats::Subscription::open(
        connection, std::string{contract::kAllChecks}, [&loop](const nats::Message& message) {
            if (const auto target = contract::parse_check_subject(nats::subject_of(message)))
                loop->call(std::string{*target});
        });
    if (!calls) {
        std::cerr << "pgpulse-probe: " << calls.error().text << '\n';
        return 1;
    }
    auto feed = std::make_unique<TargetsFeed>(
        connection, options.common.id, std::move(file),
        [&loop](std::vector<TargetChange> changes) { loop->change_targets(std::move(changes)); },
        options.common.replicas);
    started_feed = feed.get();
    auto membership = std::make_unique<runtime::MembershipFeed>(
        connection,
        contract::Member{contract::MemberKind::probe, options.common.id, run_id, options.common.site,
                         contract::MemberPhase::starting},
        runtime::MembershipFeed::Events{[&loop] { return loop->turned_within(kWorking); },
                                        [&feed, &loop](const cluster::Membership::View& view) {
                                            loop->set_probes(view.probes);
                                            feed->members(view.probes);
                                        },
                                        [&asked](std::string line) { asked.post(Taken{std::move(line)}); },
                                        {},
                                        {},
                                        [&metrics](bool frozen) { metrics.set_members_frozen(frozen); }},
        options.common.replicas);
    started_membership = membership.get();
    const auto watch = manager.watch(health);

    runtime::Reload reload = options.common.reload;
    std::string targets_file = options.targets_file;
    std::vector<Asked> batch;
    std::string taken;
    for (bool stop = false; !stop;) {
        asked.take_until(batch, std::chrono::steady_clock::now() + std::chrono::seconds{1});
        metrics.set_dropped(static_cast<double>(publisher.dropped()),
                            static_cast<double>(publisher.unsent()));
        metrics.set_members(static_cast<double>(membership->members()));
        for (Asked& event : batch) {
            if (auto* const other = std::get_if<Taken>(&event)) {
                taken = std::move(other->line);
                stop = true;
            } else if (std::get<runtime::Signal>(event) == runtime::Signal::stop) {
                stop = true;
            } else {
                manager.reloading();
                if (!reload.file().empty() || targets_file.empty()) {
                    const auto changed = reload.carry_out();
                    if (const auto it = changed.find("targets"); it != changed.end())
                        targets_file = it->second;
                }
                if (!targets_file.empty()) {
                    auto targets = runtime::read_targets_file(targets_file);
                    if (targets) {
                        feed->reload(std::move(*targets));
                    } else {
                        spdlog::error("{}; nothing is changed", targets.error());
                    }
                }
                manager.reloaded();
            }
        }
    }

    if (taken.empty()) spdlog::info("stopping");
    manager.stopping();
    http.reset();
    // First, because others take over at this word.
    membership->leave();
    loop->stop();
    if (connection.connected()) publisher.drain(kDrain);
    connection.close(kFlush);
    calls->reset();
    membership.reset();
    feed.reset();
    if (taken.empty()) return 0;
    std::cerr << "pgpulse-probe: " << taken << '\n';
    return 2;
}

}  // namespace
}  // namespace pgpulse::probe

int main(int argc, char** argv) {
    try {
        return pgpulse::probe::run(argc, argv);
    } catch (const std::exception& error) {
        std::cerr << "pgpulse-probe: " << error.what() << '\n';
        return 1;
    }
}
