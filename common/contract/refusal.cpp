#include "common/contract/refusal.hpp"

namespace pgpulse::contract {

std::string_view to_string(Refusal::Cause cause) {
    switch (cause) {
        case Refusal::Cause::too_large:
            return "too_large";
        case Refusal::Cause::not_json:
            return "not_json";
        case Refusal::Cause::version:
            return "version";
        case Refusal::Cause::field:
            return "field";
        case Refusal::Cause::subject:
            return "subject";
    }
    return "";
}

}  // namespace pgpulse::contract
