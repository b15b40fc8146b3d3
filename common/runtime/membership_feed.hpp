#pragma once

#include "common/cluster/membership.hpp"
#include "common/contract/wall_time.hpp"
#include "common/nats/bucket.hpp"
#include "common/nats/bucket_keeper.hpp"
#include "common/nats/connection.hpp"
#include "common/runtime/mailbox.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <variant>

namespace pgpulse::runtime {

/// What tells this start of a program from its others: 16 random hexadecimal digits.
std::string random_run();

/// Keeps this program among the members of the cluster and says who else is: writes its key of the bucket
/// `health_members` every 500 ms and follows the bucket (cluster/membership.hpp has the rules), on a thread
/// of its own, which asks JetStream nothing that it would have to wait for. Waits for NATS as long as it takes.
class MembershipFeed {
  public:
    struct Events {
        /// The program does its work: asked before each refresh. While it says no the key is not refreshed,
        /// and others take the work over. Called on the feed's thread.
        std::function<bool()> working;
        /// The view changed, or this program serves from now on. Called on the feed's thread.
        std::function<void(const cluster::Membership::View&)> on_view;
        /// Another program has this id: one line that says so. Called at most once, on the feed's thread.
        std::function<void(std::string)> on_taken;
        /// A member's word was stored at that time of the NATS server's clock. May be empty. Called on the feed's
        /// thread.
        std::function<void(contract::WallTime)> on_server_time = {};
        /// Whether the program stands aside for now, because it cannot do its work: asked again and again. May be empty.
        /// Called on the feed's thread.
        std::function<bool()> aside = {};
        /// Whether the view stands still from now on, because this program, which serves, does not hear itself. May be
        /// empty. Called at each change, on the feed's thread.
        std::function<void(bool frozen)> on_frozen = {};
    };

    /// `own.phase` is of no account. `replicas`: of the bucket where this program creates it, 1 to 5.
    MembershipFeed(nats::Connection& connection, const contract::Member& own, Events events,
                   int replicas = 1);
    MembershipFeed(const MembershipFeed&) = delete;
    MembershipFeed& operator=(const MembershipFeed&) = delete;
    /// Stops without leaving; no call after it returned. Can take four seconds while NATS does not answer, unless the
    /// connection is closed.
    ~MembershipFeed();

    /// Leaves: others take over at once. No call after it returned.
    void leave();

    /// The members heard of last; any thread.
    [[nodiscard]] std::size_t members() const { return members_.load(); }
    /// Serves, hears itself, and what it says of others stands; any thread.
    [[nodiscard]] bool steady() const { return steady_.load(); }
    /// Has been told to serve; any thread.
    [[nodiscard]] bool serving() const { return serving_.load(); }

  private:
    struct Stop {};
    using Event = std::variant<nats::BucketEvent, Stop>;

    void run();
    void take(const nats::BucketEvent& event, std::chrono::steady_clock::time_point now);
    void refresh(std::chrono::steady_clock::time_point now);
    void report(std::chrono::steady_clock::time_point now);

    nats::Connection& connection_;
    Events events_;
    cluster::Membership membership_;
    std::string key_;
    nats::BucketKeeper bucket_;
    std::chrono::steady_clock::time_point next_refresh_{};
    std::chrono::steady_clock::time_point next_rival_line_{};
    bool frozen_told_ = false;
    std::atomic<std::size_t> members_{0};
    std::atomic<bool> steady_{false};
    std::atomic<bool> serving_{false};
    Mailbox<Event> mailbox_;
    std::unique_ptr<nats::BucketWatch> watch_;
    std::thread thread_;
};

}  // namespace pgpulse::runtime
