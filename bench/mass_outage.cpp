#include "bench/arguments.hpp"
#include "bench/fleet.hpp"
#include "bench/observers.hpp"
#include "common/contract/names.hpp"
#include "common/contract/state.hpp"
#include "common/nats/bucket.hpp"
#include "common/runtime/mailbox.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

// Three made-up workers ping a fleet at its interval and hold all of it up; then all of it down, as fast as they can
// publish. Says how long it takes from the ping that completes the last target's quorum until the bucket holds every
// target down, and whether every ping was counted meanwhile.
namespace pgpulse::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kWorkers = 3;
/// The worker whose voice completes a majority.
constexpr std::size_t kDecides = kWorkers / 2;
constexpr std::chrono::seconds kPatience{30};
constexpr std::chrono::milliseconds kLook{1};
constexpr std::size_t kEventsBetweenPings = 50;
/// Pings go on at their pace for so long before and after the outage.
constexpr std::chrono::seconds kBefore{1};
constexpr std::chrono::seconds kAfter{2};
constexpr std::string_view kCounted = "pgpulse_aggregator_pings_total{outcome=\"counted\"}";
constexpr std::string_view kLate = "pgpulse_aggregator_pings_total{outcome=\"late\"}";
constexpr std::string_view kDropped = "pgpulse_aggregator_pings_dropped_total";

/// What the bucket holds of the fleet, and since when.
class Bucket {
  public:
    Bucket(nats::Connection& connection, std::size_t targets)
        : targets_(targets),
          watch_(connection, std::string{contract::kStateBucket},
                 [this](nats::BucketEvent event) { arrivals_.post({Clock::now(), std::move(event)}); }) {
        for (std::size_t i = 0; i < targets; ++i) index_.emplace(target_name(i), i);
    }

    /// Takes what came, and waits for it until `deadline`; calls `meanwhile` between some of it.
    void take_until(Clock::time_point deadline, const std::function<void()>& meanwhile) {
        arrivals_.take_until(batch_, deadline);
        std::size_t taken = 0;
        for (const Arrival& arrival : batch_) {
            take(arrival);
            if (++taken % kEventsBetweenPings == 0) meanwhile();
        }
    }

    [[nodiscard]] bool all(contract::Health health) const {
        return std::ranges::all_of(targets_, [health](const Target& t) { return t.health == health; });
    }
    [[nodiscard]] Clock::time_point newest() const { return std::ranges::max(targets_, {}, &Target::at).at; }
    [[nodiscard]] std::size_t mean_bytes() const {
        std::size_t sum = 0;
        for (const Target& target : targets_) sum += target.bytes;
        return sum / targets_.size();
    }

  private:
    struct Arrival {
        Clock::time_point at;
        nats::BucketEvent event;
    };
    struct Target {
        contract::Health health = contract::Health::unknown;
        std::uint64_t transition = 0;
        std::size_t bytes = 0;
        Clock::time_point at;
    };

    std::vector<Target> targets_;
    std::unordered_map<std::string, std::size_t> index_;
    runtime::Mailbox<Arrival> arrivals_;
    std::vector<Arrival> batch_;
    nats::BucketWatch watch_;

    void take(const Arrival& arrival) {
        const nats::BucketEvent& event = arrival.event;
        if (event.kind == nats::BucketEvent::Kind::opened) return;
        if (event.kind == nats::BucketEvent::Kind::loaded) return;
        const auto found = index_.find(event.key);
        if (found == index_.end()) give_up("mass_outage: '" + event.key + "' is none of the fleet's targets");
        const auto state = contract::decode_state(event.key, event.value);
        if (!state) give_up("mass_outage: " + event.key + ": " + state.error().detail);
        Target& target = targets_[found->second];
        if (target.transition != 0 && state->transition != target.transition + 1) {
            give_up("mass_outage: " + event.key + ": transition " + std::to_string(state->transition) +
                    " follows " + std::to_string(target.transition));
        }
        target = {state->state, state->transition, event.value.size(), arrival.at};
    }
};

/// The pings that each of the aggregators counted, dropped and found too late to count since `begin`.
class Counts {
  public:
    Counts(char** urls, int count) {
        for (int i = 0; i < count; ++i) readers_.push_back({std::make_unique<MetricsReader>(urls[i])});
    }

