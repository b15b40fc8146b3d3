#include "bench/arguments.hpp"
#include "bench/observers.hpp"

#include <chrono>
#include <thread>

// Pings of a fleet at its interval, evenly spread, until it is ended.
int main(int argc, char** argv) {
    using namespace pgpulse::bench;
    if (argc != 5) usage("paced_pings", "NATS_URL TARGETS WORKERS INTERVAL_MS");
    const auto targets = static_cast<std::size_t>(whole_number("TARGETS", argv[2], 1, 100'000));
    const auto workers = static_cast<std::size_t>(whole_number("WORKERS", argv[3], 1, 100));
    const std::chrono::milliseconds interval{whole_number("INTERVAL_MS", argv[4], 50, 86'400'000)};

    Observers observers{argv[1], "paced_pings", {workers, targets}};
    for (;;) {
        observers.keep_pace(interval);
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
}
