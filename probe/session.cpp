#include "probe/session.hpp"

#include "probe/connection_handle.hpp"
#include "probe/read_budget.hpp"
#include "probe/verdict.hpp"

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <libpq-fe.h>

#include <poll.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <deque>
#include <unordered_map>

namespace pgpulse::probe {
namespace {

using contract::Reason;
using contract::Role;
using contract::Verdict;

struct ClearResult {
    void operator()(PGresult* result) const { PQclear(result); }
};
using Result = std::unique_ptr<PGresult, ClearResult>;

constexpr const char* kLagStatement = "pgpulse_lag";
constexpr std::size_t kLongestLine = 400;
/// The end of the year 9999, in microseconds since 1970.
constexpr std::int64_t kLastMicrosecond = 253'402'300'799'999'999;

/// Who the server is: when it started, when it crashed, whether it recovers, whether it writes. A crash
/// restart resets all statistics at one instant; somebody who resets some of them by hand does not.
std::string identity_query(int server_version) {
    std::string resets =
        "SELECT stats_reset FROM pg_catalog.pg_stat_bgwriter UNION ALL "
        "SELECT stats_reset FROM pg_catalog.pg_stat_archiver";
    if (server_version >= 130000) resets += " UNION ALL SELECT stats_reset FROM pg_catalog.pg_stat_slru";
    if (server_version >= 140000) resets += " UNION ALL SELECT stats_reset FROM pg_catalog.pg_stat_wal";
    return "SELECT (extract(epoch FROM pg_catalog.pg_postmaster_start_time()) * 1000000)::pg_catalog.int8, "
           "(SELECT CASE WHEN pg_catalog.min(r) OPERATOR(pg_catalog.=) pg_catalog.max(r) "
           "THEN (extract(epoch FROM pg_catalog.min(r)) * 1000000)::pg_catalog.int8 END FROM (" +
           resets +
           ") AS s(r)), pg_catalog.pg_is_in_recovery(), "
           "pg_catalog.current_setting('default_transaction_read_only')";
}

/// How far replay is behind what was received, where a receiver streams and this role may know it.
constexpr const char* kLagQuery =
    "SELECT pg_catalog.pg_is_in_recovery(), "
    "CASE WHEN r.status OPERATOR(pg_catalog.=) 'streaming' THEN "
    "pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())"
    "::pg_catalog.int8 END, "
    "CASE WHEN r.status OPERATOR(pg_catalog.=) 'streaming' THEN "
    "CASE WHEN pg_catalog.pg_last_wal_receive_lsn() OPERATOR(pg_catalog.=) "
    "pg_catalog.pg_last_wal_replay_lsn() THEN 0 "
    "ELSE (extract(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) "
    "pg_catalog.pg_last_xact_replay_timestamp()) * 1000)::pg_catalog.int8 END END "
    "FROM (SELECT 1) AS one(n) LEFT JOIN pg_catalog.pg_stat_wal_receiver AS r ON true";

/// Whether what is waited for on the socket has happened.
bool is_ready(int socket, short events) {
    pollfd waited{socket, events, 0};
    return poll(&waited, 1, 0) == 1;
}

std::optional<std::int64_t> integer(const PGresult* result, int column) {
    if (PQntuples(result) < 1 || column >= PQnfields(result) || PQgetisnull(result, 0, column) == 1)
        return std::nullopt;
    const std::string_view text = PQgetvalue(result, 0, column);
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return number;
}

std::optional<std::string_view> text_of(const PGresult* result, int column) {
    if (PQntuples(result) < 1 || column >= PQnfields(result) || PQgetisnull(result, 0, column) == 1)
        return std::nullopt;
    return PQgetvalue(result, 0, column);
}

/// The SQLSTATE of a message after which the server closes the connection; empty: it is none.
std::string_view last_words(const PGresult* message) {
    const char* const severity = PQresultErrorField(message, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char* const code = PQresultErrorField(message, PG_DIAG_SQLSTATE);
    if (code == nullptr) return {};
    const std::string_view sqlstate = code;
    if (!is_sqlstate(sqlstate)) return {};
    const bool fatal =
        severity != nullptr && (std::strcmp(severity, "FATAL") == 0 || std::strcmp(severity, "PANIC") == 0);
    // A server that is killed or stopped at once says so in a warning: 57P01 and 57P02.
    return fatal || sqlstate.starts_with("57P0") ? sqlstate : std::string_view{};
}

/// What a login that came to nothing says about the server: any SQLSTATE but 57P03 is an answer, and no
/// outage.
PingResult judge_login(PGconn* connection) {
    const std::string_view message = PQerrorMessage(connection);
    if (observer_exhausted(message))
        return {Verdict::inconclusive, Reason::observer_stalled, {}, std::nullopt};
    PingResult result = judge({message, PQconnectionNeedsPassword(connection) == 1});
    if (result.verdict == Verdict::accepting && result.reason == Reason::ok) result.reason = Reason::auth;
    return result;
}

/// Some of it comes from the peer: nothing that a terminal obeys, and no more than a person reads.
std::string one_line(std::string_view text) {
    std::string line{text.substr(0, kLongestLine)};
    std::ranges::replace_if(
        line, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }, ' ');
    while (!line.empty() && line.back() == ' ') line.pop_back();
    return line;
}

}  // namespace

struct SessionEngine::Session {
    struct Check {
        PingId ping;
        Mono started{};
        bool expired = false;
    };
    enum class Stage { connecting, preparing, open };

