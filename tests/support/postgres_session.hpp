#pragma once

#include "tests/support/postgres_server.hpp"

#include <libpq-fe.h>

#include <memory>
#include <stdexcept>

namespace pgpulse::support {

/// A session with a server, by its superuser, that lasts as long as this object.
class PostgresSession {
  public:
    explicit PostgresSession(const PostgresServer& server)
        : connection_(PQconnectdb(server.conninfo().c_str()), &PQfinish) {
        if (PQstatus(connection_.get()) != CONNECTION_OK)
            throw std::runtime_error(PQerrorMessage(connection_.get()));
    }

    [[nodiscard]] pid_t backend() const { return PQbackendPID(connection_.get()); }

  private:
    std::unique_ptr<PGconn, decltype(&PQfinish)> connection_;
};

}  // namespace pgpulse::support
