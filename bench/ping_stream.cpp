#include "bench/arguments.hpp"
#include "bench/fleet.hpp"
#include "common/contract/names.hpp"
#include "common/contract/ping.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <vector>

// Publishes pings of a fleet as fast as they are taken. They are encoded by the contract, once; for each
// further ping of a target only the digits of `seq` and `mono_ms` are written anew, so that every one is a
// new ping.
namespace pgpulse::bench {
namespace {

constexpr std::uint64_t kFirstSeq = 1'000'000'000;         // ten digits, whatever comes
constexpr std::int64_t kMonoOffsetMs = 1'000'000'000'000;  // thirteen digits, whatever the uptime
constexpr std::size_t kMessagesBetweenLooks = 500;
// So many may be on their way to a follower that says what it has read: enough that it never waits for the
// stream, few enough that none is too late to count.
constexpr double kWindow = 30'000;
constexpr std::chrono::milliseconds kLookInterval{25};
constexpr std::chrono::milliseconds kPause{1};

void write_digits(char* last, std::uint64_t value, std::size_t width) {
    for (std::size_t i = 0; i < width; ++i, value /= 10) *last-- = static_cast<char>('0' + value % 10);
}

std::int64_t mono_ms() {
    using namespace std::chrono;
    return kMonoOffsetMs + duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

/// One worker's pings of one target.
class Ping {
  public:
    Ping(std::string worker, std::string run, std::size_t target) {
        contract::Ping ping;
        ping.target = target_name(target);
        ping.worker = std::move(worker);
        ping.site = "bench";
        ping.run = std::move(run);
        ping.seq = kFirstSeq;
        ping.mono_ms = kMonoOffsetMs;
        ping.at = std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
        ping.verdict = contract::Verdict::accepting;
        ping.rtt_us = 512 + static_cast<std::int64_t>(target % 300);
        ping.opinion = contract::Opinion::up;
        ping.streak = 1234;
        subject_ = contract::ping_subject(ping.worker, ping.target);
        payload_ = encode(ping);
        seq_ = last_digit("\"seq\":", kFirstSeq);
        mono_ = last_digit("\"mono_ms\":", kMonoOffsetMs);
    }

    void publish(natsConnection* connection, std::uint64_t seq, std::int64_t mono) {
        write_digits(&payload_[seq_], seq, 10);
        write_digits(&payload_[mono_], static_cast<std::uint64_t>(mono), 13);
        const natsStatus s = natsConnection_Publish(connection, subject_.c_str(), payload_.data(),
                                                    static_cast<int>(payload_.size()));
        if (s != NATS_OK) give_up(std::string{"ping_stream: publish: "} + natsStatus_GetText(s));
    }

  private:
    std::string subject_;
    std::string payload_;
    std::size_t seq_ = 0;
    std::size_t mono_ = 0;

    template <typename Number>
    std::size_t last_digit(const std::string& key, Number value) const {
        const std::string text = key + std::to_string(value);
        const auto at = payload_.find(text);
        if (at == std::string::npos) give_up("ping_stream: no " + text + " in an encoded ping");
        return at + text.size() - 1;
    }
};

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
    using namespace pgpulse;
    using namespace pgpulse::bench;
    if (argc != 5 && argc != 7) usage("ping_stream", "NATS_URL TARGETS WORKERS SECONDS [METRICS_URL METRIC]");
    const long targets = whole_number("TARGETS", argv[2], 1, 100'000);
    const long workers = whole_number("WORKERS", argv[3], 1, 100);
    const std::chrono::seconds seconds{whole_number("SECONDS", argv[4], 1, 3600)};

    const auto connection = connect(argv[1], "ping_stream");
    std::optional<Window> window;
    if (argc == 7) window.emplace(argv[5], argv[6]);
    std::random_device random;
    std::vector<Ping> pings;
    for (long worker = 0; worker < workers; ++worker) {
        char run[17];
        std::snprintf(run, sizeof run, "%08x%08x", random(), random());
        for (long target = 0; target < targets; ++target) {
            pings.emplace_back("bench-worker-" + std::to_string(worker), run,
                               static_cast<std::size_t>(target));
        }
    }
    std::uint64_t published = 0;
    const auto end = std::chrono::steady_clock::now() + seconds;
    for (std::uint64_t seq = kFirstSeq; std::chrono::steady_clock::now() < end; ++seq) {
        std::int64_t mono = mono_ms();
        for (Ping& ping : pings) {
            ping.publish(connection->handle(), seq, mono);
            if (++published % kMessagesBetweenLooks != 0) continue;
            if (window) window->wait(static_cast<double>(published));
            mono = mono_ms();
        }
    }
    static_cast<void>(connection->flush(std::chrono::seconds{5}));
    std::printf("%llu\n", static_cast<unsigned long long>(published));
}
