#pragma once

// The status codes of RFC 9110 that decide something.
namespace pgpulse::consul_bridge {

inline constexpr long kOk = 200;
inline constexpr long kForbidden = 403;
inline constexpr long kNotFound = 404;

}  // namespace pgpulse::consul_bridge
