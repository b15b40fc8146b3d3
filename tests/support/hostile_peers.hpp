#pragma once

#include "common/contract/vocabulary.hpp"
#include "tests/support/tcp_peer.hpp"

#include <string>
#include <vector>

namespace pgpulse::support {

/// A way in which a peer means ill.
struct HostileKind {
    std::string name;  // fit for a target's
    TcpScript script;
    contract::Verdict verdict;  // of a fresh ping; PQping's own would never end on some of these
};

/// Silence, garbage, TLS where none is due, lengths of 1 GB, floods fast and paced, one byte at a time.
const std::vector<HostileKind>& hostile_kinds();

}  // namespace pgpulse::support
