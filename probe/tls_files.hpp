#pragma once

#include "common/contract/target.hpp"

#include <string>

namespace pgpulse::probe {

/// Why libpq will not use the definition's sslrootcert, sslcert or sslkey: one line that names the key and the
/// file, and what was expected; never its content. Empty: they are there and may be read, and nobody else may
/// read the key (libpq's own rule: mode 0600 or less, 0640 of a key that root owns).
///
/// Such a file is this machine's fault, and a ping that fails for it says nothing about the server.
std::string fault_of_tls_files(const contract::TargetDefinition& definition);

}  // namespace pgpulse::probe
