#include "consul-bridge/webhook/event.hpp"

#include <fmt/format.h>

#include <iterator>

namespace pgpulse::consul_bridge::webhook {
namespace {

using contract::to_rfc3339;

}  // namespace

std::string event_id(std::string_view target, const contract::HistoryMark& mark) {
    // By the time as well: a server that lost the end of its disk counts some revisions anew.
    return fmt::format("{}/{}/{}", target, mark.revision, to_rfc3339(mark.stored_at));
}

std::string to_cloud_event(std::string_view target, const contract::HistoryMark& mark, Position position,
                           std::string_view state) {
    // All values but the state's are names, numbers and times, of which none has to be escaped.
    std::string event = fmt::format(
        R"({{"specversion":"1.0","id":"{}","source":"/pgpulse/health","type":"io.pgpulse.health.{}",)"
        R"("subject":"{}","time":"{}","sequence":"{}/{:020}")",
        event_id(target, mark), mark.removal ? "removed" : "transition", target,
        to_rfc3339(mark.removal ? mark.stored_at : mark.decided_at), to_rfc3339(position.history),
        position.sequence);
    if (mark.removal) return event + '}';
    fmt::format_to(std::back_inserter(event), R"(,"datacontenttype":"application/json","data":{}}})", state);
    return event;
}

}  // namespace pgpulse::consul_bridge::webhook
