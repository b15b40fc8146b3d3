#include "common/nats/missing_right.hpp"

#include "common/contract/names.hpp"

#include <algorithm>

namespace pgpulse::nats {
namespace {

constexpr std::string_view kPublish = "Permissions Violation for Publish to \"";
constexpr std::string_view kSubscribe = "Permissions Violation for Subscription to \"";

std::string_view verb(MissingRight::Kind kind) {
    return kind == MissingRight::Kind::publish ? "publish on" : "subscribe to";
}

}  // namespace

std::optional<MissingRight> parse_permissions_violation(std::string_view text) {
    for (const auto& [opening, kind] : {std::pair{kPublish, MissingRight::Kind::publish},
                                        std::pair{kSubscribe, MissingRight::Kind::subscribe}}) {
        const auto at = text.find(opening);
        if (at == std::string_view::npos) continue;
        const std::string_view rest = text.substr(at + opening.size());
        const auto end = rest.find('"');
        if (end == std::string_view::npos || end == 0) return std::nullopt;
        return MissingRight{kind, std::string{rest.substr(0, end)}};
    }
    return std::nullopt;
}

std::string subject_to_grant(const MissingRight& missing, std::string_view inbox_prefix) {
    const std::string& subject = missing.subject;
    const std::string inbox = std::string{inbox_prefix} + '.';
    if (subject.starts_with(inbox)) {
        const std::string echo = inbox + "pgpulse.";
        return (subject.starts_with(echo) ? echo : inbox) + '>';
    }
    if (const auto ping = contract::parse_ping_subject(subject))
        return "health.ping.*." + std::string{ping->worker} + ".>";
    if (contract::parse_check_subject(subject)) return std::string{contract::kAllChecks};
    if (contract::parse_history_subject(subject)) return std::string{contract::kAllHistory};
    // So many tokens name what the rest is a part of: a bucket, a stream in `$JS.API`.
    std::size_t tokens = 0;
    // A member's key is its own, the other buckets have one for each target.
    if (subject.starts_with("$KV.") && !subject.starts_with("$KV." + std::string{contract::kMembersBucket}))
        tokens = 2;
    if (subject.starts_with("$JS.FC.")) tokens = 3;
    if (subject.starts_with("$JS.API.CONSUMER.")) tokens = 5;
    if (tokens == 0) return subject;
    std::size_t end = 0;
    for (; tokens > 0; --tokens) {
        end = subject.find('.', end + 1);
        if (end == std::string::npos) return subject;
    }
    return subject.substr(0, end) + ".>";
}

std::optional<std::string> MissingRightLines::line(const MissingRight& missing,
                                                   std::chrono::steady_clock::time_point now) {
    std::string right =
        std::string{verb(missing.kind)} + " '" + subject_to_grant(missing, inbox_prefix_) + "'";
    const std::string key = said_.contains(right) || said_.size() < kMostRights ? right : std::string{};
    const auto [place, first] = said_.try_emplace(key, Said{now});
    Said& said = place->second;
    if (!first && now - said.at < kInterval) {
        ++said.kept_back;
        return std::nullopt;
    }
    std::string text = "NATS: this client may not " + std::string{verb(missing.kind)} + " '" +
                       missing.subject + "': its user needs the right to " + right;
    if (said.kept_back != 0) text += " (" + std::to_string(said.kept_back) + " lines like this kept back)";
    said = {now};
    return text;
}

}  // namespace pgpulse::nats