    Session(asio::io_context& loop, SessionId session) : id(session), descriptor(loop), patience(loop) {}

    SessionId id;
    asio::posix::stream_descriptor descriptor;
    asio::steady_timer patience;
    ConnectionHandle connection;
    Stage stage = Stage::connecting;
    PostgresPollingStatusType direction = PGRES_POLLING_WRITING;  // what it waits for while connecting
    std::uint64_t wait = 0;  // the number of the wait that may still wake it
    bool may_reconnect = false;
    bool writing = false;                 // waits until the socket takes more
    int syncs = 0;                        // answered while preparing
    std::uint64_t may_read = kMostBytes;  // bytes, until the login is done or a check is answered
    std::string sqlstate;                 // the server's last words
    bool in_recovery = false;             // as of the newest query that told
    bool read_only_default = false;       // default_transaction_read_only at the login
    SessionFacts facts;                   // with the lag of the check under way
    std::deque<Check> checks;             // in the order of their Syncs
};

struct SessionEngine::Impl {
    Impl(asio::io_context& io, Events to) : loop(io), events(std::move(to)) {}

    asio::io_context& loop;
    Events events;
    std::unordered_map<TargetIndex, std::unique_ptr<Session>> sessions;
    std::unordered_map<std::uint32_t, SessionId> checking;  // by the check's slot

    Session* find(SessionId id) {
        const auto it = sessions.find(id.target);
        return it == sessions.end() || it->second->id != id ? nullptr : it->second.get();
    }

    void open(SessionId id, const ConnectionParameters& parameters, std::chrono::milliseconds patience) {
        auto& place = sessions[id.target];
        // Its descriptor is libpq's to close.
        if (place) forget_descriptor(*place);
        place = std::make_unique<Session>(loop, id);
        Session& session = *place;
        session.may_reconnect = parameters.may_reconnect();
        session.connection.reset(PQconnectStartParams(parameters.keywords(), parameters.values(), 0));
        PGconn* const connection = session.connection.get();
        if (connection == nullptr) {
            refuse(session, {Verdict::inconclusive, Reason::observer_stalled, {}, std::nullopt},
                   "out of memory");
            return;
        }
        PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
        PQsetNoticeReceiver(connection, &on_notice, &session);
        if (PQstatus(connection) == CONNECTION_BAD) {
            refuse(session);
            return;
        }
        session.patience.expires_after(patience);
        session.patience.async_wait([this, id](const std::error_code& error) {
            Session* const late = error ? nullptr : find(id);
            if (late != nullptr && late->stage != Session::Stage::open)
                refuse(*late, {Verdict::no_response, Reason::timeout, {}, std::nullopt},
                       "the login takes too long");
        });
        wait(session, PGRES_POLLING_WRITING);
    }

