#include "bench/arguments.hpp"
#include "bench/bare_bucket.hpp"
#include "bench/measured.hpp"

// The least that writing a transition of every target can take: pipelined compare-and-set writes of nats.c, all values
// ready and all revisions known beforehand.
int main(int argc, char** argv) {
    using namespace pgpulse::bench;
    if (argc != 4) usage("bare_cas_burst", "NATS_URL COUNT VALUE_BYTES");
    const long count = whole_number("COUNT", argv[2], 1, 100'000);
    const std::string value(static_cast<std::size_t>(whole_number("VALUE_BYTES", argv[3], 1, 65'536)), 'x');

    natsConnection* connection = nullptr;
    check("connect", natsConnection_ConnectTo(&connection, argv[1]));
    BareBucket bucket{connection, "bench_burst", "bench.burst"};
    const auto put_all = [&] {
        for (long i = 0; i < count; ++i) bucket.put("key-" + std::to_string(i), value);
        bucket.finish();
    };
    put_all();
    const Stretch stretch;
    put_all();
    stretch.print(static_cast<std::uint64_t>(count));
    std::fflush(stdout);
    std::quick_exit(0);
}
