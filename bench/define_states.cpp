#include "bench/arguments.hpp"
#include "bench/fleet.hpp"
#include "common/contract/names.hpp"

// Puts a state of every target of a fleet into the bucket `health`, on the evidence of so many workers: `up`, or `down` where the
// transition is an even one.
int main(int argc, char** argv) {
    using namespace pgpulse;
    using namespace pgpulse::bench;
    if (argc != 4 && argc != 5) usage("define_states", "NATS_URL COUNT OBSERVERS [TRANSITION]");
    const long count = whole_number("COUNT", argv[2], 1, 100'000);
    const auto observers = static_cast<std::size_t>(whole_number("OBSERVERS", argv[3], 0, 10));

    const auto transition =
        static_cast<std::uint64_t>(argc == 5 ? whole_number("TRANSITION", argv[4], 1, 1'000'000) : 1);

    const auto connection = connect(argv[1], "define_states");
    BucketFiller filler{*connection, contract::kStateBucket};
    for (long i = 0; i < count; ++i) {
        const std::string target = target_name(static_cast<std::size_t>(i));
        filler.put(target, state_value(target, transition, observers));
    }
    filler.finish();
}
