#include "probe/ping.hpp"

#include "probe/connection_handle.hpp"
#include "probe/received_bytes.hpp"
#include "probe/verdict.hpp"

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <libpq-fe.h>

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <vector>

namespace pgpulse::probe {
namespace {

using contract::Reason;
using contract::Verdict;

/// A server's answer to a ping takes some hundred bytes. A peer that sends more than this is cut: libpq would
/// follow a length field of 1 GB.
constexpr std::uint64_t kMostBytes = 65'536;

/// Whether the next message of the server is an authentication request.
bool authentication_request_waits(int socket) {
    char first = 0;
    return recv(socket, &first, 1, MSG_PEEK | MSG_DONTWAIT) == 1 && first == 'R';
}

/// Whether what is waited for on the socket has happened.
bool is_ready(int socket, PostgresPollingStatusType direction) {
    pollfd waited{socket, static_cast<short>(direction == PGRES_POLLING_READING ? POLLIN : POLLOUT), 0};
    return poll(&waited, 1, 0) == 1;
}

/// Reads what has arrived: closing a socket with unread bytes resets the connection, which the server logs.
void drain(int socket) {
    std::array<char, 4096> bytes;  // NOLINT(cppcoreguidelines-pro-type-member-init)
    for (std::uint64_t total = 0; total < kMostBytes;) {
        const ssize_t n = recv(socket, bytes.data(), bytes.size(), MSG_DONTWAIT);
        if (n <= 0) return;
        total += static_cast<std::uint64_t>(n);
    }
}

PingResult observer_fault() { return {Verdict::inconclusive, Reason::observer_stalled, {}, std::nullopt}; }

}  // namespace

/// The place of one ping under way.
struct PingEngine::Slot {
    explicit Slot(asio::io_context& loop) : descriptor(loop) {}

    asio::posix::stream_descriptor descriptor;
    ConnectionHandle connection;  // set while a ping is under way
    PingId ping;
    std::uint64_t wait = 0;  // the number of the wait that may still wake this slot
    bool may_reconnect = false;
    bool may_use_tls = false;
    bool authentication_requested = false;
    PostgresPollingStatusType direction = PGRES_POLLING_WRITING;  // what it waits for
    Mono started{};
};

struct PingEngine::Impl {
    asio::io_context& loop;
    OnFinished on_finished;
    std::vector<std::unique_ptr<Slot>> slots{};

    Slot& slot_of(PingId ping) {
        while (slots.size() <= ping.slot) slots.push_back(std::make_unique<Slot>(loop));
        return *slots[ping.slot];
    }

    void start(PingId ping, const ConnectionParameters& parameters) {
        Slot& slot = slot_of(ping);
        slot.ping = ping;
        slot.may_reconnect = parameters.may_reconnect();
        slot.may_use_tls = parameters.may_use_tls();
        slot.authentication_requested = false;
        slot.started = std::chrono::steady_clock::now();
        slot.connection.reset(PQconnectStartParams(parameters.keywords(), parameters.values(), 0));
        PGconn* const connection = slot.connection.get();
        if (connection == nullptr) {
            on_finished(ping, observer_fault());
            return;
        }
        // From here on the message of a refusal holds the SQLSTATE.
        PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
        if (PQstatus(connection) == CONNECTION_BAD) {
            finish(slot, failure(slot));
        } else {
            wait(slot, PGRES_POLLING_WRITING);
        }
    }

    void wait(Slot& slot, PostgresPollingStatusType direction) {
        if (!slot.descriptor.is_open()) {
            std::error_code error;
            static_cast<void>(slot.descriptor.assign(PQsocket(slot.connection.get()), error));
            if (error) {
                finish(slot, observer_fault());
                return;
            }
        }
        slot.direction = direction;
        slot.descriptor.async_wait(direction == PGRES_POLLING_READING
                                       ? asio::posix::stream_descriptor::wait_read
                                       : asio::posix::stream_descriptor::wait_write,
                                   [this, &slot, number = ++slot.wait](const std::error_code&) {
                                       if (slot.wait == number) advance(slot);
                                   });
    }

