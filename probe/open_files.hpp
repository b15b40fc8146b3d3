#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <string>

// Pure: the files that this process may open are one budget. Each ping under way takes one, each held session
// another; the rest of the program (NATS, the HTTP endpoint, name lookups, references) has a reserve.
namespace pgpulse::probe {

struct OpenFiles {
    std::size_t limit = std::numeric_limits<std::size_t>::max();     // what the system allows
    std::size_t pings = std::numeric_limits<std::size_t>::max();     // under way at most
    std::size_t sessions = std::numeric_limits<std::size_t>::max();  // held at most

    bool operator==(const OpenFiles&) const = default;
};

/// How many files pings and sessions may take together.
std::size_t files_to_share(std::size_t limit);

/// Shares the limit out. Sessions have what the pings' bound leaves; without a bound that was asked for (0)
/// pings have half of it, and no more than they ever need. Empty: the bound that was asked for does not fit.
std::optional<OpenFiles> share_out(std::size_t limit, std::size_t pings_asked);

/// The line that says what does not fit; empty where all targets in mode `session` may have theirs.
std::string fault_of(const OpenFiles& files, std::size_t session_targets);

}  // namespace pgpulse::probe
