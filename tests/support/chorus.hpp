#pragma once

#include "common/contract/ping.hpp"
#include "tests/support/pinging_worker.hpp"

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace pgpulse::support {

/// Workers played by a test who agree: each of them says what the test holds of each target, four times a second,
/// on a thread of its own. What cannot be sent while NATS is away is said again with the next round.
class Chorus {
  public:
    /// What a ping tells beside the opinion.
    using More = std::function<void(contract::Ping&)>;

    /// `replicas`: of the bucket of members where they make it.
    Chorus(nats::Connection& connection, const std::vector<std::string>& ids, int replicas = 1);
    Chorus(const Chorus&) = delete;
    Chorus& operator=(const Chorus&) = delete;
    ~Chorus();

    /// All of them are among the members that serve, as they see it.
    [[nodiscard]] bool serves() const;

    /// From now on, and at once; any thread.
    void hold(const std::string& target, contract::Opinion opinion, More more = {});

    /// How often all was said that is held; any thread.
    [[nodiscard]] std::size_t rounds() const;

  private:
    struct Held {
        contract::Opinion opinion{};
        More more;
    };

    std::vector<std::unique_ptr<PingingWorker>> workers_;
    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::map<std::string, Held> held_;
    std::vector<std::string> at_once_;
    std::size_t rounds_ = 0;
    bool stop_ = false;
    std::thread thread_;

    void run();
    void say(const std::string& target, const Held& held);
};

}  // namespace pgpulse::support
