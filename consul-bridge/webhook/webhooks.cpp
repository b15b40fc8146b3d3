#include "consul-bridge/webhook/webhooks.hpp"

#include "common/runtime/clock.hpp"

#include <algorithm>

namespace pgpulse::consul_bridge::webhook {

using std::chrono::milliseconds;

Webhooks::Webhooks(nats::Connection& connection, prometheus::Registry& registry,
                   const std::vector<Endpoint>& endpoints, const std::string& bridge, int replicas)
    : cursors_(connection, replicas) {
    for (const Endpoint& endpoint : endpoints)
        senders_.push_back(std::make_unique<Sender>(connection, cursors_, registry, endpoint, bridge));
}

void Webhooks::serving(const std::vector<std::string>& bridges) {
    for (const auto& sender : senders_) sender->serving(bridges);
}

void Webhooks::start(const std::function<bool()>& steady) {
    for (const auto& sender : senders_) sender->start(steady);
}

void Webhooks::stop() {
    for (const auto& sender : senders_) sender->stop();
}

void Webhooks::wait(milliseconds time) {
    const auto end = runtime::mono_now() + time;
    for (const auto& sender : senders_) {
        const auto left = std::chrono::duration_cast<milliseconds>(end - runtime::mono_now());
        static_cast<void>(sender->stopped_within(std::max(left, milliseconds{0})));
    }
}

}  // namespace pgpulse::consul_bridge::webhook
