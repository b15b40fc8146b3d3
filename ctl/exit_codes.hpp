#pragma once

// What `pgpulse` ends with beside 0, which is success, and 2, which is what the operator gave.
namespace pgpulse::ctl {

inline constexpr int kNotFound = 1;     // something that was asked for is not there
inline constexpr int kUnreachable = 3;  // NATS, or what JetStream keeps, does not answer

}  // namespace pgpulse::ctl
