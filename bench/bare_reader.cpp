#include "bench/arguments.hpp"
#include "bench/bare_bucket.hpp"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

// The least that reading buckets can take: nats.c's ordered consumers of the newest values, a thread for each bucket as
// it has them, and every message thrown away. Prints the seconds from the start of the connection to the last message.
namespace pgpulse::bench {
namespace {

constexpr std::int64_t kConsumerWithinMs = 30'000;
constexpr std::int64_t kMessageWithinMs = 10'000;

void read(natsConnection* connection, const std::string& bucket) {
    jsOptions options;
    jsOptions_Init(&options);
    options.Wait = kConsumerWithinMs;
    jsCtx* js = nullptr;
    check("JetStream", natsConnection_JetStream(&js, connection, &options));
    jsSubOptions ordered;
    jsSubOptions_Init(&ordered);
    const std::string stream = "KV_" + bucket;
    ordered.Stream = stream.c_str();
    ordered.Ordered = true;
    ordered.Config.DeliverPolicy = js_DeliverLastPerSubject;
    natsSubscription* subscription = nullptr;
    check("subscribe",
          js_SubscribeSync(&subscription, js, ("$KV." + bucket + ".>").c_str(), nullptr, &ordered, nullptr));
    check("limits", natsSubscription_SetPendingLimits(subscription, -1, -1));
    for (bool last = false; !last;) {
        natsMsg* message = nullptr;
        check("read", natsSubscription_NextMsg(&message, subscription, kMessageWithinMs));
        jsMsgMetaData* delivery = nullptr;
        check("metadata", natsMsg_GetMetaData(&delivery, message));
        last = delivery->NumPending == 0;
        jsMsgMetaData_Destroy(delivery);
        natsMsg_Destroy(message);
    }
}

}  // namespace
}  // namespace pgpulse::bench

int main(int argc, char** argv) {
    using namespace pgpulse::bench;
    if (argc != 4) usage("bare_reader", "NATS_URL BUCKET BUCKET");
    const auto began = std::chrono::steady_clock::now();
    natsConnection* connection = nullptr;
    check("connect", natsConnection_ConnectTo(&connection, argv[1]));
    std::thread other{[&] { read(connection, argv[3]); }};
    read(connection, argv[2]);
    other.join();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    std::printf("%.3f\n", took.count());
    std::fflush(stdout);
    std::quick_exit(0);
}