    static void on_notice(void* to, const PGresult* message) {
        const std::string_view words = last_words(message);
        if (!words.empty()) static_cast<Session*>(to)->sqlstate = words;
    }

    /// Wakes the session by `advance` when the socket is ready.
    void wait(Session& session, PostgresPollingStatusType direction) {
        if (!session.descriptor.is_open()) {
            std::error_code error;
            static_cast<void>(session.descriptor.assign(PQsocket(session.connection.get()), error));
            if (error) {
                refuse(session, {Verdict::inconclusive, Reason::observer_stalled, {}, std::nullopt},
                       error.message());
                return;
            }
        }
        session.direction = direction;
        session.descriptor.async_wait(
            direction == PGRES_POLLING_READING ? asio::posix::stream_descriptor::wait_read
                                               : asio::posix::stream_descriptor::wait_write,
            [this, id = session.id, number = ++session.wait](const std::error_code&) {
                Session* const woken = find(id);
                if (woken == nullptr || woken->wait != number) return;
                if (woken->stage == Session::Stage::connecting) {
                    connect(*woken);
                } else {
                    read(*woken);
                }
            });
    }

    /// Calls libpq, and lets it read what the peer may still send.
    template <typename Call>
    static auto within_budget(Session& session, Call call) {
        const ReadBudget budget{session.may_read};
        return call();
    }

    void connect(Session& session) {
        PGconn* const connection = session.connection.get();
        // The number of a new socket can be that of the one just closed, which the kernel no longer watches.
        if (session.may_reconnect) forget_descriptor(session);
        const PostgresPollingStatusType next =
            within_budget(session, [connection] { return PQconnectPoll(connection); });
        switch (next) {
            case PGRES_POLLING_OK:
                prepare(session);
                return;
            case PGRES_POLLING_READING:
                if (session.may_read == 0) {
                    refuse_overfed(session);
                    return;
                }
                [[fallthrough]];
            case PGRES_POLLING_WRITING:
                wait(session, next);
                return;
            default:
                refuse(session);
                return;
        }
    }

    /// Asks who the server is, and prepares what is asked later.
    void prepare(Session& session) {
        PGconn* const connection = session.connection.get();
        session.stage = Session::Stage::preparing;
        const int version = PQserverVersion(connection);
        const std::string query = identity_query(version);
        bool sent =
            PQsetnonblocking(connection, 1) == 0 && PQenterPipelineMode(connection) == 1 &&
            PQsendQueryParams(connection, query.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0) == 1 &&
            PQpipelineSync(connection) == 1;
        // Each with a Sync of its own, so that one that fails does not take the other with it.
        if (version >= 100000)
            sent = sent && PQsendPrepare(connection, kLagStatement, kLagQuery, 0, nullptr) == 1;
        sent = sent && PQpipelineSync(connection) == 1;
        if (!sent) {
            refuse(session);
            return;
        }
        flush(session);
        wait(session, PGRES_POLLING_READING);
    }

    void flush(Session& session) {
        if (session.writing) return;
        // Where it cannot write it reads.
        PGconn* const connection = session.connection.get();
        if (within_budget(session, [connection] { return PQflush(connection); }) != 1) return;
        session.writing = true;
        session.descriptor.async_wait(asio::posix::stream_descriptor::wait_write,
                                      [this, id = session.id](const std::error_code&) {
                                          Session* const woken = find(id);
                                          if (woken == nullptr) return;
                                          woken->writing = false;
                                          flush(*woken);
                                      });
    }

    void read(Session& session) {
        PGconn* const connection = session.connection.get();
        const bool alive = within_budget(session, [connection] { return PQconsumeInput(connection) == 1; });
        if (alive) take_results(session);
        if (!alive || !session.sqlstate.empty() || PQstatus(connection) == CONNECTION_BAD ||
            session.may_read == 0) {
            end(session);
            return;
        }
        wait(session, PGRES_POLLING_READING);
    }

