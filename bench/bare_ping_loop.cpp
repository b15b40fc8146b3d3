#include "bench/arguments.hpp"
#include "bench/measured.hpp"

#include <libpq-fe.h>

#include <sys/epoll.h>

#include <array>
#include <vector>

// The least that a ping through libpq can cost: a hand-written epoll loop over PQconnectStartParams and
// PQconnectPoll with a number of pings always in flight, and nothing else. No deadline, no schedule, no
// opinion, no publish.
namespace pgpulse::bench {
namespace {

/// What pgpulse-probe passes to libpq for a target of mode `ping`.
PGconn* start(const char* port, const char* sslmode) {
    static constexpr std::array kKeywords{"host",       "hostaddr",
                                          "port",       "user",
                                          "dbname",     "application_name",
                                          "gssencmode", "passfile",
                                          "sslmode",    static_cast<const char*>(nullptr)};
    const std::array values{"127.0.0.1", "127.0.0.1",
                            port,        "postgres",
                            "postgres",  "pgpulse",
                            "disable",   "/nonexistent/.pgpass",
                            sslmode,     static_cast<const char*>(nullptr)};
    PGconn* const connection = PQconnectStartParams(kKeywords.data(), values.data(), 0);
    if (connection == nullptr || PQstatus(connection) == CONNECTION_BAD) {
        give_up(std::string{"bare_ping_loop: "} +
                (connection == nullptr ? "memory" : PQerrorMessage(connection)));
    }
    PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
    return connection;
}

class Loop {
  public:
    Loop(std::size_t in_flight, int first_port, int ports, const char* sslmode)
        : slots_(in_flight), sslmode_(sslmode) {
        for (int i = 0; i < ports; ++i) ports_.push_back(std::to_string(first_port + i));
    }

    /// Pings for so many seconds; returns how many ended.
    std::uint64_t run(const Stretch& stretch, double seconds) {
        for (PGconn*& slot : slots_) begin(slot);
        std::array<epoll_event, 256> events;
        std::uint64_t ended = 0;
        while (stretch.seconds() < seconds) {
            const int ready = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 1000);
            for (int i = 0; i < ready; ++i) {
                PGconn*& slot = *static_cast<PGconn**>(events[static_cast<std::size_t>(i)].data.ptr);
                if (!advance(slot)) continue;
                PQfinish(slot);
                ++ended;
                begin(slot);
            }
        }
        return ended;
    }

  private:
    int epoll_ = epoll_create1(EPOLL_CLOEXEC);
    std::vector<PGconn*> slots_;
    const char* sslmode_;
    std::vector<std::string> ports_;
    std::size_t next_port_ = 0;

    void wait(PGconn*& slot, int operation, std::uint32_t readiness) {
        epoll_event event{};
        event.events = readiness;
        event.data.ptr = static_cast<void*>(&slot);
        epoll_ctl(epoll_, operation, PQsocket(slot), &event);
    }

    void begin(PGconn*& slot) {
        slot = start(ports_[next_port_].c_str(), sslmode_);
        next_port_ = (next_port_ + 1) % ports_.size();
        wait(slot, EPOLL_CTL_ADD, EPOLLOUT);
    }

    /// True when the ping has ended.
    bool advance(PGconn*& slot) {
        switch (PQconnectPoll(slot)) {
            case PGRES_POLLING_READING:
                wait(slot, EPOLL_CTL_MOD, EPOLLIN);
                return false;
            case PGRES_POLLING_WRITING:
                wait(slot, EPOLL_CTL_MOD, EPOLLOUT);
                return false;
            default:
                // Asked for a password: the server accepts connections.
                if (PQconnectionNeedsPassword(slot) != 1)
                    give_up(std::string{"bare_ping_loop: "} + PQerrorMessage(slot));
                return true;
        }
    }
};

}  // namespace
}  // namespace pgpulse::bench

int main(int argc, char** argv) {
    using namespace pgpulse::bench;
    if (argc != 5 && argc != 6) usage("bare_ping_loop", "FIRST_PORT PORTS IN_FLIGHT SECONDS [SSLMODE]");
    const long ports = whole_number("PORTS", argv[2], 1, 1000);
    const long first = whole_number("FIRST_PORT", argv[1], 1, 65536 - ports);
    const long in_flight = whole_number("IN_FLIGHT", argv[3], 1, 10'000);
    const long seconds = whole_number("SECONDS", argv[4], 1, 3600);
    Loop loop{static_cast<std::size_t>(in_flight), static_cast<int>(first), static_cast<int>(ports),
              argc == 6 ? argv[5] : "disable"};
    const Stretch stretch;
    stretch.print(loop.run(stretch, static_cast<double>(seconds)));
}
