#pragma once

#include <chrono>
#include <optional>
#include <string_view>

// The words of the wire contract. Each enum has `to_string` (the spelling on the wire) and a `parse_*` that
// answers nullopt for any other spelling.
namespace pgpulse::contract {

/// Version of every document of the contract: the field `v`.
inline constexpr int kVersion = 1;

/// Largest payload that is read, in bytes.
inline constexpr std::size_t kMaxPayloadBytes = 65'536;

/// What one ping found, in pg_isready's terms (PGPing of libpq), plus `inconclusive`: the observer itself was
/// not in a position to tell.
enum class Verdict { accepting, rejecting, no_response, not_attempted, inconclusive };

/// Why a ping, or a state, is as it is.
enum class Reason {
    ok,
    starting_up,           // 57P03
    shutting_down,         // 57P03
    in_recovery,           // 57P03
    not_accepting,         // 57P03 in a language that is not English
    too_many_connections,  // 53300
    refused,
    reset,
    timeout,
    unreachable,
    dns,
    tls,
    auth,
    protocol,
    config,
    restarted,
    observer_stalled,
};

/// What an observer holds of a target after `rise` and `fall`.
enum class Opinion { undecided, up, down };

/// The state of a target.
enum class Health { up, down, unknown };

enum class Role { primary, replica };

/// What of a state a transition changed.
enum class Change { state, role, writable, restarts, maintenance, conflicts_with, role_unexpected };
inline constexpr std::size_t kChanges = 7;

/// How a ping was made: a connection of its own, or the held session.
enum class Via { fresh, session };

/// How a target is observed.
enum class Mode { ping, session };

/// libpq's sslmode.
enum class SslMode { disable, allow, prefer, require, verify_ca, verify_full };

/// What a member of the cluster is.
enum class MemberKind { probe, aggregator, bridge };

/// A member that is `starting` is alive and owns nothing yet, so nobody hands anything over to it.
enum class MemberPhase { starting, serving, aside };

std::string_view to_string(Verdict);
std::string_view to_string(Reason);
std::string_view to_string(Opinion);
std::string_view to_string(Health);
std::string_view to_string(Role);
std::string_view to_string(Change);
std::string_view to_string(Via);
std::string_view to_string(Mode);
std::string_view to_string(SslMode);
std::string_view to_string(MemberKind);
std::string_view to_string(MemberPhase);

std::optional<Verdict> parse_verdict(std::string_view);
std::optional<Reason> parse_reason(std::string_view);
std::optional<Opinion> parse_opinion(std::string_view);
std::optional<Health> parse_health(std::string_view);
std::optional<Role> parse_role(std::string_view);
std::optional<Change> parse_change(std::string_view);
std::optional<Via> parse_via(std::string_view);
std::optional<Mode> parse_mode(std::string_view);
std::optional<SslMode> parse_ssl_mode(std::string_view);
std::optional<MemberKind> parse_member_kind(std::string_view);
std::optional<MemberPhase> parse_member_phase(std::string_view);

/// True for evidence that only the target's host itself can give: a refused connection or an answer with an
/// SQLSTATE. Everything else (silence, a reset, an address that cannot be found) may be the observer's or the
/// network's fault and is called soft.
bool is_hard_evidence(Reason reason);

/// The reason in words, for a person: "connection refused".
std::string_view in_words(Reason reason);

}  // namespace pgpulse::contract
