#include "bench/arguments.hpp"
#include "bench/fleet.hpp"
#include "common/contract/names.hpp"

#include <chrono>
#include <memory>
#include <thread>
#include <vector>

// One transition of every target of a fleet at once, written into the bucket `health`, and how long it takes
// until the bridges, one or several, have carried all of them into Consul.
namespace pgpulse::bench {
namespace {

constexpr std::size_t kObservers = 3;
/// A look at a bridge's metrics costs it as much as ten transitions.
constexpr std::chrono::milliseconds kLookInterval{20};
constexpr std::chrono::seconds kPatience{120};
constexpr std::string_view kWritten = "pgpulse_bridge_delay_seconds_count";

}  // namespace
}  // namespace pgpulse::bench

int main(int argc, char** argv) {
    using namespace pgpulse;
    using namespace pgpulse::bench;
    if (argc < 5) usage("state_burst", "NATS_URL COUNT TRANSITION BRIDGE_METRICS_URL...");
    const long count = whole_number("COUNT", argv[2], 1, 100'000);
    const long transition = whole_number("TRANSITION", argv[3], 1, 1'000'000);

    const auto connection = connect(argv[1], "state_burst");
    std::vector<std::pair<std::string, std::string>> states;
    for (long i = 0; i < count; ++i) {
        std::string target = target_name(static_cast<std::size_t>(i));
        std::string value = state_value(target, static_cast<std::uint64_t>(transition), kObservers);
        states.emplace_back(std::move(target), std::move(value));
    }
    BucketFiller filler{*connection, contract::kStateBucket};
    std::vector<std::unique_ptr<MetricsReader>> bridges;
    for (int i = 4; i < argc; ++i) bridges.push_back(std::make_unique<MetricsReader>(argv[i]));
    const auto written = [&] {
        double sum = 0;
        for (const auto& bridge : bridges) sum += bridge->sum(kWritten);
        return sum;
    };
    const double before = written();
    const auto began = std::chrono::steady_clock::now();
    for (const auto& [target, value] : states) filler.put(target, value);
    while (written() - before < static_cast<double>(count)) {
        if (std::chrono::steady_clock::now() - began > kPatience)
            give_up("state_burst: the bridges did not carry all transitions into Consul");
        std::this_thread::sleep_for(kLookInterval);
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    filler.finish();
    std::printf("%ld %.6f\n", count, took.count());
}
