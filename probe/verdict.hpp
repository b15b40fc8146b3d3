#pragma once

#include "probe/ping_result.hpp"

#include <string_view>

// Pure: what a connection attempt of libpq says about the server, as PQping judges it (internal_ping in
// libpq's fe-connect.c):
//   connected, or an authentication request arrived   accepting
//   no SQLSTATE                                        no_response
//   SQLSTATE 57P03                                     rejecting
//   any other SQLSTATE                                 accepting
// The text of a message decides about the reason alone, never about the verdict.
namespace pgpulse::probe {

/// What is known of an attempt that failed.
struct FailedAttempt {
    /// libpq's message in verbose form (PQERRORS_VERBOSE, locale C).
    std::string_view message;
    /// A message of type 'R' arrived, or libpq says that a password is needed.
    bool authentication_requested = false;
};

/// The verdict, reason and SQLSTATE of a failed attempt. `rtt` is left empty.
PingResult judge(const FailedAttempt& attempt);

/// False when libpq refused its parameters before it tried to connect, by libpq's own message: PQping's "not
/// attempted".
bool attempted(std::string_view message);

/// True when libpq could not even begin because this process or machine has no descriptor or memory left,
/// which says nothing about the server.
bool observer_exhausted(std::string_view message);

/// True for five characters as the SQL standard has them: digits and capital letters.
bool is_sqlstate(std::string_view text);

/// The SQLSTATE of a message in verbose form: the five characters of `FATAL:  57P03: ...`, whatever the
/// language of the severity. Of several attempts (one per address) it is the last one's. Empty: none.
std::string_view sqlstate_of(std::string_view message);

}  // namespace pgpulse::probe
