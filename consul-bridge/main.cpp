#include "common/runtime/signals.hpp"
#include "consul-bridge/bridge.hpp"
#include "consul-bridge/options.hpp"

int main(int argc, char** argv) {
    using namespace pgpulse;
    consul_bridge::Options options;
    if (const auto code = consul_bridge::read_options(argc, argv, options)) return *code;
    // Starts no thread before `run`, so the signals below are blocked in all of them, and it outlives the
    // thread that calls `stop`.
    consul_bridge::Bridge bridge{std::move(options)};
    runtime::Signals signals;
    signals.listen([&bridge](runtime::Signal signal) {
        if (signal == runtime::Signal::stop) bridge.stop();
    });
    return bridge.run();
}
