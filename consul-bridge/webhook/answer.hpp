#pragma once

#include <chrono>
#include <string>

// Pure: what an endpoint's answer to an event means. The words of HTTP are those of RFC 9110 and of CloudEvents' "HTTP
// 1.1 Web Hooks for Event Delivery".
namespace pgpulse::consul_bridge::webhook {

/// How a post ended.
struct Answer {
    long status = 0;       // 0: no answer
    bool reached = false;  // the endpoint's host took the connection, TLS included
    std::chrono::seconds retry_after{0};
    std::string text;  // of no answer: why, for a log; without the URL
};

enum class Meaning {
    taken,      // 2xx
    dropped,    // the endpoint refuses this event, and would refuse it again
    unsettled,  // this event is tried again: the fault may be in it, and others are not held up
    away,       // no event has a chance now: nobody answers, or says that it wants none yet
    gone,       // 410: it wants none any more
};

Meaning meaning_of(const Answer& answer);

/// "HTTP 503", or why there is no answer.
std::string to_string(const Answer& answer);

}  // namespace pgpulse::consul_bridge::webhook
