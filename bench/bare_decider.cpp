#include "bench/arguments.hpp"
#include "bench/bare_bucket.hpp"

#include <unistd.h>

// The least that stands between a message and the transition it leads to: a subscription of nats.c, whose callback writes a
// value by compare-and-set under the last token of the subject. Serves until it is ended.
namespace pgpulse::bench {
namespace {

struct Decider {
    BareBucket bucket;
    std::string value;
};

void decide(natsConnection*, natsSubscription*, natsMsg* message, void* closure) {
    auto& decider = *static_cast<Decider*>(closure);
    const std::string subject = natsMsg_GetSubject(message);
    decider.bucket.put(subject.substr(subject.rfind('.') + 1), decider.value);
    natsMsg_Destroy(message);
}

}  // namespace
}  // namespace pgpulse::bench

int main(int argc, char** argv) {
    using namespace pgpulse::bench;
    if (argc != 5) usage("bare_decider", "NATS_URL SUBJECT REPUBLISH_TO VALUE_BYTES");
    const auto bytes = static_cast<std::size_t>(whole_number("VALUE_BYTES", argv[4], 1, 65'536));

    natsConnection* connection = nullptr;
    natsSubscription* subscription = nullptr;
    check("connect", natsConnection_ConnectTo(&connection, argv[1]));
    Decider decider{{connection, "bench_decisions", argv[3]}, std::string(bytes, 'x')};
    check("subscribe", natsConnection_Subscribe(&subscription, connection, argv[2], decide, &decider));
    check("flush", natsConnection_Flush(connection));
    std::puts("subscribed");
    std::fflush(stdout);
    pause();
}
