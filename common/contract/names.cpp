#include "common/contract/names.hpp"

#include "common/contract/hash.hpp"

#include <algorithm>

namespace pgpulse::contract {
namespace {

constexpr std::string_view kPingPrefix = "health.ping.";
constexpr std::string_view kCheckPrefix = "health.check.";
constexpr std::string_view kHistoryPrefix = "health.history.";
constexpr std::size_t kMaxLabel = 63;
constexpr std::size_t kRunDigits = 16;

bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool is_member_char(char c) { return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '_' || c == '-'; }

}  // namespace

bool is_target_name(std::string_view text) {
    if (text.empty() || text.size() > kMaxLabel) return false;
    if (!is_lower_or_digit(text.front()) || !is_lower_or_digit(text.back())) return false;
    return std::ranges::all_of(text, [](char c) { return is_lower_or_digit(c) || c == '-'; });
}

bool is_member_id(std::string_view text) {
    return !text.empty() && text.size() <= kMaxLabel && std::ranges::all_of(text, is_member_char);
}

std::string to_member_id(std::string_view text) {
    std::string id{text.substr(0, kMaxLabel)};
    std::ranges::replace_if(id, [](char c) { return !is_member_char(c); }, '-');
    return id;
}

unsigned partition_of(std::string_view target) { return static_cast<unsigned>(fnv1a(target) % kPartitions); }

std::string ping_subject(std::string_view worker, std::string_view target) {
    const unsigned partition = partition_of(target);
    std::string subject;
    subject.reserve(kPingPrefix.size() + 3 + worker.size() + 1 + target.size());
    subject += kPingPrefix;
    subject += static_cast<char>('0' + partition / 10);
    subject += static_cast<char>('0' + partition % 10);
    subject += '.';
    subject += worker;
    subject += '.';
    subject += target;
    return subject;
}

std::string partition_pings(unsigned partition) {
    std::string subject{kPingPrefix};
    subject += static_cast<char>('0' + partition / 10);
    subject += static_cast<char>('0' + partition % 10);
    subject += ".>";
    return subject;
}

std::string state_subject(std::string_view target) { return "health.state." + std::string{target}; }

std::string history_subject(std::string_view target) {
    return std::string{kHistoryPrefix} + std::string{target};
}

std::optional<std::string_view> parse_history_subject(std::string_view subject) {
    if (!subject.starts_with(kHistoryPrefix)) return std::nullopt;
    subject.remove_prefix(kHistoryPrefix.size());
    if (!is_target_name(subject)) return std::nullopt;
    return subject;
}

std::string check_subject(std::string_view target) { return std::string{kCheckPrefix} + std::string{target}; }

std::optional<std::string_view> parse_check_subject(std::string_view subject) {
    if (!subject.starts_with(kCheckPrefix)) return std::nullopt;
    subject.remove_prefix(kCheckPrefix.size());
    if (!is_target_name(subject)) return std::nullopt;
    return subject;
}

bool is_run(std::string_view text) {
    return text.size() == kRunDigits &&
           std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::optional<PingSubject> parse_ping_subject(std::string_view subject) {
    if (!subject.starts_with(kPingPrefix)) return std::nullopt;
    subject.remove_prefix(kPingPrefix.size());
    if (subject.size() < 3 || subject[2] != '.') return std::nullopt;
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    if (!digit(subject[0]) || !digit(subject[1])) return std::nullopt;
    PingSubject parts;
    parts.partition = static_cast<unsigned>((subject[0] - '0') * 10 + (subject[1] - '0'));
    subject.remove_prefix(3);
    const auto dot = subject.find('.');
    if (dot == std::string_view::npos) return std::nullopt;
    parts.worker = subject.substr(0, dot);
    parts.target = subject.substr(dot + 1);
    if (!is_member_id(parts.worker) || !is_target_name(parts.target)) return std::nullopt;
    if (parts.partition != partition_of(parts.target)) return std::nullopt;
    return parts;
}

}  // namespace pgpulse::contract
