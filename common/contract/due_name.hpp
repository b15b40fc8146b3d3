#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace pgpulse::contract {

/// The index of a name among those a document may have; `names.size()` for any other. Whoever writes as `encode`
/// does has them in this order: the search begins at `due`, the one that follows the name before.
inline std::size_t index_of_name(std::span<const std::string_view> names, std::string_view name,
                                 std::size_t due) {
    for (std::size_t i = due; i < names.size(); ++i) {
        if (names[i] == name) return i;
    }
    for (std::size_t i = 0; i < due; ++i) {
        if (names[i] == name) return i;
    }
    return names.size();
}

}  // namespace pgpulse::contract
