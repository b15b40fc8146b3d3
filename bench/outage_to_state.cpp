#include "bench/arguments.hpp"
#include "bench/database_server.hpp"
#include "bench/fleet.hpp"
#include "bench/quantiles.hpp"
#include "bench/script_check.hpp"
#include "bench/target_follower.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

// Kills or stops real servers that real workers ping, over and over, and says after how long NATS carried the transition: each
// server by itself, or all of them at the same moment.
namespace pgpulse::bench {
namespace {

using Clock = std::chrono::steady_clock;

/// The interval of a target's pings.
constexpr unsigned kPhaseMs = 1000;

enum class Event { kill, hang };

struct Times {
    std::vector<double> ping;
    std::vector<double> state;
    std::vector<double> script;
};

/// One server and all that watches it. It runs before and after each round.
class Subject {
  public:
    Subject(nats::Connection& connection, const std::string& name, std::size_t observers,
            DatabaseServer server, std::unique_ptr<ScriptCheck> script)
        : follower_(connection, name, contract::Via::fresh, observers),
          server_(std::move(server)),
          script_(std::move(script)) {}

    void await_up() {
        follower_.await_up();
        if (script_) script_->await_up();
    }
    void meet(Event event) { met_ = event == Event::kill ? server_.kill9() : server_.hang(); }
    /// Waits until it is told, with `scripted` until the script tells of it as well, and notes when.
    double await_told(bool scripted, Times& times) {
        const auto down = follower_.await_down();
        const auto by_script = scripted ? std::optional{script_->await_down()} : std::nullopt;
        static std::mutex mutex;
        const std::lock_guard lock{mutex};
        times.ping.push_back(ms_between(met_, down.ping));
        times.state.push_back(ms_between(met_, down.state));
        if (by_script) times.script.push_back(ms_between(met_, *by_script));
        return times.state.back();
    }
    void recover(Event event) { event == Event::kill ? server_.start() : server_.resume(); }

  private:
    TargetFollower follower_;
    DatabaseServer server_;
    std::unique_ptr<ScriptCheck> script_;
    Clock::time_point met_;
};

using Subjects = std::vector<std::unique_ptr<Subject>>;

/// At whatever moment between two pings, which all come right before this one otherwise.
void wait_for_any_phase(std::minstd_rand& random) {
    std::this_thread::sleep_for(std::chrono::milliseconds{random() % kPhaseMs});
}

void each_alone(Subjects& subjects, Event event, long rounds, long scripted, Times& times) {
    std::vector<std::thread> threads;
    threads.reserve(subjects.size());
    for (std::size_t i = 0; i < subjects.size(); ++i) {
        threads.emplace_back([&, i, &subject = *subjects[i]] {
            std::minstd_rand random{static_cast<unsigned>(i + 1)};  // the same moments in each run
            for (long round = 0; round < rounds; ++round) {
                subject.await_up();
                wait_for_any_phase(random);
                subject.meet(event);
                subject.await_told(round < scripted, times);
                subject.recover(event);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
}

/// The time of each round's last one.
std::vector<double> all_together(Subjects& subjects, Event event, long rounds, Times& times) {
    std::vector<double> last;
    std::minstd_rand random;
    for (long round = 0; round < rounds; ++round) {
        for (const auto& subject : subjects) subject->await_up();
        wait_for_any_phase(random);
        for (const auto& subject : subjects) subject->meet(event);
        double longest = 0;
        for (const auto& subject : subjects) longest = std::max(longest, subject->await_told(false, times));
        last.push_back(longest);
        std::vector<std::thread> threads;
        threads.reserve(subjects.size());
        for (const auto& subject : subjects)
            threads.emplace_back([&subject, event] { subject->recover(event); });
        for (std::thread& thread : threads) thread.join();
    }
    return last;
}

}  // namespace
}  // namespace pgpulse::bench

int main(int argc, char** argv) {
    using namespace pgpulse::bench;
    constexpr const char* kUsage =
        "NATS_URL kill|hang alone|together SERVERS OBSERVERS ROUNDS SCRIPTED_ROUNDS FIRST_PORT FOLDER "
        "START_PROGRAM PG_ISREADY";
    if (argc != 12) usage("outage_to_state", kUsage);
    const std::string_view event_name{argv[2]};
    const std::string_view company{argv[3]};
    if ((event_name != "kill" && event_name != "hang") || (company != "alone" && company != "together"))
        usage("outage_to_state", kUsage);
    const Event event = event_name == "kill" ? Event::kill : Event::hang;
    const long servers = whole_number("SERVERS", argv[4], 1, 100);
    const auto observers = static_cast<std::size_t>(whole_number("OBSERVERS", argv[5], 1, 10));
    const long rounds = whole_number("ROUNDS", argv[6], 1, 1000);
    const long scripted = whole_number("SCRIPTED_ROUNDS", argv[7], 0, rounds);
    const long first_port = whole_number("FIRST_PORT", argv[8], 1, 65535 - servers);

    const auto connection = connect(argv[1], "outage_to_state");
    Subjects subjects;
    for (long i = 0; i < servers; ++i) {
        const std::string name = "db" + std::to_string(i);
        auto script =
            scripted > 0 ? std::make_unique<ScriptCheck>(argv[11], std::to_string(first_port + i)) : nullptr;
        subjects.push_back(std::make_unique<Subject>(
            *connection, name, observers, DatabaseServer{argv[10], std::string{argv[9]} + "/" + name},
            std::move(script)));
    }
    Times times;
    if (company == "alone") {
        each_alone(subjects, event, rounds, scripted, times);
    } else {
        print_quantiles("last", all_together(subjects, event, rounds, times));
    }
    print_quantiles("ping", times.ping);
    print_quantiles("state", times.state);
    if (!times.script.empty()) print_quantiles("script", times.script);
}
