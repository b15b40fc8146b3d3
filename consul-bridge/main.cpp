#include "common/runtime/service_manager.hpp"
#include "common/runtime/signals.hpp"
#include "common/runtime/stop_limit.hpp"
#include "consul-bridge/bridge.hpp"
#include "consul-bridge/options.hpp"

int main(int argc, char** argv) {
    using namespace pgpulse;
    runtime::ServiceManager manager;
    consul_bridge::Options options;
    if (const auto code = consul_bridge::read_options(argc, argv, options)) return *code;
    // Start no thread before `run`, so the signals below are blocked in all of them, and outlive the thread that
    // stops them.
    runtime::StopLimit limit;
    runtime::Reload reload = options.common.reload;
    consul_bridge::Bridge bridge{std::move(options), manager};
    runtime::Signals signals;
    signals.listen([&bridge, &limit, &manager, &reload](runtime::Signal signal) {
        if (signal == runtime::Signal::reload) {
            manager.reloading();
            reload.carry_out();
            manager.reloaded();
            return;
        }
        limit.begin();
        manager.stopping();
        bridge.stop();
    });
    manager.start();
    return bridge.run();
}
