#pragma once

#include "common/contract/target.hpp"

#include <string>

namespace pgpulse::probe {

/// Why libpq cannot use the definition's sslrootcert, sslcert or sslkey: one line that names the key and the
/// file, and what was expected; never its content. Empty: it can. By libpq's own rules (initialize_SSL in
/// fe-secure-openssl.c): a missing root certificate is a fault where it is verified against alone, a missing
/// client certificate is none, a key that others may read is one.
///
/// Such a file is this machine's fault, and a ping that fails for it says nothing about the server. Reads the
/// files.
std::string fault_of_tls_files(const contract::TargetDefinition& definition);

}  // namespace pgpulse::probe
