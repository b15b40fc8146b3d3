#include "bench/arguments.hpp"
#include "bench/measured.hpp"

#include <libpq-fe.h>

#include <sys/epoll.h>

#include <array>
#include <chrono>
#include <vector>

// The least that a check of a held session through libpq can cost: a hand-written epoll loop that sends a bare
// Sync over each of its sessions every so often and reads the answer, and nothing else. No deadline, no role, no
// lag, no publish.
namespace pgpulse::bench {
namespace {

using Clock = std::chrono::steady_clock;

PGconn* log_in(const char* port, const char* sslmode) {
    static constexpr std::array kKeywords{
        "host", "port", "user", "dbname", "gssencmode", "sslmode", static_cast<const char*>(nullptr)};
    const std::array values{
        "127.0.0.1", port, "postgres", "postgres", "disable", sslmode, static_cast<const char*>(nullptr)};
    PGconn* const connection = PQconnectdbParams(kKeywords.data(), values.data(), 0);
    if (PQstatus(connection) != CONNECTION_OK || PQsetnonblocking(connection, 1) != 0 ||
        PQenterPipelineMode(connection) != 1) {
        give_up(std::string{"bare_sync_loop: "} + PQerrorMessage(connection));
    }
    return connection;
}

class Loop {
  public:
    Loop(const char* port, const char* sslmode, long sessions) {
        for (long i = 0; i < sessions; ++i) {
            PGconn* const session = sessions_.emplace_back(log_in(port, sslmode));
            epoll_event event{};
            event.events = EPOLLIN;
            event.data.ptr = session;
            epoll_ctl(epoll_, EPOLL_CTL_ADD, PQsocket(session), &event);
        }
    }

    /// Checks each session at this interval, one after the other, for so many seconds; returns how many checks
    /// were answered.
    std::uint64_t run(const Stretch& stretch, std::chrono::nanoseconds interval, double seconds) {
        const auto step = interval / sessions_.size();
        auto due = Clock::now();
        std::size_t next = 0;
        std::uint64_t answered = 0;
        std::array<epoll_event, 256> events;
        while (stretch.seconds() < seconds) {
            for (; due <= Clock::now(); due += step) {
                PGconn* const session = sessions_[next];
                next = (next + 1) % sessions_.size();
                if (PQpipelineSync(session) != 1 || PQflush(session) != 0) lost(session);
            }
            const int ready = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 1);
            for (int i = 0; i < ready; ++i)
                answered += read(static_cast<PGconn*>(events[static_cast<std::size_t>(i)].data.ptr));
        }
        return answered;
    }

  private:
    int epoll_ = epoll_create1(EPOLL_CLOEXEC);
    std::vector<PGconn*> sessions_;

    [[noreturn]] static void lost(PGconn* session) {
        give_up(std::string{"bare_sync_loop: "} + PQerrorMessage(session));
    }

    static std::uint64_t read(PGconn* session) {
        if (PQconsumeInput(session) != 1) lost(session);
        std::uint64_t answered = 0;
        while (PQisBusy(session) == 0) {
            PGresult* const result = PQgetResult(session);
            if (result == nullptr) break;
            if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) ++answered;
            PQclear(result);
        }
        return answered;
    }
};

}  // namespace
}  // namespace pgpulse::bench

int main(int argc, char** argv) {
    using namespace pgpulse::bench;
    if (argc != 6) usage("bare_sync_loop", "PORT SSLMODE SESSIONS INTERVAL_MS SECONDS");
    const long sessions = whole_number("SESSIONS", argv[3], 1, 10'000);
    const long interval = whole_number("INTERVAL_MS", argv[4], 1, 86'400'000);
    const long seconds = whole_number("SECONDS", argv[5], 1, 3600);
    static_cast<void>(whole_number("PORT", argv[1], 1, 65535));
    Loop loop{argv[1], argv[2], sessions};
    const Stretch stretch;
    stretch.print(loop.run(stretch, std::chrono::milliseconds{interval}, static_cast<double>(seconds)));
}
