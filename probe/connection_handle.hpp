#pragma once

#include <libpq-fe.h>

#include <memory>

namespace pgpulse::probe {

struct FinishConnection {
    void operator()(PGconn* connection) const { PQfinish(connection); }
};
/// One of libpq's connections, closed with its owner.
using ConnectionHandle = std::unique_ptr<PGconn, FinishConnection>;

}  // namespace pgpulse::probe
