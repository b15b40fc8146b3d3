#include "bench/arguments.hpp"
#include "bench/fleet.hpp"
#include "common/contract/names.hpp"
#include "common/contract/ping.hpp"
#include "common/contract/state.hpp"
#include "common/nats/subscription.hpp"

#include <libpq-fe.h>

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

// Kills the postmaster of a server that three workers observe, over and over, and says after how long NATS carried the first
// ping that holds it down, and the transition.
namespace pgpulse::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{30};
constexpr std::size_t kObservers = 3;
/// The interval of a target's pings.
constexpr unsigned kPhaseMs = 1000;

/// What NATS carries of one target, and when it came.
class Follower {
  public:
    /// `via`: the kind of ping by which an observer that holds the server up is at its ordinary work.
    Follower(nats::Connection& connection, const std::string& target, contract::Via via)
        : target_(target),
          via_(via),
          pings_(open(connection, std::string{contract::kAllPings}, &Follower::take_ping)),
          states_(open(connection, contract::state_subject(target), &Follower::take_state)) {}

    /// Waits until it is up, and all observers say so.
    void await_up() {
        await("the target is not up by all of its observers", [this] {
            return state_ && state_->state == contract::Health::up && holding_.size() == kObservers;
        });
        const std::lock_guard lock{mutex_};
        first_down_.reset();
        down_.reset();
    }

    struct Times {
        double ping_ms;
        double state_ms;
    };
    /// How long after `killed` both were told.
    Times await_down(Clock::time_point killed) {
        await("the target is not down", [this] { return first_down_ && down_; });
        const std::lock_guard lock{mutex_};
        const auto ms = [&](Clock::time_point at) {
            return std::chrono::duration<double, std::milli>(at - killed).count();
        };
        holding_.clear();
        return {ms(first_down_.value_or(killed)), ms(down_.value_or(killed))};
    }

  private:
    const std::string target_;
    const contract::Via via_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::optional<contract::State> state_;
    std::set<std::string> holding_;
    std::optional<Clock::time_point> first_down_;
    std::optional<Clock::time_point> down_;
    std::unique_ptr<nats::Subscription> pings_;
    std::unique_ptr<nats::Subscription> states_;

    std::unique_ptr<nats::Subscription> open(nats::Connection& connection, const std::string& subject,
                                             void (Follower::*take)(const nats::Message&)) {
        auto opened = nats::Subscription::open(
            connection, subject, [this, take](const nats::Message& message) { (this->*take)(message); });
        if (!opened) give_up(opened.error().text);
        return std::move(*opened);
    }

    void take_ping(const nats::Message& message) {
        const auto now = Clock::now();
        const auto ping = contract::decode_ping(nats::subject_of(message), nats::payload_of(message));
        if (!ping || ping->target != target_) return;
        const std::lock_guard lock{mutex_};
        if (ping->opinion == contract::Opinion::down) {
            holding_.erase(ping->worker);
            if (!first_down_) first_down_ = now;
        }
        if (ping->via == via_ && ping->opinion == contract::Opinion::up) holding_.insert(ping->worker);
        changed_.notify_all();
    }

    void take_state(const nats::Message& message) {
        const auto now = Clock::now();
        auto state = contract::decode_state(target_, nats::payload_of(message));
        if (!state) return;
        const std::lock_guard lock{mutex_};
        if (state->state == contract::Health::down && !down_) down_ = now;
        state_ = std::move(*state);
        changed_.notify_all();
    }

    void await(const char* otherwise, const std::function<bool()>& condition) {
        std::unique_lock lock{mutex_};
        if (!changed_.wait_for(lock, kPatience, condition))
            give_up(std::string{"crash_to_state: "} + otherwise);
    }
};

pid_t postmaster(const std::string& pid_file) {
    pid_t pid = 0;
    if (!(std::ifstream{pid_file} >> pid) || pid <= 1) give_up(pid_file + ": no process id");
    return pid;
}

void run(const char* program) {
    std::vector<char*> arguments{const_cast<char*>(program), nullptr};
    pid_t pid = 0;
    int status = 0;
    if (posix_spawn(&pid, program, nullptr, nullptr, arguments.data(), environ) != 0 ||
        waitpid(pid, &status, 0) != pid || status != 0)
        give_up(std::string{program} + " failed");
}

using Session = std::unique_ptr<PGconn, decltype(&PQfinish)>;

/// Sessions of other clients, each of which a postmaster's death ends as well.
std::vector<Session> open_sessions(const char* conninfo, long count) {
    std::vector<Session> sessions;
    while (static_cast<long>(sessions.size()) < count) {
        Session session{PQconnectdb(conninfo), &PQfinish};
        if (PQstatus(session.get()) != CONNECTION_OK) give_up(PQerrorMessage(session.get()));
        PQsetNoticeProcessor(session.get(), [](void*, const char*) {}, nullptr);
        sessions.push_back(std::move(session));
    }
    return sessions;
}

/// The smallest value that this share of them does not exceed.
double quantile(std::vector<double> values, double share) {
    std::ranges::sort(values);
    const double rank = std::ceil(share * static_cast<double>(values.size()));
    return values[static_cast<std::size_t>(rank) - 1];
}

void print(const char* what, const std::vector<double>& values) {
    std::printf("%s %.1f %.1f %.1f\n", what, quantile(values, 0.5), quantile(values, 0.99),
                quantile(values, 1));
}

}  // namespace
}  // namespace pgpulse::bench

int main(int argc, char** argv) {
    using namespace pgpulse;
    using namespace pgpulse::bench;
    if (argc != 9) {
        usage("crash_to_state",
              "NATS_URL TARGET session|fresh ROUNDS OTHER_SESSIONS CONNINFO PID_FILE START_PROGRAM");
    }
    const auto via = contract::parse_via(argv[3]);
    if (!via) give_up(std::string{"expected session or fresh, found '"} + argv[3] + "'");
    const long rounds = whole_number("ROUNDS", argv[4], 1, 1000);
    const long others = whole_number("OTHER_SESSIONS", argv[5], 0, 90);
    const auto connection = connect(argv[1], "crash_to_state");
    Follower follower{*connection, argv[2], *via};

    std::minstd_rand random;  // the same moments in each run
    std::vector<double> pings;
    std::vector<double> states;
    for (long round = 0; round < rounds; ++round) {
        run(argv[8]);
        const auto sessions = open_sessions(argv[6], others);
        follower.await_up();
        // At whatever moment between two pings, which all come right before this one otherwise.
        std::this_thread::sleep_for(std::chrono::milliseconds{random() % kPhaseMs});
        const pid_t pid = postmaster(argv[7]);
        const auto killed = Clock::now();
        if (::kill(pid, SIGKILL) != 0) give_up("the postmaster cannot be killed");
        const auto [ping_ms, state_ms] = follower.await_down(killed);
        pings.push_back(ping_ms);
        states.push_back(state_ms);
    }
    print("ping", pings);
    print("state", states);
}