    /// To be called while no pings are published.
    void begin() {
        for (Reader& reader : readers_) {
            // What was published before is read first.
            for (double last = -1; last != reader.counted;
                 std::this_thread::sleep_for(std::chrono::milliseconds{100})) {
                last = reader.counted;
                reader.counted = reader.metrics->sum(kCounted);
            }
            reader.dropped = reader.metrics->sum(kDropped);
            reader.late = reader.metrics->sum(kLate);
        }
    }

    /// Of the aggregator that counted the fewest; waits until all have counted `published`, or some time.
    double counted(double published) {
        const auto deadline = Clock::now() + std::chrono::seconds{5};
        double fewest = published;
        for (Reader& reader : readers_) {
            double counted = 0;
            while ((counted = reader.metrics->sum(kCounted) - reader.counted) < published &&
                   Clock::now() < deadline)
                std::this_thread::sleep_for(std::chrono::milliseconds{50});
            fewest = std::min(fewest, counted);
        }
        return fewest;
    }
    double dropped() {
        double sum = 0;
        for (Reader& reader : readers_) sum += reader.metrics->sum(kDropped) - reader.dropped;
        return sum;
    }
    double late() {
        double sum = 0;
        for (Reader& reader : readers_) sum += reader.metrics->sum(kLate) - reader.late;
        return sum;
    }

  private:
    struct Reader {
        std::unique_ptr<MetricsReader> metrics;
        double counted = 0;
        double dropped = 0;
        double late = 0;
    };
    std::vector<Reader> readers_;
};

double ms(Clock::duration time) { return std::chrono::duration<double, std::milli>(time).count(); }

}  // namespace
}  // namespace pgpulse::bench

int main(int argc, char** argv) {
    using namespace pgpulse;
    using namespace pgpulse::bench;
    if (argc < 5) usage("mass_outage", "NATS_URL TARGETS INTERVAL_MS METRICS_URL...");
    const auto targets = static_cast<std::size_t>(whole_number("TARGETS", argv[2], 1, 100'000));
    const std::chrono::milliseconds interval{whole_number("INTERVAL_MS", argv[3], 50, 86'400'000)};

    const auto connection = connect(argv[1], "mass_outage");
    Observers observers{argv[1], "mass_outage", {kWorkers, targets}};
    Bucket bucket{*connection, targets};
    Counts counts{argv + 4, argc - 4};
    const auto pings = [&] { observers.keep_pace(interval); };
    // Pings at their pace until the condition holds.
    const auto go_on_until = [&](const auto& condition) {
        const auto deadline = Clock::now() + kPatience;
        while (!condition()) {
            if (Clock::now() > deadline) give_up("mass_outage: the targets' states do not follow the pings");
            pings();
            bucket.take_until(Clock::now() + kLook, pings);
        }
    };
    const auto go_on_for = [&](Clock::duration time) {
        go_on_until([end = Clock::now() + time] { return Clock::now() > end; });
    };

    go_on_until([&] { return bucket.all(contract::Health::up); });
    observers.flush();
    counts.begin();
    const std::uint64_t before = observers.published();
    observers.rest();
    std::puts("up");
    std::fflush(stdout);
    go_on_for(kBefore);

    for (std::size_t worker = 0; worker < kWorkers; ++worker) {
        for (std::size_t target = 0; target < targets; ++target)
            observers.hold(worker, target, contract::Opinion::down);
    }
    Clock::time_point first_deciding;
    Clock::time_point last_deciding;
    for (std::size_t worker = 0; worker < kWorkers; ++worker) {
        for (std::size_t target = 0; target < targets; ++target) {
            if (worker == kDecides && target == 0) first_deciding = Clock::now();
            if (worker == kDecides && target + 1 == targets) last_deciding = Clock::now();
            observers.publish(worker, target);
        }
    }
    observers.rest();
    go_on_until([&] { return bucket.all(contract::Health::down); });
    const auto down = bucket.newest();
    go_on_for(kAfter);
    observers.flush();
    const auto published = static_cast<double>(observers.published() - before);
    const double counted = counts.counted(published);
    std::printf("%.1f %.1f %zu %.0f %.0f %.0f %.0f\n", ms(down - last_deciding), ms(down - first_deciding),
                bucket.mean_bytes(), published, counted, counts.dropped(), counts.late());
}
