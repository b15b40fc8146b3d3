#pragma once

#include "common/contract/target.hpp"
#include "common/contract/vocabulary.hpp"

#include <libpq-fe.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <string>

namespace pgpulse::support {

inline contract::Verdict verdict_of(PGPing ping) {
    switch (ping) {
        case PQPING_OK:
            return contract::Verdict::accepting;
        case PQPING_REJECT:
            return contract::Verdict::rejecting;
        case PQPING_NO_RESPONSE:
            return contract::Verdict::no_response;
        default:
            return contract::Verdict::not_attempted;
    }
}

/// pg_isready's judgement, by libpq's own blocking function, which waits for two seconds at least.
inline contract::Verdict pq_ping(const contract::TargetDefinition& target,
                                 std::chrono::seconds patience = std::chrono::seconds{2}) {
    const std::string port = std::to_string(target.port);
    const std::string sslmode{to_string(target.sslmode)};
    const std::string deadline = std::to_string(patience.count());
    const std::array keywords{
        "host",    "port",   "user",       "dbname",   "sslmode",         "sslrootcert",
        "sslcert", "sslkey", "gssencmode", "passfile", "connect_timeout", static_cast<const char*>(nullptr)};
    const std::array values{
        target.address.c_str(),  port.c_str(),          target.user.c_str(),
        target.database.c_str(), sslmode.c_str(),       target.sslrootcert.c_str(),
        target.sslcert.c_str(),  target.sslkey.c_str(), "disable",
        "/nonexistent/.pgpass",  deadline.c_str(),      static_cast<const char*>(nullptr)};
    return verdict_of(PQpingParams(keywords.data(), values.data(), 0));
}

/// A target at 127.0.0.1 that is asked often.
inline contract::TargetDefinition target_at_port(std::uint16_t port) {
    contract::TargetDefinition target;
    target.name = target.service = "db1";
    target.address = "127.0.0.1";
    target.port = port;
    target.interval = std::chrono::milliseconds{100};
    target.fast_interval = std::chrono::milliseconds{50};
    target.timeout = std::chrono::seconds{2};  // as PQping's: a loaded machine must not make the two differ
    return target;
}

}  // namespace pgpulse::support
