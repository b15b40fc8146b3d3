#pragma once

#include <string>
#include <string_view>

namespace pgpulse::contract {

/// Why a document of the contract is not read. `detail` is one line for a log: it names the field and what
/// was expected, and quotes nothing of the payload's content.
struct Refusal {
    enum class Cause {
        too_large,  // over kMaxPayloadBytes
        not_json,   // not a JSON object
        version,    // another `v`
        field,      // a field is missing, mistyped or out of range
        subject,    // the subject is malformed, or the payload disagrees with it
    };
    Cause cause{};
    std::string detail;
};

/// The cause as a metric's label: "too_large", "not_json", "version", "field", "subject".
std::string_view to_string(Refusal::Cause cause);

}  // namespace pgpulse::contract