    void advance(Slot& slot) {
        PGconn* const connection = slot.connection.get();
        const int socket = PQsocket(connection);
        if (slot.direction == PGRES_POLLING_READING) {
            if (!slot.may_use_tls && PQstatus(connection) == CONNECTION_AWAITING_RESPONSE) {
                // libpq itself bounds what it reads here, for it takes no long message as the first one.
                slot.authentication_requested |= authentication_request_waits(socket);
            } else if (received_bytes(socket) > kMostBytes) {
                PingResult result = judge({"", slot.authentication_requested});
                result.reason = Reason::protocol;
                finish(slot, result);
                return;
            }
        }
        // The number of a new socket can be that of the one just closed, which the kernel no longer watches.
        if (slot.may_reconnect) forget_descriptor(slot);
        const PostgresPollingStatusType next = PQconnectPoll(connection);
        const ConnStatusType status = PQstatus(connection);
        if (status == CONNECTION_STARTED) slot.authentication_requested = false;  // another address
        if (status == CONNECTION_AUTH_OK) slot.authentication_requested = true;
        switch (next) {
            case PGRES_POLLING_OK:
                finish(slot, {Verdict::accepting, Reason::ok, {}, std::nullopt});
                return;
            case PGRES_POLLING_READING:
            case PGRES_POLLING_WRITING:
                wait(slot, next);
                return;
            default:
                finish(slot, failure(slot));
                return;
        }
    }

    [[nodiscard]] static PingResult failure(const Slot& slot) {
        PGconn* const connection = slot.connection.get();
        const bool requested = slot.authentication_requested || PQconnectionNeedsPassword(connection) == 1;
        const std::string_view message = PQerrorMessage(connection);
        if (!requested && observer_exhausted(message)) return observer_fault();
        if (!requested && !attempted(message))
            return {Verdict::not_attempted, Reason::config, {}, std::nullopt};
        return judge({message, requested});
    }

    static void forget_descriptor(Slot& slot) {
        ++slot.wait;
        if (slot.descriptor.is_open()) slot.descriptor.release();
    }

    void close(Slot& slot) {
        forget_descriptor(slot);
        // A connection that came about has been read to its end.
        PGconn* const connection = slot.connection.get();
        if (const int socket = PQsocket(connection); socket >= 0 && PQstatus(connection) != CONNECTION_OK)
            drain(socket);
        slot.connection.reset();
    }

    void finish(Slot& slot, PingResult result) {
        if (result.verdict == Verdict::accepting || result.verdict == Verdict::rejecting) {
            result.rtt = std::chrono::duration_cast<std::chrono::microseconds>(
                std::chrono::steady_clock::now() - slot.started);
        }
        close(slot);
        on_finished(slot.ping, result);
    }

    std::optional<PingResult> expire(PingId ping) {
        if (ping.slot >= slots.size()) return std::nullopt;
        Slot& slot = *slots[ping.slot];
        if (!slot.connection || slot.ping != ping) return std::nullopt;
        PingResult result = judge({"", slot.authentication_requested});
        if (result.verdict == Verdict::no_response) {
            result.reason = Reason::timeout;
            // The server has done its part in time, this loop has not.
            if (is_ready(PQsocket(slot.connection.get()), slot.direction)) result = observer_fault();
        }
        close(slot);
        return result;
    }
};

PingEngine::PingEngine(asio::io_context& loop, OnFinished on_finished)
    : impl_(new Impl{loop, std::move(on_finished)}) {}

PingEngine::~PingEngine() {
    for (const auto& slot : impl_->slots) {
        if (slot->connection) impl_->close(*slot);
    }
}

void PingEngine::start(PingId ping, const ConnectionParameters& parameters) {
    impl_->start(ping, parameters);
}

std::optional<PingResult> PingEngine::expire(PingId ping) { return impl_->expire(ping); }

}  // namespace pgpulse::probe
