#pragma once

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

// The benches' programs take positional arguments and are called by scripts.
namespace pgpulse::bench {

/// Ends the program with exit code 2 and one line.
[[noreturn]] inline void usage(const char* program, const char* arguments) {
    std::fprintf(stderr, "usage: %s %s\n", program, arguments);
    std::exit(2);
}

/// A whole number within the bounds, or one line and exit code 2.
inline long whole_number(const char* name, const char* text, long low, long high) {
    long value = 0;
    const char* const end = text + std::strlen(text);
    const auto [read, error] = std::from_chars(text, end, value);
    if (error != std::errc{} || read != end || value < low || value > high) {
        std::fprintf(stderr, "%s: expected a whole number from %ld to %ld, found '%s'\n", name, low, high,
                     text);
        std::exit(2);
    }
    return value;
}

/// Ends the program with exit code 1 and one line, from any thread: what is to be measured cannot be.
[[noreturn]] inline void give_up(const std::string& line) {
    std::fprintf(stderr, "%s\n", line.c_str());
    std::_Exit(1);
}

}  // namespace pgpulse::bench
