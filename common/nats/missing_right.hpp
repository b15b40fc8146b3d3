#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

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

/// The subject that is to be granted so that all subjects of this one's kind are: a worker publishes its
/// pings on one for each target, and a bucket has one for each key.
std::string subject_to_grant(const MissingRight& missing);

/// The lines to be logged. A right that is missing is missed by each message anew: what is to be granted by
/// the same subject is said once in kInterval, with the number of lines kept back since; one right never
/// keeps another's line back.
class MissingRightLines {
  public:
    static constexpr std::chrono::seconds kInterval{10};
    /// So many different rights are told apart; what comes beyond shares one line.
    static constexpr std::size_t kMostRights = 64;

    /// Empty: say nothing now.
    std::optional<std::string> line(const MissingRight& missing, std::chrono::steady_clock::time_point now);

  private:
    struct Said {
        std::chrono::steady_clock::time_point at;
        std::uint64_t kept_back = 0;
    };

    std::map<std::string, Said> said_;
};

}  // namespace pgpulse::nats
