#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pgpulse::consul_bridge {

/// RFC 4648, with padding: the form of values in Consul's KV interface.
std::string base64_encode(std::string_view bytes);

/// Nullopt where the text is not what `base64_encode` writes.
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace pgpulse::consul_bridge
