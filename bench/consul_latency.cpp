#include "bench/arguments.hpp"
#include "bench/consul_http.hpp"
#include "bench/fleet.hpp"
#include "bench/quantiles.hpp"
#include "common/contract/names.hpp"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

// In turns: a transition of one target is written into the bucket `health`, and one write goes straight to Consul. Says how
// long each takes until the handler of a `consul watch` (bench/watch_handler) was started. The watches are of one kind:
//   key     the target's KV value; the bare write is one KV put
//   checks  the checks of the target's service; the bare write is one update of a check
namespace pgpulse::bench {
namespace {

using Clock = std::chrono::steady_clock;  // the handlers' CLOCK_MONOTONIC

constexpr std::size_t kObservers = 3;
constexpr int kPatienceMs = 30'000;
/// Between two writes: so long, and up to as much again.
constexpr unsigned kPauseMs = 20;

/// A port to which the handler of one watch tells its starts.
class Starts {
  public:
    explicit Starts(long port) : udp_(socket(AF_INET, SOCK_DGRAM, 0)), port_(port) {
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_port = htons(static_cast<std::uint16_t>(port));
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (bind(udp_, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0)
            give_up("consul_latency: port " + std::to_string(port) + " is taken");
    }
    Starts(const Starts&) = delete;
    Starts& operator=(const Starts&) = delete;
    ~Starts() { close(udp_); }

    /// The next start whose input has `text` in it. One with another is a fault.
    Clock::time_point next(const std::string& text) {
        pollfd ready{udp_, POLLIN, 0};
        if (poll(&ready, 1, kPatienceMs) != 1)
            give_up("consul_latency: no handler at port " + std::to_string(port_) + " was started");
        std::array<char, 65'536> datagram{};
        const ssize_t size = recv(udp_, datagram.data(), datagram.size() - 1, 0);
        const std::string told{datagram.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
        if (told.find(text) == std::string::npos)
            give_up("consul_latency: a handler was given '" + told + "', expected '" + text + "'");
        return Clock::time_point{std::chrono::nanoseconds{std::atoll(told.c_str())}};
    }

  private:
    int udp_;
    long port_;
};

std::string status(std::uint64_t transition) { return transition % 2 == 1 ? "passing" : "critical"; }

/// In KV values a number that grows tells one from another; Consul shows them in base64.
std::string bare_value(std::uint64_t transition) {
    return R"({"v":1,"target":"bare","state":"up","reason":"ok","since":"2026-01-02T03:04:05.000006Z","transition":)" +
           std::to_string(transition) +
           R"(,"previous":"down","service":"bare","address":"127.0.0.1","port":5432,)"
           R"("updated_at":"2026-01-02T03:04:05.000006Z","epoch":"2026-01-02T03:04:05.000006Z","revision":)" +
           std::to_string(transition) + "}";
}

std::string bare_check(std::uint64_t transition) {
    return R"({"Node":"bare","SkipNodeUpdate":true,"Check":{"CheckID":"bare-isready","Name":"PG is ready",)"
           R"("ServiceID":"bare","Status":")" +
           status(transition) + R"(","Output":"transition )" + std::to_string(transition) + R"("}})";
}

void write_bare(ConsulHttp& consul, bool checks, std::uint64_t transition) {
    if (checks) {
        consul.put("/v1/catalog/register", bare_check(transition));
    } else {
        consul.put("/v1/kv/bare", bare_value(transition));
    }
}

void wait_a_little() {
    static std::minstd_rand random{1};
    std::this_thread::sleep_for(std::chrono::milliseconds{kPauseMs + random() % kPauseMs});
}

double ms_since(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double, std::milli>(to - from).count();
}

}  // namespace
}  // namespace pgpulse::bench

int main(int argc, char** argv) {
    using namespace pgpulse;
    using namespace pgpulse::bench;
    const std::string kind = argc == 8 ? argv[3] : "";
    if (kind != "key" && kind != "checks")
        usage("consul_latency",
              "NATS_URL CONSUL_URL key|checks FIRST_TRANSITION SAMPLES BARE_PORT BRIDGE_PORT");
    const bool checks = kind == "checks";
    auto transition = static_cast<std::uint64_t>(whole_number("FIRST_TRANSITION", argv[4], 2, 1'000'000));
    const long samples = whole_number("SAMPLES", argv[5], 1, 100'000);
    Starts bare{whole_number("BARE_PORT", argv[6], 1, 65'535)};
    Starts bridge{whole_number("BRIDGE_PORT", argv[7], 1, 65'535)};

    const auto connection = connect(argv[1], "consul_latency");
    BucketFiller bucket{*connection, contract::kStateBucket};
    ConsulHttp consul{argv[2]};
    const std::string target = target_name(0);
    const auto expected = [&] { return checks ? "\"Status\":\"" + status(transition) + '"' : "\"Key\":"; };
    std::vector<double> of_bare;
    std::vector<double> of_bridge;
    // Each handler is started once for what is there.
    bridge.next("");
    bare.next("");
    for (long sample = 0; sample < samples; ++sample, ++transition) {
        wait_a_little();
        const std::string value = state_value(target, transition, kObservers);
        auto began = Clock::now();
        bucket.put(target, value);
        of_bridge.push_back(ms_since(began, bridge.next(expected())));
        wait_a_little();
        began = Clock::now();
        write_bare(consul, checks, transition);
        of_bare.push_back(ms_since(began, bare.next(expected())));
    }
    print_quantiles("bridge", of_bridge);
    print_quantiles("bare", of_bare);
}
