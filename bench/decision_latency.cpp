#include "bench/arguments.hpp"
#include "bench/fleet.hpp"
#include "bench/observers.hpp"
#include "bench/quantiles.hpp"
#include "common/contract/names.hpp"
#include "common/contract/state.hpp"
#include "common/nats/subscription.hpp"
#include "common/runtime/mailbox.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

// Three made-up workers ping a fleet at its interval. One target after the other goes down by the word of two of them: says how
// long it takes from the second one's ping to the message on `health.state.<target>`; and in turns with it, from a message
// to what bare_decider makes of it.
namespace pgpulse::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kWorkers = 3;
constexpr std::chrono::seconds kPatience{30};
constexpr std::chrono::milliseconds kLook{1};
/// Between two things that happen: so long, and up to as much again.
constexpr unsigned kPauseMs = 10;

struct Arrival {
    Clock::time_point at;
    nats::Message message;
};

class Bench {
  public:
    Bench(const char* url, std::size_t targets, std::chrono::milliseconds interval, std::string bare_subject,
          const std::string& bare_answers)
        : interval_(interval),
          bare_subject_(std::move(bare_subject)),
          connection_(connect(url, "decision_latency")),
          observers_(url, "decision_latency", {kWorkers, targets}),
          states_(subscribe(std::string{contract::kAllStates})),
          bare_answers_(subscribe(bare_answers + ".>")) {
        for (std::size_t i = 0; i < targets; ++i) index_.emplace(target_name(i), i);
        healths_.resize(targets, contract::Health::unknown);
    }

    void await_all_up() {
        std::size_t at = 0;
        go_on_until([&] {
            while (at < healths_.size() && healths_[at] == contract::Health::up) ++at;
            return at == healths_.size();
        });
    }

    /// Milliseconds.
    double decision(std::size_t target) {
        say(0, target, contract::Opinion::down);
        pause();
        const auto deciding = say(1, target, contract::Opinion::down);
        const auto down = await(target, contract::Health::down);
        say(2, target, contract::Opinion::down);
        pause();
        for (std::size_t worker = 0; worker < kWorkers; ++worker) say(worker, target, contract::Opinion::up);
        await(target, contract::Health::up);
        pause();
        return ms(down - deciding);
    }
    double bare_decision(std::size_t target) {
        pause();
        bare_answer_.reset();
        const std::string subject = bare_subject_ + "." + target_name(target);
        const auto asked = Clock::now();
        if (const auto sent = connection_->publish(subject, {}); !sent) give_up(sent.error().text);
        go_on_until([&] { return bare_answer_.has_value(); });
        return ms(bare_answer_.value_or(asked) - asked);
    }

  private:
    const std::chrono::milliseconds interval_;
    const std::string bare_subject_;
    std::unordered_map<std::string, std::size_t> index_;
    std::vector<contract::Health> healths_;
    Clock::time_point newest_;
    std::optional<Clock::time_point> bare_answer_;
    std::minstd_rand random_;  // the same moments in each run
    runtime::Mailbox<Arrival> arrivals_;
    std::vector<Arrival> batch_;
    std::unique_ptr<nats::Connection> connection_;
    Observers observers_;
    std::unique_ptr<nats::Subscription> states_;
    std::unique_ptr<nats::Subscription> bare_answers_;

    static double ms(Clock::duration time) { return std::chrono::duration<double, std::milli>(time).count(); }

    std::unique_ptr<nats::Subscription> subscribe(const std::string& subject) {
        auto opened = nats::Subscription::open(*connection_, subject, [this](nats::Message message) {
            arrivals_.post({Clock::now(), std::move(message)});
        });
        if (!opened) give_up(opened.error().text);
        return std::move(*opened);
    }

    Clock::time_point say(std::size_t worker, std::size_t target, contract::Opinion opinion) {
        observers_.hold(worker, target, opinion);
        const auto now = Clock::now();
        observers_.publish(worker, target);
        return now;
    }

    Clock::time_point await(std::size_t target, contract::Health health) {
        go_on_until([&] { return healths_[target] == health; });
        return newest_;
    }

    void pause() {
        const std::chrono::milliseconds time{kPauseMs + random_() % kPauseMs};
        go_on_until([end = Clock::now() + time] { return Clock::now() > end; });
    }

    void go_on_until(const std::function<bool()>& condition) {
        const auto deadline = Clock::now() + kPatience;
        while (!condition()) {
            if (Clock::now() > deadline) give_up("decision_latency: no answer to a deciding ping");
            observers_.keep_pace(interval_);
            arrivals_.take_until(batch_, Clock::now() + kLook);
            for (const Arrival& arrival : batch_) take(arrival);
        }
    }

    void take(const Arrival& arrival) {
        const std::string subject{nats::subject_of(arrival.message)};
        const std::string target = subject.substr(subject.rfind('.') + 1);
        if (subject != contract::state_subject(target)) {
            bare_answer_ = arrival.at;
            return;
        }
        const auto found = index_.find(target);
        const auto state = contract::decode_state(target, nats::payload_of(arrival.message));
        if (found == index_.end() || !state) give_up("decision_latency: unexpected message on " + subject);
        healths_[found->second] = state->state;
        newest_ = arrival.at;
    }
};

}  // namespace
}  // namespace pgpulse::bench

int main(int argc, char** argv) {
    using namespace pgpulse::bench;
    if (argc != 7)
        usage("decision_latency", "NATS_URL TARGETS INTERVAL_MS SAMPLES BARE_SUBJECT BARE_ANSWERS");
    const auto targets = static_cast<std::size_t>(whole_number("TARGETS", argv[2], 1, 100'000));
    const std::chrono::milliseconds interval{whole_number("INTERVAL_MS", argv[3], 50, 86'400'000)};
    const long samples = whole_number("SAMPLES", argv[4], 1, 100'000);

    Bench bench{argv[1], targets, interval, argv[5], argv[6]};
    bench.await_all_up();
    std::vector<double> decisions;
    std::vector<double> bare;
    for (long sample = 0; sample < samples; ++sample) {
        const std::size_t target = static_cast<std::size_t>(sample) % targets;
        decisions.push_back(bench.decision(target));
        bare.push_back(bench.bare_decision(target));
    }
    print_quantiles("decision", decisions);
    print_quantiles("bare", bare);
}
