#include "common/contract/vocabulary.hpp"

#include <array>
#include <utility>

namespace pgpulse::contract {
namespace {

template <typename Enum, std::size_t N>
using Spellings = std::array<std::pair<Enum, std::string_view>, N>;

template <typename Enum, std::size_t N>
std::string_view spelling(const Spellings<Enum, N>& table, Enum value) {
    for (const auto& [candidate, text] : table) {
        if (candidate == value) return text;
    }
    return "";
}

template <typename Enum, std::size_t N>
std::optional<Enum> meaning(const Spellings<Enum, N>& table, std::string_view text) {
    for (const auto& [value, candidate] : table) {
        if (candidate == text) return value;
    }
    return std::nullopt;
}

constexpr Spellings<Verdict, 5> kVerdicts{{{Verdict::accepting, "accepting"},
                                           {Verdict::rejecting, "rejecting"},
                                           {Verdict::no_response, "no_response"},
                                           {Verdict::not_attempted, "not_attempted"},
                                           {Verdict::inconclusive, "inconclusive"}}};

constexpr Spellings<Reason, 17> kReasons{{{Reason::ok, "ok"},
                                          {Reason::starting_up, "starting_up"},
                                          {Reason::shutting_down, "shutting_down"},
                                          {Reason::in_recovery, "in_recovery"},
                                          {Reason::not_accepting, "not_accepting"},
                                          {Reason::too_many_connections, "too_many_connections"},
                                          {Reason::refused, "refused"},
                                          {Reason::reset, "reset"},
                                          {Reason::timeout, "timeout"},
                                          {Reason::unreachable, "unreachable"},
                                          {Reason::dns, "dns"},
                                          {Reason::tls, "tls"},
                                          {Reason::auth, "auth"},
                                          {Reason::protocol, "protocol"},
                                          {Reason::config, "config"},
                                          {Reason::restarted, "restarted"},
                                          {Reason::observer_stalled, "observer_stalled"}}};

constexpr Spellings<Opinion, 3> kOpinions{
    {{Opinion::undecided, "undecided"}, {Opinion::up, "up"}, {Opinion::down, "down"}}};

constexpr Spellings<Health, 3> kHealths{
    {{Health::up, "up"}, {Health::down, "down"}, {Health::unknown, "unknown"}}};

constexpr Spellings<Role, 2> kRoles{{{Role::primary, "primary"}, {Role::replica, "replica"}}};

constexpr Spellings<Change, kChanges> kChangeWords{{{Change::state, "state"},
                                                    {Change::role, "role"},
                                                    {Change::writable, "writable"},
                                                    {Change::restarts, "restarts"},
                                                    {Change::maintenance, "maintenance"},
                                                    {Change::conflicts_with, "conflicts_with"},
                                                    {Change::role_unexpected, "role_unexpected"}}};

constexpr Spellings<Via, 2> kVias{{{Via::fresh, "fresh"}, {Via::session, "session"}}};

constexpr Spellings<Mode, 2> kModes{{{Mode::ping, "ping"}, {Mode::session, "session"}}};

constexpr Spellings<SslMode, 6> kSslModes{{{SslMode::disable, "disable"},
                                           {SslMode::allow, "allow"},
                                           {SslMode::prefer, "prefer"},
                                           {SslMode::require, "require"},
                                           {SslMode::verify_ca, "verify-ca"},
                                           {SslMode::verify_full, "verify-full"}}};

constexpr Spellings<MemberKind, 3> kMemberKinds{
    {{MemberKind::probe, "probe"}, {MemberKind::aggregator, "aggregator"}, {MemberKind::bridge, "bridge"}}};

constexpr Spellings<MemberPhase, 3> kMemberPhases{
    {{MemberPhase::starting, "starting"}, {MemberPhase::serving, "serving"}, {MemberPhase::aside, "aside"}}};

}  // namespace

std::string_view to_string(Verdict value) { return spelling(kVerdicts, value); }
std::string_view to_string(Reason value) { return spelling(kReasons, value); }
std::string_view to_string(Opinion value) { return spelling(kOpinions, value); }
std::string_view to_string(Health value) { return spelling(kHealths, value); }
std::string_view to_string(Role value) { return spelling(kRoles, value); }
std::string_view to_string(Change value) { return spelling(kChangeWords, value); }
std::string_view to_string(Via value) { return spelling(kVias, value); }
std::string_view to_string(Mode value) { return spelling(kModes, value); }
std::string_view to_string(SslMode value) { return spelling(kSslModes, value); }
std::string_view to_string(MemberKind value) { return spelling(kMemberKinds, value); }
std::string_view to_string(MemberPhase value) { return spelling(kMemberPhases, value); }

std::optional<Verdict> parse_verdict(std::string_view text) { return meaning(kVerdicts, text); }
std::optional<Reason> parse_reason(std::string_view text) { return meaning(kReasons, text); }
std::optional<Opinion> parse_opinion(std::string_view text) { return meaning(kOpinions, text); }
std::optional<Health> parse_health(std::string_view text) { return meaning(kHealths, text); }
std::optional<Role> parse_role(std::string_view text) { return meaning(kRoles, text); }
std::optional<Change> parse_change(std::string_view text) { return meaning(kChangeWords, text); }
std::optional<Via> parse_via(std::string_view text) { return meaning(kVias, text); }
std::optional<Mode> parse_mode(std::string_view text) { return meaning(kModes, text); }
std::optional<SslMode> parse_ssl_mode(std::string_view text) { return meaning(kSslModes, text); }
std::optional<MemberKind> parse_member_kind(std::string_view text) { return meaning(kMemberKinds, text); }
std::optional<MemberPhase> parse_member_phase(std::string_view text) { return meaning(kMemberPhases, text); }

bool is_hard_evidence(Reason reason) {
    switch (reason) {
        case Reason::refused:
        case Reason::starting_up:
        case Reason::shutting_down:
        case Reason::in_recovery:
        case Reason::not_accepting:
            return true;
        default:
            return false;
    }
}

std::string_view in_words(Reason reason) {
    switch (reason) {
        case Reason::ok:
            return "accepting connections";
        case Reason::starting_up:
            return "starting up";
        case Reason::shutting_down:
            return "shutting down";
        case Reason::in_recovery:
            return "in recovery";
        case Reason::not_accepting:
            return "not accepting connections";
        case Reason::too_many_connections:
            return "too many connections";
        case Reason::refused:
            return "connection refused";
        case Reason::reset:
            return "connection reset";
        case Reason::timeout:
            return "no answer in time";
        case Reason::unreachable:
            return "host unreachable";
        case Reason::dns:
            return "name does not resolve";
        case Reason::tls:
            return "TLS failed";
        case Reason::auth:
            return "login refused";
        case Reason::protocol:
            return "not a PostgreSQL server's answer";
        case Reason::config:
            return "definition cannot be used";
        case Reason::restarted:
            return "restarted";
        case Reason::observer_stalled:
            return "observer stalled";
    }
    return "";
}

}  // namespace pgpulse::contract
