#pragma once

#include <tl/expected.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace pgpulse::nats {

/// Splits `nats://host:4222,tls://user:secret@[::1]` at its commas. Each part is [nats://|tls://]
/// [USER[:SECRET]@] HOST [:PORT], the port 1 to 65535. nats.c itself takes anything and then tries for ever
/// to reach it. Error: one line with what was expected and what was found, secrets left out.
tl::expected<std::vector<std::string>, std::string> parse_server_urls(std::string_view urls);

/// The URLs without what stands before '@', for logs.
std::string without_secrets(std::string_view urls);

}  // namespace pgpulse::nats
