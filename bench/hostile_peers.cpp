#include "tests/support/hostile_peers.hpp"

#include "bench/arguments.hpp"
#include "bench/fleet.hpp"
#include "common/contract/names.hpp"

#include <unistd.h>

#include <cstdio>
#include <memory>

// Peers that mean ill, and targets at them: COUNT definitions in `health_targets`, pinged every second, at one
// port for each kind. Serves until it is ended.
int main(int argc, char** argv) {
    using namespace pgpulse;
    using namespace pgpulse::bench;
    if (argc != 4) usage("hostile_peers", "NATS_URL COUNT FIRST_PORT");
    const long count = whole_number("COUNT", argv[2], 1, 100'000);
    const auto& kinds = support::hostile_kinds();
    const long first = whole_number("FIRST_PORT", argv[3], 1, 65536 - static_cast<long>(kinds.size()));

    std::vector<std::unique_ptr<support::TcpPeer>> peers;
    for (std::size_t i = 0; i < kinds.size(); ++i) {
        const auto port = static_cast<std::uint16_t>(first + static_cast<long>(i));
        peers.push_back(std::make_unique<support::TcpPeer>(kinds[i].script, port));
    }
    const auto connection = connect(argv[1], "hostile_peers");
    BucketFiller filler{*connection, contract::kTargetsBucket};
    for (long i = 0; i < count; ++i) {
        const std::size_t kind = static_cast<std::size_t>(i) % kinds.size();
        contract::StoredDefinition stored;
        stored.definition.name = kinds[kind].name + "-" + std::to_string(i);
        stored.definition.address = "127.0.0.1";
        stored.definition.port = peers[kind]->port();
        stored.definition.service = stored.definition.name;
        filler.put(stored.definition.name, encode(stored));
    }
    filler.finish();
    std::puts("listening");
    std::fflush(stdout);
    pause();
}
