#include "probe/ping.hpp"

#include "probe/connection_handle.hpp"
#include "probe/first_message.hpp"
#include "probe/read_budget.hpp"
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

/// The socket counts as readable from so many bytes on, or at its end.
void wake_from(int socket, std::size_t bytes) {
    const int low = static_cast<int>(bytes);
    (void)setsockopt(socket, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low);
}

/// What a server says to people beside its answer is not printed.
void ignore_notice(void*, const PGresult*) {}

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
    bool authentication_requested = false;
    std::size_t wakes_from = 1;                                   // bytes, of the socket
    std::uint64_t may_read = 0;                                   // bytes, of all addresses together
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
        slot.authentication_requested = false;
        slot.wakes_from = 1;
        slot.may_read = kMostBytes;
        slot.started = std::chrono::steady_clock::now();
        slot.connection.reset(PQconnectStartParams(parameters.keywords(), parameters.values(), 0));
        PGconn* const connection = slot.connection.get();
        if (connection == nullptr) {
            on_finished(ping, observer_fault());
            return;
        }
        // From here on the message of a refusal holds the SQLSTATE.
        PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
        PQsetNoticeReceiver(connection, &ignore_notice, nullptr);
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
        const ReadBudget budget{slot.may_read};
        if (slot.direction == PGRES_POLLING_READING && PQstatus(connection) == CONNECTION_AWAITING_RESPONSE &&
            !has_first_message(slot)) {
            wait(slot, PGRES_POLLING_READING);
            return;
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
                if (slot.may_read == 0) {
                    finish_overfed(slot);
                    return;
                }
                [[fallthrough]];
            case PGRES_POLLING_WRITING:
                wait(slot, next);
                return;
            default:
                finish(slot, failure(slot));
                return;
        }
    }

    /// Whether libpq may read the server's first message: an authentication request only when all of it is
    /// there, since nobody can see what libpq has read of one.
    static bool has_first_message(Slot& slot) {
        const FirstMessage message = look_at_first_message(slot.connection.get());
        if (message.kind == FirstMessage::Kind::authentication_request) slot.authentication_requested = true;
        // Woken with fewer bytes than it waits for: no more of them come.
        const bool more_comes =
            message.kind == FirstMessage::Kind::beginning && message.bytes > slot.wakes_from;
        if (more_comes || slot.wakes_from != 1) {
            slot.wakes_from = more_comes ? message.bytes : 1;
            wake_from(PQsocket(slot.connection.get()), slot.wakes_from);
        }
        return !more_comes;
    }

    /// It has sent more than any server does.
    void finish_overfed(Slot& slot) {
        PingResult result = judge({"", slot.authentication_requested});
        result.reason = Reason::protocol;
        finish(slot, result);
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