    void take_results(Session& session) {
        PGconn* const connection = session.connection.get();
        bool nothing_before = false;
        while (PQisBusy(connection) == 0) {
            const Result result{PQgetResult(connection)};
            if (!result) {
                // A single one stands between two queries.
                if (nothing_before) return;
                nothing_before = true;
                continue;
            }
            nothing_before = false;
            take(session, result.get());
        }
    }

    void take(Session& session, const PGresult* result) {
        switch (PQresultStatus(result)) {
            case PGRES_TUPLES_OK:
                if (session.stage == Session::Stage::preparing) {
                    take_identity(session, result);
                } else {
                    take_lag(session, result);
                }
                return;
            case PGRES_PIPELINE_SYNC:
                if (session.stage == Session::Stage::preparing) {
                    if (++session.syncs == 2) opened(session);
                } else {
                    answered(session);
                }
                return;
            case PGRES_FATAL_ERROR:
                if (const std::string_view words = last_words(result); !words.empty())
                    session.sqlstate = words;
                return;
            default:
                return;
        }
    }

    static void take_identity(Session& session, const PGresult* result) {
        auto started = integer(result, 0);
        auto reset = integer(result, 1);
        const auto wall = [](std::int64_t us) { return contract::WallTime{std::chrono::microseconds{us}}; };
        // No server began before the first one was written, nor in a year that the contract cannot write.
        if (started && (*started < 0 || *started > kLastMicrosecond)) started.reset();
        if (reset && *reset > kLastMicrosecond) reset.reset();
        if (started) session.facts.started_at = wall(*started);
        // At one instant before this postmaster's life: the cluster was created then, or an earlier life
        // crashed.
        if (started && reset && *reset > *started) session.facts.crashed_at = wall(*reset);
        session.in_recovery = text_of(result, 2) == "t";
        session.read_only_default = text_of(result, 3) == "on";
    }

    static void take_lag(Session& session, const PGresult* result) {
        session.in_recovery = text_of(result, 0) == "t";
        const auto at_least_zero = [](std::optional<std::int64_t> number) {
            return number ? std::optional{std::max<std::int64_t>(*number, 0)} : std::nullopt;
        };
        session.facts.lag_bytes = at_least_zero(integer(result, 1));
        session.facts.lag_ms = at_least_zero(integer(result, 2));
    }

    /// Role and whether it writes: reported by the server since PostgreSQL 14, told by queries before.
    static void tell_role(Session& session) {
        PGconn* const connection = session.connection.get();
        const char* const standby = PQparameterStatus(connection, "in_hot_standby");
        const char* const read_only = PQparameterStatus(connection, "default_transaction_read_only");
        const bool replica = standby != nullptr ? std::strcmp(standby, "on") == 0 : session.in_recovery;
        const bool refuses =
            read_only != nullptr ? std::strcmp(read_only, "on") == 0 : session.read_only_default;
        session.facts.role = replica ? Role::replica : Role::primary;
        session.facts.writable = !replica && !refuses;
    }

    void opened(Session& session) {
        session.stage = Session::Stage::open;
        session.may_read = kMostBytes;
        session.patience.cancel();
        tell_role(session);
        events.opened(session.id, session.facts);
    }

    void check(PingId ping, SessionId id, bool with_lag) {
        Session* const session = find(id);
        if (session == nullptr || session->stage != Session::Stage::open) {
            events.abandoned(ping);
            return;
        }
        PGconn* const connection = session->connection.get();
        const bool asks_lag = with_lag && PQserverVersion(connection) >= 100000;
        session->checks.push_back({ping, std::chrono::steady_clock::now(), false});
        checking[ping.slot] = id;
        const bool sent = within_budget(*session, [=] {
            return (!asks_lag ||
                    PQsendQueryPrepared(connection, kLagStatement, 0, nullptr, nullptr, nullptr, 0) == 1) &&
                   PQpipelineSync(connection) == 1;
        });
        if (!sent) {
            end(*session);
            return;
        }
        flush(*session);
    }

