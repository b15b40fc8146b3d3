#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// Names, subjects and buckets of the wire contract.
namespace pgpulse::contract {

inline constexpr std::string_view kStateBucket = "health";
inline constexpr std::string_view kTargetsBucket = "health_targets";
inline constexpr std::string_view kMembersBucket = "health_members";

/// Every ping of every worker: what an aggregator of all partitions subscribes to.
inline constexpr std::string_view kAllPings = "health.ping.>";
/// Every call to ping a target now.
inline constexpr std::string_view kAllChecks = "health.check.*";
/// Every transition, republished by the server from the bucket.
inline constexpr std::string_view kAllStates = "health.state.>";
/// Every transition that is kept.
inline constexpr std::string_view kAllHistory = "health.history.>";
/// The stream of these.
inline constexpr std::string_view kHistoryStream = "HEALTH_TRANSITIONS";

inline constexpr unsigned kPartitions = 64;

/// A DNS label (RFC 1123) in lower case: `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`. It serves as subject token,
/// KV key and Consul id alike.
bool is_target_name(std::string_view text);

/// A worker's, aggregator's or bridge's id: `[A-Za-z0-9_-]{1,63}`, one subject token.
bool is_member_id(std::string_view text);

/// Any text (a host name, say) as a member id: other characters become `-`, longer text is cut at 63. Empty
/// stays empty.
std::string to_member_id(std::string_view text);

/// FNV-1a, 64 bit (RFC 9923's offset basis and prime), of the target's name modulo 64.
unsigned partition_of(std::string_view target);

/// `health.ping.<partition>.<worker>.<target>`, the partition as two digits.
std::string ping_subject(std::string_view worker, std::string_view target);

/// `health.ping.<partition>.>`: all pings of a partition.
std::string partition_pings(unsigned partition);

/// `health.state.<target>`
std::string state_subject(std::string_view target);

/// `health.history.<target>`
std::string history_subject(std::string_view target);

/// The target of a subject of the form `health.history.<target>`; nullopt for any other. The view points into
/// it.
std::optional<std::string_view> parse_history_subject(std::string_view subject);

/// `health.check.<target>`
std::string check_subject(std::string_view target);

/// The target of a subject of the form `health.check.<target>`; nullopt for any other. The view points into
/// it.
std::optional<std::string_view> parse_check_subject(std::string_view subject);

/// True for 16 hexadecimal digits in lower case, by which the starts of one program are told apart.
bool is_run(std::string_view text);

/// The parts of a ping's subject. The views point into the subject they were read from.
struct PingSubject {
    unsigned partition = 0;
    std::string_view worker;
    std::string_view target;
};

/// Nullopt unless the subject has the form of `ping_subject`, its names are well formed and its partition is
/// the target's.
std::optional<PingSubject> parse_ping_subject(std::string_view subject);

}  // namespace pgpulse::contract
