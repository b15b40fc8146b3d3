#pragma once

#include "common/nats/connection.hpp"
#include "consul-bridge/webhook/cursors.hpp"
#include "consul-bridge/webhook/poster.hpp"
#include "consul-bridge/webhook/sender.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace pgpulse::consul_bridge::webhook {

/// All endpoints of a bridge, each independent of the others.
class Webhooks {
  public:
    /// `bridge`: this bridge's id. `replicas`: of the bucket of cursors where this program creates it, 1 to 5.
    Webhooks(nats::Connection& connection, prometheus::Registry& registry,
             const std::vector<Endpoint>& endpoints, const std::string& bridge, int replicas);

    /// The bridges that serve are these; any thread.
    void serving(const std::vector<std::string>& bridges);
    /// `steady`: what this bridge says of who is alive stands; asked from any thread.
    void start(const std::function<bool()>& steady);
    /// Posts nothing more from now on; any thread, does not wait.
    void stop();
    /// Waits at most so long until the cursors are written after `stop`.
    void wait(std::chrono::milliseconds time);

  private:
    Cursors cursors_;
    std::vector<std::unique_ptr<Sender>> senders_;
};

}  // namespace pgpulse::consul_bridge::webhook
