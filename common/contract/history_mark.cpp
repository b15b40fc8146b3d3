#include "common/contract/history_mark.hpp"

#include <charconv>

namespace pgpulse::contract {
namespace {

std::optional<std::uint64_t> number_of(std::string_view text) {
    std::uint64_t number = 0;
    const auto [stopped, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (fault != std::errc{} || stopped != text.data() + text.size()) return std::nullopt;
    return number;
}

}  // namespace

std::optional<HistoryMark> mark_of(const HeaderValue& header) {
    const auto epoch = parse_rfc3339(header(kHistoryEpoch));
    const auto revision = number_of(header(kHistoryRevision));
    const auto stored_at = parse_rfc3339(header(kHistoryStoredAt));
    const auto transition = number_of(header(kHistoryTransition));
    const auto decided_at = parse_rfc3339(header(kHistoryDecidedAt));
    if (!epoch || !revision || !stored_at || !transition || !decided_at) return std::nullopt;
    return HistoryMark{*epoch,      *revision,   *stored_at,
                       *transition, *decided_at, !header(kHistoryOperation).empty()};
}

}  // namespace pgpulse::contract