    void answered(Session& session) {
        if (session.checks.empty()) return;
        const Session::Check check = session.checks.front();
        session.checks.pop_front();
        session.may_read = kMostBytes;
        if (!check.expired) {
            checking.erase(check.ping.slot);
            tell_role(session);
            PingResult result{Verdict::accepting, Reason::ok, {}, std::nullopt};
            result.rtt = std::chrono::duration_cast<std::chrono::microseconds>(
                std::chrono::steady_clock::now() - check.started);
            events.checked(check.ping, result, session.facts);
        }
        session.facts.lag_ms.reset();
        session.facts.lag_bytes.reset();
    }

    std::optional<PingResult> expire(PingId ping) {
        const auto it = checking.find(ping.slot);
        Session* const session = it == checking.end() ? nullptr : find(it->second);
        if (session == nullptr) return std::nullopt;
        const auto check = std::ranges::find(session->checks, ping, &Session::Check::ping);
        if (check == session->checks.end() || check->expired) return std::nullopt;
        check->expired = true;
        checking.erase(it);
        // The server has answered in time, this loop has not looked.
        if (is_ready(PQsocket(session->connection.get()), POLLIN))
            return PingResult{Verdict::inconclusive, Reason::observer_stalled, {}, std::nullopt};
        return PingResult{Verdict::no_response, Reason::timeout, {}, std::nullopt};
    }

    void refuse(Session& session) {
        refuse(session, judge_login(session.connection.get()),
               one_line(PQerrorMessage(session.connection.get())));
    }

    void refuse_overfed(Session& session) {
        refuse(session, {Verdict::no_response, Reason::protocol, {}, std::nullopt},
               "the login was answered with more than " + std::to_string(kMostBytes) + " bytes");
    }

    void refuse(Session& session, const PingResult& result, const std::string& text) {
        const SessionId id = session.id;
        remove(session);
        events.refused(id, result, text);
    }

    /// The server has ended the session, or it is lost.
    void end(Session& session) {
        const SessionId id = session.id;
        const bool was_open = session.stage == Session::Stage::open;
        const std::string sqlstate = session.sqlstate;
        if (!was_open) {
            refuse(session, {Verdict::no_response, Reason::reset, {}, std::nullopt},
                   "the connection was cut");
            return;
        }
        remove(session);
        events.ended(id, sqlstate);
    }

    void close(SessionId id) {
        if (Session* const session = find(id)) remove(*session);
    }

    /// The session is no more; what was asked of it is abandoned.
    void remove(Session& session) {
        std::deque<Session::Check> checks;
        checks.swap(session.checks);
        forget_descriptor(session);
        sessions.erase(session.id.target);
        for (const Session::Check& check : checks) {
            if (check.expired) continue;
            checking.erase(check.ping.slot);
            events.abandoned(check.ping);
        }
    }

    static void forget_descriptor(Session& session) {
        ++session.wait;
        if (session.descriptor.is_open()) session.descriptor.release();
    }
};

SessionEngine::SessionEngine(asio::io_context& loop, Events events)
    : impl_(std::make_unique<Impl>(loop, std::move(events))) {}

SessionEngine::~SessionEngine() {
    // The descriptors are libpq's to close.
    for (const auto& [target, session] : impl_->sessions) Impl::forget_descriptor(*session);
}

void SessionEngine::open(SessionId session, const ConnectionParameters& parameters,
                         std::chrono::milliseconds patience) {
    impl_->open(session, parameters, patience);
}

void SessionEngine::check(PingId ping, SessionId session, bool with_lag) {
    impl_->check(ping, session, with_lag);
}

std::optional<PingResult> SessionEngine::expire(PingId ping) { return impl_->expire(ping); }

void SessionEngine::close(SessionId session) { impl_->close(session); }

}  // namespace pgpulse::probe
