#include "probe/open_files.hpp"

#include <algorithm>

namespace pgpulse::probe {
namespace {

constexpr std::size_t kReserved = 64;
constexpr std::size_t kMostPings = 16'384;

}  // namespace

std::size_t files_to_share(std::size_t limit) {
    return limit > 2 * kReserved ? limit - kReserved : limit / 2;
}

std::optional<OpenFiles> share_out(std::size_t limit, std::size_t pings_asked) {
    const std::size_t shared = files_to_share(limit);
    if (pings_asked > shared) return std::nullopt;
    const std::size_t pings =
        pings_asked != 0 ? pings_asked : std::clamp<std::size_t>(shared / 2, 1, kMostPings);
    return OpenFiles{limit, pings, shared > pings ? shared - pings : 0};
}

std::string fault_of(const OpenFiles& files, std::size_t session_targets) {
    if (session_targets <= files.sessions) return {};
    return std::to_string(session_targets) + " targets are in mode session, and the " +
           std::to_string(files.limit) + " files that this process may open leave room for " +
           std::to_string(files.sessions) + " sessions beside " + std::to_string(files.pings) +
           " pings under way: " + std::to_string(session_targets - files.sessions) +
           " targets are pinged by fresh connections alone. Raise the limit of open files (LimitNOFILE= of "
           "the "
           "unit, ulimit -n) or start more workers";
}

}  // namespace pgpulse::probe
