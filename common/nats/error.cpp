#include "common/nats/error.hpp"

#include <string_view>

namespace pgpulse::nats {

Error make_error(std::string what, natsStatus status, jsErrCode js_code) {
    natsStatus last = NATS_OK;
    const char* detail = nats_GetLastError(&last);
    std::string text = std::move(what) + ": " + natsStatus_GetText(status);
    if (detail != nullptr && *detail != '\0' && last == status) {
        std::string_view words{detail};
        // "(conn.c:1905): Authorization Violation": the place in nats.c helps nobody who reads the log.
        if (const auto place = words.find("): "); words.starts_with('(') && place != std::string_view::npos)
            words.remove_prefix(place + 3);
        text += " (" + std::string{words} + ")";
    }
    // Of what this program asks only JetStream answers.
    if (status == NATS_NO_RESPONDERS) text += " (is JetStream on? nats-server -js)";
    return Error{status, js_code, std::move(text)};
}

}  // namespace pgpulse::nats
