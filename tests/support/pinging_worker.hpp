#pragma once

#include "common/contract/ping.hpp"
#include "common/nats/connection.hpp"
#include "common/runtime/membership_feed.hpp"

#include <atomic>
#include <mutex>
#include <string>

namespace pgpulse::support {

/// A worker played by a test: a member of the cluster like any other, whose pings say what the test wants said.
class PingingWorker {
  public:
    /// `replicas`: of the bucket of members where it makes it.
    PingingWorker(nats::Connection& connection, std::string id, int replicas = 1);

    /// It is among those that serve, as it sees them.
    [[nodiscard]] bool serves() const { return feed_.serving(); }
    /// It leaves the others at once, as at an orderly end.
    void leave() { feed_.leave(); }
    /// Its key is not refreshed from now on, as if it hung.
    void hang() { working_.store(false); }

    /// A ping that ended now. `down` is said with hard evidence.
    [[nodiscard]] contract::Ping ping(const std::string& target, contract::Opinion opinion);
    /// Publishes `ping` as this worker's; throws std::runtime_error where it cannot be sent. Any thread.
    void publish(const contract::Ping& ping);
    /// The two in one.
    void say(const std::string& target, contract::Opinion opinion) { publish(ping(target, opinion)); }

    [[nodiscard]] const std::string& id() const { return id_; }

  private:
    nats::Connection& connection_;
    std::string id_;
    std::string run_;
    std::atomic<bool> working_{true};
    std::atomic<std::uint64_t> seq_{0};
    runtime::MembershipFeed feed_;
};

}  // namespace pgpulse::support
