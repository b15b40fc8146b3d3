#include "bench/arguments.hpp"
#include "bench/measured.hpp"

#include <nats/nats.h>

#include <atomic>
#include <optional>
#include <thread>

// The least that reading the pings can cost: a subscription of nats.c whose callback looks at nothing.
namespace pgpulse::bench {
namespace {

struct Count {
    std::atomic<std::uint64_t> messages{0};
    std::atomic<std::uint64_t> bytes{0};
};

void count(natsConnection*, natsSubscription*, natsMsg* message, void* closure) {
    auto& counted = *static_cast<Count*>(closure);
    counted.messages.fetch_add(1, std::memory_order_relaxed);
    counted.bytes.fetch_add(static_cast<std::uint64_t>(natsMsg_GetDataLength(message)),
                            std::memory_order_relaxed);
    natsMsg_Destroy(message);
}

void check(const char* what, natsStatus status) {
    if (status != NATS_OK)
        give_up(std::string{"bare_subscriber: "} + what + ": " + natsStatus_GetText(status));
}

}  // namespace
}  // namespace pgpulse::bench

int main(int argc, char** argv) {
    using namespace pgpulse::bench;
    if (argc != 4) usage("bare_subscriber", "NATS_URL SUBJECT SECONDS");
    const long seconds = whole_number("SECONDS", argv[3], 1, 3600);

    Count counted;
    natsConnection* connection = nullptr;
    natsSubscription* subscription = nullptr;
    check("connect", natsConnection_ConnectTo(&connection, argv[1]));
    check("subscribe", natsConnection_Subscribe(&subscription, connection, argv[2], count, &counted));
    check("limits", natsSubscription_SetPendingLimits(subscription, -1, -1));
    check("flush", natsConnection_Flush(connection));
    std::puts("subscribed");
    std::fflush(stdout);

    // The first second is the stream's start.
    while (counted.messages.load() == 0) std::this_thread::sleep_for(std::chrono::milliseconds{10});
    std::this_thread::sleep_for(std::chrono::seconds{1});
    const Stretch stretch;
    const std::uint64_t before = counted.messages.load();
    std::this_thread::sleep_for(std::chrono::seconds{seconds});
    stretch.print(counted.messages.load() - before);
    std::fflush(stdout);
    // Nothing is left to be tidied up, and taking down a subscription under full load takes a while.
    std::quick_exit(0);
}
