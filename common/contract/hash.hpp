#pragma once

#include <cstdint>
#include <string_view>

// Pure: the hash of names that all programs share, and what spreads its bits.
namespace pgpulse::contract {

/// FNV-1a, 64 bit (RFC 9923).
constexpr std::uint64_t fnv1a(std::string_view text) {
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (const char c : text) {
        hash ^= static_cast<unsigned char>(c);
        hash *= 0x100000001b3U;
    }
    return hash;
}

/// The finaliser of SplitMix64: every bit of the result depends on every bit of the input. FNV-1a's last bytes
/// reach its high bits weakly: alone it would rank `probe-1` and `probe-2` alike for most names.
constexpr std::uint64_t mix(std::uint64_t x) {
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9U;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

}  // namespace pgpulse::contract
