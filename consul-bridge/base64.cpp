#include "consul-bridge/base64.hpp"

#include <array>
#include <cstdint>

namespace pgpulse::consul_bridge {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t kNone = 64;

constexpr auto kValues = [] {
    std::array<std::uint8_t, 256> values{};
    values.fill(kNone);
    for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
        values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::uint8_t>(i);
    }
    return values;
}();

}  // namespace

std::string base64_encode(std::string_view bytes) {
    const auto byte = [bytes](std::size_t at) -> std::uint32_t {
        return at < bytes.size() ? static_cast<unsigned char>(bytes[at]) : 0U;
    };
    std::string text((bytes.size() + 2) / 3 * 4, '=');
    std::size_t to = 0;
    for (std::size_t from = 0; from < bytes.size(); from += 3) {
        const std::uint32_t group = byte(from) << 16 | byte(from + 1) << 8 | byte(from + 2);
        const std::size_t digits = std::min<std::size_t>(4, bytes.size() - from + 1);
        for (std::size_t k = 0; k < digits; ++k) text[to + k] = kAlphabet[group >> (18 - 6 * k) & 63];
        to += 4;
    }
    return text;
}

std::optional<std::string> base64_decode(std::string_view text) {
    if (text.size() % 4 != 0) return std::nullopt;
    std::size_t padding = 0;
    while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
    std::string bytes;
    bytes.reserve(text.size() / 4 * 3);
    for (std::size_t i = 0; i < text.size(); i += 4) {
        std::uint32_t group = 0;
        const std::size_t count = i + 4 == text.size() ? 4 - padding : 4;
        for (std::size_t k = 0; k < 4; ++k) {
            const std::uint8_t value = k < count ? kValues[static_cast<unsigned char>(text[i + k])] : 0;
            if (value == kNone) return std::nullopt;
            group = group << 6 | value;
        }
        for (std::size_t k = 0; k + 1 < count; ++k) bytes += static_cast<char>(group >> (16 - 8 * k) & 255);
    }
    return bytes;
}

}  // namespace pgpulse::consul_bridge
