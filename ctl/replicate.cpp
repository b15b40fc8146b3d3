#include "ctl/replicate.hpp"

#include "common/runtime/http_endpoint.hpp"
#include "common/runtime/signals.hpp"
#include "common/runtime/stop_limit.hpp"
#include "ctl/connect.hpp"
#include "ctl/replicator.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <atomic>
#include <iostream>
#include <memory>

namespace pgpulse::ctl {
namespace {

Replicator::Meters meters_in(prometheus::Registry& registry) {
    return {prometheus::BuildCounter()
                .Name("pgpulse_replicate_copied_total")
                .Help("Messages written into the copy")
                .Register(registry)
                .Add({}),
            prometheus::BuildGauge()
                .Name("pgpulse_replicate_behind")
                .Help("Revisions of the source that are not in the copy")
                .Register(registry)
                .Add({})};
}

}  // namespace

int run_replicate(const Options& options) {
    // They outlive the signals' thread, which uses them.
    runtime::StopLimit limit;
    std::atomic<bool> stop{false};
    runtime::Signals signals;
    const auto connection = connect(options);
    if (!connection) return connection.error();
    const auto registry = std::make_shared<prometheus::Registry>();
    Replicator replicator{**connection, options.from_domain, meters_in(*registry), stop};
    // Not before: a signal that nobody takes ends the wait for a server that does not answer.
    signals.listen([&](runtime::Signal signal) {
        if (signal != runtime::Signal::stop) return;
        limit.begin();
        stop.store(true);
    });
    std::unique_ptr<runtime::HttpEndpoint> http;
    if (!options.http.empty()) {
        auto opened = runtime::HttpEndpoint::open(
            options.http, registry,
            {[] { return true; }, [&replicator] { return replicator.not_ready_because(); }},
            "pgpulse_replicate_ready");
        if (!opened) {
            std::cerr << "pgpulse: --http: " << opened.error() << '\n';
            return 2;
        }
        http = std::move(*opened);
    }
    return replicator.run() ? 0 : 2;
}

}  // namespace pgpulse::ctl
