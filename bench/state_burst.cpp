#include "bench/arguments.hpp"
#include "bench/fleet.hpp"
#include "common/contract/names.hpp"
#include "common/contract/state.hpp"

#include <chrono>
#include <thread>
#include <vector>

// One transition of every target of a fleet at once, written into the bucket `health`, and how long it takes
// until the bridge has carried all of them into Consul.
namespace pgpulse::bench {
namespace {

constexpr std::chrono::milliseconds kLookInterval{10};
constexpr std::chrono::seconds kPatience{120};
constexpr std::string_view kWritten = "pgpulse_bridge_delay_seconds_count";

/// Odd transitions are to `up`, even ones to `down`; three observers saw it.
std::string state(const std::string& target, std::uint64_t transition) {
    const bool up = transition % 2 == 1;
    contract::State state;
    state.target = target;
    state.state = up ? contract::Health::up : contract::Health::down;
    state.since = std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
    state.transition = transition;
    if (transition > 1) state.previous = up ? contract::Health::down : contract::Health::up;
    state.reason = up ? contract::Reason::ok : contract::Reason::refused;
    for (int worker = 0; worker < 3; ++worker) {
        contract::Evidence evidence;
        evidence.worker = "bench-worker-" + std::to_string(worker);
        evidence.site = "bench";
        evidence.opinion = up ? contract::Opinion::up : contract::Opinion::down;
        evidence.verdict = up ? contract::Verdict::accepting : contract::Verdict::no_response;
        evidence.reason = state.reason;
        evidence.at = state.since;
        state.evidence.push_back(evidence);
    }
    state.decided_by = "bench";
    state.decided_at = state.since;
    return encode(state);
}

}  // namespace
}  // namespace pgpulse::bench

int main(int argc, char** argv) {
    using namespace pgpulse;
    using namespace pgpulse::bench;
    if (argc != 5) usage("state_burst", "NATS_URL COUNT TRANSITION BRIDGE_METRICS_URL");
    const long count = whole_number("COUNT", argv[2], 1, 100'000);
    const long transition = whole_number("TRANSITION", argv[3], 1, 1'000'000);

    const auto connection = connect(argv[1], "state_burst");
    std::vector<std::pair<std::string, std::string>> states;
    for (long i = 0; i < count; ++i) {
        std::string target = target_name(static_cast<std::size_t>(i));
        std::string value = state(target, static_cast<std::uint64_t>(transition));
        states.emplace_back(std::move(target), std::move(value));
    }
    BucketFiller filler{*connection, contract::kStateBucket};
    MetricsReader bridge{argv[4]};
    const double before = bridge.sum(kWritten);
    const auto began = std::chrono::steady_clock::now();
    for (const auto& [target, value] : states) filler.put(target, value);
    while (bridge.sum(kWritten) - before < static_cast<double>(count)) {
        if (std::chrono::steady_clock::now() - began > kPatience)
            give_up("state_burst: the bridge did not carry all transitions into Consul");
        std::this_thread::sleep_for(kLookInterval);
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    filler.finish();
    std::printf("%ld %.6f\n", count, took.count());
}
