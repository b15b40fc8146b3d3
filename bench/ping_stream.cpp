#include "bench/arguments.hpp"
#include "bench/fleet.hpp"
#include "bench/observers.hpp"

#include <chrono>
#include <optional>
#include <thread>

// Publishes pings of a fleet as fast as they are taken.
namespace pgpulse::bench {
namespace {

constexpr std::size_t kMessagesBetweenLooks = 500;
// So many may be on their way to a follower that says what it has read: enough that it never waits for the
// stream, few enough that none is too late to count.
constexpr double kWindow = 30'000;
constexpr std::chrono::milliseconds kLookInterval{25};
constexpr std::chrono::milliseconds kPause{1};

/// Holds the stream back so that a follower has at most `kWindow` pings before it.
class Window {
  public:
    Window(std::string metrics_url, std::string metric)
        : metrics_(std::move(metrics_url)), metric_(std::move(metric)) {
        before_ = metrics_.sum(metric_);
    }

    void wait(double published) {
        const auto now = std::chrono::steady_clock::now();
        if (published - read_ < kWindow && now - looked_ < kLookInterval) return;
        for (;;) {
            looked_ = std::chrono::steady_clock::now();
            read_ = metrics_.sum(metric_) - before_;
            if (published - read_ < kWindow) return;
            std::this_thread::sleep_for(kPause);
        }
    }

  private:
    MetricsReader metrics_;
    std::string metric_;
    double before_ = 0;
    double read_ = 0;
    std::chrono::steady_clock::time_point looked_{};
};

}  // namespace
}  // namespace pgpulse::bench

int main(int argc, char** argv) {
    using namespace pgpulse::bench;
    if (argc != 5 && argc != 7) usage("ping_stream", "NATS_URL TARGETS WORKERS SECONDS [METRICS_URL METRIC]");
    const auto targets = static_cast<std::size_t>(whole_number("TARGETS", argv[2], 1, 100'000));
    const auto workers = static_cast<std::size_t>(whole_number("WORKERS", argv[3], 1, 100));
    const std::chrono::seconds seconds{whole_number("SECONDS", argv[4], 1, 3600)};

    Observers observers{argv[1], "ping_stream", {workers, targets}};
    std::optional<Window> window;
    if (argc == 7) window.emplace(argv[5], argv[6]);
    const auto end = std::chrono::steady_clock::now() + seconds;
    while (std::chrono::steady_clock::now() < end) {
        for (std::size_t worker = 0; worker < workers; ++worker) {
            for (std::size_t target = 0; target < targets; ++target) {
                observers.publish(worker, target);
                if (observers.published() % kMessagesBetweenLooks == 0 && window)
                    window->wait(static_cast<double>(observers.published()));
            }
        }
    }
    observers.flush();
    std::printf("%llu\n", static_cast<unsigned long long>(observers.published()));
}
