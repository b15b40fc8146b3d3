#include "tests/support/told_states.hpp"

#include "common/contract/names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string_view>

namespace pgpulse::support {
namespace {

constexpr std::string_view kMessagePrefix = "health.state.";
constexpr std::string_view kKeyPrefix = "$KV.health.";
constexpr const char* kStream = "KV_health";

ToldState read(std::string_view target, std::uint64_t revision, std::string_view payload) {
    ToldState told;
    told.target = target;
    told.revision = revision;
    if (auto state = contract::decode_state(target, payload)) told.state = std::move(*state);
    return told;
}

std::string in_words(std::uint64_t transition, const std::optional<contract::Health>& previous,
                     contract::Health state) {
    if (!previous) return fmt::format("{} {}", transition, to_string(state));
    return fmt::format("{} {} -> {}", transition, to_string(*previous), to_string(state));
}

std::string joined(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words) text += text.empty() ? word : ", " + word;
    return text;
}

}  // namespace

ToldStates::ToldStates(nats::Connection& connection)
    : subscription_(nats::Subscription::open(connection, std::string{contract::kAllStates},
                                             [this](const nats::Message& message) { take(message); })
                        .value()) {}

void ToldStates::take(const nats::Message& message) {
    const char* revision = nullptr;
    if (natsMsgHeader_Get(message.get(), "Nats-Sequence", &revision) != NATS_OK || revision == nullptr)
        return;
    ToldState told = read(nats::subject_of(message).substr(kMessagePrefix.size()), std::stoull(revision),
                          nats::payload_of(message));
    const std::lock_guard lock{mutex_};
    told_.push_back(std::move(told));
}

std::vector<ToldState> ToldStates::all() const {
    const std::lock_guard lock{mutex_};
    return told_;
}

std::size_t ToldStates::count() const {
    const std::lock_guard lock{mutex_};
    return told_.size();
}

std::optional<contract::State> ToldStates::newest(const std::string& target) const {
    const std::lock_guard lock{mutex_};
    const auto last = std::find_if(told_.rbegin(), told_.rend(),
                                   [&](const ToldState& told) { return told.target == target; });
    return last == told_.rend() ? std::nullopt : last->state;
}

std::vector<ToldState> stored_states(nats::Connection& connection) {
    jsCtx* raw_js = nullptr;
    if (const natsStatus s = natsConnection_JetStream(&raw_js, connection.handle(), nullptr); s != NATS_OK)
        throw std::runtime_error{natsStatus_GetText(s)};
    const nats::JetStreamHandle js{raw_js};
    jsStreamInfo* raw_info = nullptr;
    if (const natsStatus s = js_GetStreamInfo(&raw_info, js.get(), kStream, nullptr, nullptr); s != NATS_OK)
        throw std::runtime_error{natsStatus_GetText(s)};
    const nats::StreamInfoHandle info{raw_info};
    std::vector<ToldState> stored;
    for (std::uint64_t revision = std::max<std::uint64_t>(info->State.FirstSeq, 1);
         revision <= info->State.LastSeq; ++revision) {
        natsMsg* raw = nullptr;
        jsErrCode code{};
        const natsStatus s = js_GetMsg(&raw, js.get(), kStream, revision, nullptr, &code);
        if (s == NATS_NOT_FOUND) continue;  // the history is full
        if (s != NATS_OK)
            throw std::runtime_error{
                fmt::format("revision {}: {} ({})", revision, natsStatus_GetText(s), static_cast<int>(code))};
        const nats::Message message{raw};
        stored.push_back(
            read(nats::subject_of(message).substr(kKeyPrefix.size()), revision, nats::payload_of(message)));
        stored.back().stored_at = contract::WallTime{std::chrono::microseconds{natsMsg_GetTime(raw) / 1000}};
    }
    return stored;
}

std::string course_of(const std::vector<ToldState>& told, const std::string& target) {
    std::vector<std::string> words;
    for (const ToldState& entry : told) {
        if (entry.target != target) continue;
        words.push_back(entry.state
                            ? in_words(entry.state->transition, entry.state->previous, entry.state->state)
                            : "deleted");
    }
    return joined(words);
}

std::string course_of(const std::vector<contract::Health>& states) {
    std::vector<std::string> words;
    std::optional<contract::Health> previous;
    for (const contract::Health state : states) {
        words.push_back(in_words(words.size() + 1, previous, state));
        previous = state;
    }
    return joined(words);
}

bool in_order_of_revisions(const std::vector<ToldState>& told, const std::string& target) {
    std::uint64_t last = 0;
    for (const ToldState& entry : told) {
        if (entry.target != target) continue;
        if (entry.revision <= last) return false;
        last = entry.revision;
    }
    return true;
}

}  // namespace pgpulse::support
