#pragma once

#include <cstdint>
#include <string>
#include <string_view>

// By what headers a write by compare-and-set is known, while it is sent and in the bucket for ever after. Pure.
namespace pgpulse::nats {

inline constexpr const char* kExpectedHeader = "Nats-Expected-Last-Subject-Sequence";
inline constexpr const char* kMessageIdHeader = "Nats-Msg-Id";

/// The message id of a write of `key` against its revision `expected`: `<key>@<expected>`. Empty where
/// `expected` is 0: a create has none, because after a purge it would be taken for a duplicate.
std::string message_id(std::string_view key, std::uint64_t expected);

/// Whether these headers of a message of `key`, empty where it has none, are those of BucketWriter.
bool is_conditional_write(std::string_view key, std::string_view expected, std::string_view id);

}  // namespace pgpulse::nats
