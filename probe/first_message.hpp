#pragma once

#include <libpq-fe.h>

#include <cstddef>

namespace pgpulse::probe {

/// What waits to be read of the server's first message after the startup packet.
struct FirstMessage {
    enum class Kind {
        authentication_request,  // type 'R', all of it, of a length that libpq takes
        beginning,               // the beginning of one
        other,                   // anything else, or nothing
    };
    Kind kind = Kind::other;
    std::size_t bytes = 0;  // of a beginning: with so many in the socket more is known
};

/// Looks at it without reading it; with TLS through the connection's own TLS session.
///
/// PQping calls a server that has sent an authentication request accepting, whatever comes of it
/// (auth_req_received in libpq's fe-connect.c). libpq tells nobody, except where a password is missing. To be
/// asked before PQconnectPoll, in CONNECTION_AWAITING_RESPONSE.
FirstMessage look_at_first_message(PGconn* connection);

}  // namespace pgpulse::probe
