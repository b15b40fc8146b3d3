#include "bench/arguments.hpp"
#include "bench/fleet.hpp"
#include "common/contract/names.hpp"
#include "common/contract/vocabulary.hpp"
#include "common/nats/bucket.hpp"

// Makes both buckets and puts definitions of a fleet on loopback into `health_targets`.
int main(int argc, char** argv) {
    using namespace pgpulse;
    using namespace pgpulse::bench;
    if (argc != 6 && argc != 7)
        usage("define_targets", "NATS_URL COUNT FIRST_PORT PORTS INTERVAL_MS [SSLMODE]");
    const long count = whole_number("COUNT", argv[2], 1, 100'000);
    const long ports = whole_number("PORTS", argv[4], 1, 1000);
    const long first = whole_number("FIRST_PORT", argv[3], 1, 65536 - ports);
    const long interval = whole_number("INTERVAL_MS", argv[5], 50, 86'400'000);

    const auto sslmode = contract::parse_ssl_mode(argc == 7 ? argv[6] : "disable");
    if (!sslmode) usage("define_targets", "... INTERVAL_MS [SSLMODE]");

    const auto connection = connect(argv[1], "define_targets");
    nats::BucketConfig states;
    states.name = contract::kStateBucket;
    states.history = 64;
    states.republish_to = "health.state";
    nats::BucketConfig definitions;
    definitions.name = contract::kTargetsBucket;
    definitions.history = 8;
    for (const nats::BucketConfig& bucket : {states, definitions}) {
        if (const auto made = nats::ensure_bucket(*connection, bucket); !made) give_up(made.error().text);
    }
    BucketFiller filler{*connection, contract::kTargetsBucket};
    for (long i = 0; i < count; ++i) {
        contract::StoredDefinition stored;
        stored.definition.name = target_name(static_cast<std::size_t>(i));
        stored.definition.address = "127.0.0.1";
        stored.definition.port = static_cast<std::uint16_t>(first + i % ports);
        stored.definition.service = stored.definition.name;
        stored.definition.sslmode = *sslmode;
        stored.definition.interval = std::chrono::milliseconds{interval};
        filler.put(stored.definition.name, encode(stored));
    }
    filler.finish();
}
