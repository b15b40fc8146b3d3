#include "common/nats/message_id.hpp"

#include <charconv>

namespace pgpulse::nats {

std::string message_id(std::string_view key, std::uint64_t expected) {
    if (expected == 0) return {};
    return std::string{key} + '@' + std::to_string(expected);
}

bool is_conditional_write(std::string_view key, std::string_view expected, std::string_view id) {
    std::uint64_t revision = 0;
    const auto [end, error] = std::from_chars(expected.data(), expected.data() + expected.size(), revision);
    return error == std::errc{} && end == expected.data() + expected.size() &&
           id == message_id(key, revision);
}

}  // namespace pgpulse::nats
