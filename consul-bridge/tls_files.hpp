#pragma once

#include "consul-bridge/consul_options.hpp"

#include <optional>
#include <string>

namespace pgpulse::consul_bridge {

/// Looks whether the files for TLS can be used, before anybody waits for a connection. Empty, or one line that
/// names the flag, the variable and the file, with what was expected.
std::optional<std::string> fault_of_tls_files(const ConsulOptions& options);

/// All that the files of a folder hold, one after the other, by name: Consul's own programs trust every
/// certificate in it, where OpenSSL would ask for files named by their hashes.
std::string text_of_files(const std::string& folder);

}  // namespace pgpulse::consul_bridge
