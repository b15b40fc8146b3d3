#include "bench/arguments.hpp"
#include "bench/database_server.hpp"
#include "bench/fleet.hpp"
#include "bench/quantiles.hpp"
#include "bench/target_follower.hpp"

#include <libpq-fe.h>

#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

// Kills the postmaster of a server that three workers observe, over and over, and says after how long NATS carried the first
// ping that holds it down, and the transition.
namespace pgpulse::bench {
namespace {

constexpr std::size_t kObservers = 3;
/// The interval of a target's pings.
constexpr unsigned kPhaseMs = 1000;

using Session = std::unique_ptr<PGconn, decltype(&PQfinish)>;

/// Sessions of other clients, each of which a postmaster's death ends as well.
std::vector<Session> open_sessions(const char* conninfo, long count) {
    std::vector<Session> sessions;
    while (static_cast<long>(sessions.size()) < count) {
        Session session{PQconnectdb(conninfo), &PQfinish};
        if (PQstatus(session.get()) != CONNECTION_OK) give_up(PQerrorMessage(session.get()));
        PQsetNoticeProcessor(session.get(), [](void*, const char*) {}, nullptr);
        sessions.push_back(std::move(session));
    }
    return sessions;
}

}  // namespace
}  // namespace pgpulse::bench

int main(int argc, char** argv) {
    using namespace pgpulse;
    using namespace pgpulse::bench;
    if (argc != 9) {
        usage("crash_to_state",
              "NATS_URL TARGET session|fresh ROUNDS OTHER_SESSIONS CONNINFO FOLDER START_PROGRAM");
    }
    const auto via = contract::parse_via(argv[3]);
    if (!via) give_up(std::string{"expected session or fresh, found '"} + argv[3] + "'");
    const long rounds = whole_number("ROUNDS", argv[4], 1, 1000);
    const long others = whole_number("OTHER_SESSIONS", argv[5], 0, 90);
    const auto connection = connect(argv[1], "crash_to_state");
    TargetFollower follower{*connection, argv[2], *via, kObservers};
    DatabaseServer server{argv[8], argv[7]};

    std::minstd_rand random;  // the same moments in each run
    std::vector<double> pings;
    std::vector<double> states;
    std::vector<double> quorums;
    for (long round = 0; round < rounds; ++round) {
        server.start();
        const auto sessions = open_sessions(argv[6], others);
        follower.await_up();
        // At whatever moment between two pings, which all come right before this one otherwise.
        std::this_thread::sleep_for(std::chrono::milliseconds{random() % kPhaseMs});
        const auto killed = server.kill9();
        const auto down = follower.await_down();
        pings.push_back(ms_between(killed, down.ping));
        states.push_back(ms_between(killed, down.state));
        quorums.push_back(ms_between(down.ping, down.state));
    }
    print_quantiles("ping", pings);
    print_quantiles("state", states);
    print_quantiles("quorum", quorums);
}
