#include "bench/arguments.hpp"
#include "bench/fleet.hpp"
#include "common/contract/names.hpp"

// Puts a state of every target of a fleet into the bucket `health`, each `up`, on the evidence of so many workers.
int main(int argc, char** argv) {
    using namespace pgpulse;
    using namespace pgpulse::bench;
    if (argc != 4) usage("define_states", "NATS_URL COUNT OBSERVERS");
    const long count = whole_number("COUNT", argv[2], 1, 100'000);
    const auto observers = static_cast<std::size_t>(whole_number("OBSERVERS", argv[3], 0, 10));

    const auto connection = connect(argv[1], "define_states");
    BucketFiller filler{*connection, contract::kStateBucket};
    for (long i = 0; i < count; ++i) {
        const std::string target = target_name(static_cast<std::size_t>(i));
        filler.put(target, state_value(target, 1, observers));
    }
    filler.finish();
}
