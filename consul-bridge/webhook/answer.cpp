#include "consul-bridge/webhook/answer.hpp"

namespace pgpulse::consul_bridge::webhook {

Meaning meaning_of(const Answer& answer) {
    const long status = answer.status;
    if (status == 0) return answer.reached ? Meaning::unsettled : Meaning::away;
    if (status >= 200 && status < 300) return Meaning::taken;
    switch (status) {
        case 408:
        case 425:
        case 404:  // a path that is being deployed, or a receiver that does not know the target yet
            return Meaning::unsettled;
        case 401:
        case 403:
        case 405:
        case 407:
        case 429:
        case 503:
            return Meaning::away;
        case 410:
            return Meaning::gone;
        default:
            break;
    }
    // A redirection is not followed: a person has to say where events go.
    if (status < 400) return Meaning::away;
    return status < 500 ? Meaning::dropped : Meaning::unsettled;
}

std::string to_string(const Answer& answer) {
    return answer.status == 0 ? answer.text : "HTTP " + std::to_string(answer.status);
}

}  // namespace pgpulse::consul_bridge::webhook
