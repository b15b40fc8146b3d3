#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

// Pure: what a NATS server says of a right that this client lacks, and how often it is worth a line.
namespace pgpulse::nats {

struct MissingRight {
    enum class Kind { publish, subscribe };
    Kind kind = Kind::publish;
    std::string subject;

    bool operator==(const MissingRight&) const = default;
};

/// Reads the server's text: `Permissions Violation for Publish to "SUBJECT"`, or `... for Subscription to
/// "SUBJECT"`. Empty for any other.
std::optional<MissingRight> parse_permissions_violation(std::string_view text);

/// What the subjects of answers begin with where nothing else is said.
inline constexpr std::string_view kInboxPrefix = "_INBOX";

/// The subject that is to be granted so that all subjects of this one's kind are: a worker publishes its
/// pings on one for each target, and a bucket has one for each key. `inbox_prefix`: the client's.
std::string subject_to_grant(const MissingRight& missing, std::string_view inbox_prefix = kInboxPrefix);

/// The lines to be logged. A right that is missing is missed by each message anew: what is to be granted by
/// the same subject is said once in kInterval, with the number of lines kept back since; one right never
/// keeps another's line back.
class MissingRightLines {
  public:
    static constexpr std::chrono::seconds kInterval{10};
    /// So many different rights are told apart; what comes beyond shares one line.
    static constexpr std::size_t kMostRights = 64;

    explicit MissingRightLines(std::string inbox_prefix = std::string{kInboxPrefix})
        : inbox_prefix_(std::move(inbox_prefix)) {}

    /// Empty: say nothing now.
    std::optional<std::string> line(const MissingRight& missing, std::chrono::steady_clock::time_point now);

  private:
    struct Said {
        std::chrono::steady_clock::time_point at;
        std::uint64_t kept_back = 0;
    };

    std::string inbox_prefix_;
    std::map<std::string, Said> said_;
};

}  // namespace pgpulse::nats
