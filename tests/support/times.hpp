#pragma once

#include <string>

namespace pgpulse::support {

/// How many times the part stands in the text.
inline int times(const std::string& part, const std::string& text) {
    int count = 0;
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
    return count;
}

}  // namespace pgpulse::support
