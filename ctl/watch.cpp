#include "ctl/watch.hpp"

#include "common/contract/names.hpp"
#include "common/contract/state.hpp"
#include "common/nats/subscription.hpp"
#include "common/runtime/clock.hpp"
#include "common/runtime/signals.hpp"
#include "ctl/live_watch.hpp"

#include <nlohmann/json.hpp>

#include <unistd.h>

#include <charconv>
#include <condition_variable>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <optional>

namespace pgpulse::ctl {
namespace {

constexpr std::chrono::milliseconds kFlushTimeout{2000};

/// What the main thread waits for: set by the signals', NATS' and the subscription's threads.
class Progress {
  public:
    void stop() { set(stopped_, true); }
    void connection_is(bool connected) { set(connected_, connected); }

    bool wait_for_connection() {
        std::unique_lock lock{mutex_};
        changed_.wait(lock, [this] { return stopped_ || connected_; });
        return !stopped_;
    }
    void wait_for_stop() {
        std::unique_lock lock{mutex_};
        changed_.wait(lock, [this] { return stopped_; });
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool stopped_ = false;
    bool connected_ = false;

    void set(bool& what, bool value) {
        {
            const std::lock_guard lock{mutex_};
            what = value;
        }
        changed_.notify_all();
    }
};

/// One message of `health.state.<target>`.
struct Transition {
    contract::WallTime received_at;
    std::string_view subject;
    std::string_view target;
    std::optional<std::uint64_t> revision;  // of the bucket; empty where no server republished the message
    std::string_view payload;
    bool removal = false;
};

std::optional<std::string_view> header(const nats::Message& message, const char* name) {
    const char* value = nullptr;
    if (natsMsgHeader_Get(message.get(), name, &value) != NATS_OK || value == nullptr) return std::nullopt;
    return value;
}

Transition read(const nats::Message& message) {
    Transition transition{runtime::wall_now(), nats::subject_of(message), {}, {}, nats::payload_of(message)};
    transition.target = transition.subject.substr(contract::kAllStates.size() - 1);
    transition.removal = transition.payload.empty() && header(message, "KV-Operation").has_value();
    if (const auto text = header(message, "Nats-Sequence")) {
        std::uint64_t revision = 0;
        const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), revision);
        if (error == std::errc{} && end == text->data() + text->size()) transition.revision = revision;
    }
    return transition;
}

std::string json_line(const Transition& transition) {
    nlohmann::ordered_json line{{"received_at", contract::to_rfc3339(transition.received_at)},
                                {"subject", transition.subject},
                                {"revision", nullptr},
                                {"state", nullptr}};
    if (transition.revision) line["revision"] = *transition.revision;
    // The document as it was sent, fields this program does not know included.
    if (!transition.removal) line["state"] = nlohmann::ordered_json::parse(transition.payload);
    return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

/// "maintenance begins, role": what the transition changed beside the state.
std::string other_changes(const contract::State& state) {
    std::string words;
    for (std::size_t i = 0; i < contract::kChanges; ++i) {
        const auto change = static_cast<contract::Change>(i);
        if (!state.changed.test(i) || change == contract::Change::state) continue;
        words += words.empty() ? "" : ", ";
        words += to_string(change);
        if (change == contract::Change::maintenance) words += state.maintenance ? " begins" : " ends";
    }
    return words;
}

std::string text_line(const Transition& transition, const contract::State& state) {
    const std::size_t voters = state.evidence.size();
    std::string line = contract::to_rfc3339(transition.received_at);
    line += "  " + state.target + "  ";
    line += state.previous ? contract::to_string(*state.previous) : "-";
    line += " → ";
    line += contract::to_string(state.state);
    line += "  ";
    line += contract::to_string(state.reason);
    line += " (";
    line += contract::in_words(state.reason);
    line += ")  " + std::to_string(voters) + (voters == 1 ? " observer" : " observers");
    if (const std::string changes = other_changes(state); !changes.empty()) line += "  [" + changes + "]";
    return line;
}

std::string text_line(const Transition& transition) {
    return contract::to_rfc3339(transition.received_at) + "  " + std::string{transition.target} +
           "  → removed";
}

/// False when standard output takes no more.
bool print(const nats::Message& message, bool json) {
    const Transition transition = read(message);
    std::string line;
    if (transition.removal) {
        line = json ? json_line(transition) : text_line(transition);
    } else if (const auto state = contract::decode_state(transition.target, transition.payload)) {
        line = json ? json_line(transition) : text_line(transition, *state);
    } else {
        std::cerr << "pgpulse: message on " << transition.subject
                  << " cannot be read: " << state.error().detail << '\n';
        return true;
    }
    std::cout << line << std::endl;
    return std::cout.good();
}

}  // namespace

int run_watch(const Options& options) {
    const char* const term = std::getenv("TERM");
    const bool terminal = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1 && term != nullptr &&
                          std::string_view{term} != "dumb";
    if (terminal && !options.json && !options.lines) return run_live_watch(options);
    Progress progress;
    runtime::Signals signals;
    const auto connection =
        nats::Connection::open(options.nats, [&](bool connected) { progress.connection_is(connected); });
    if (!connection) {
        std::cerr << "pgpulse: " << connection.error().text << '\n';
        return exit_code_of(connection.error());
    }
    // Not before: a signal that nobody takes ends the wait for a server that does not answer.
    signals.listen([&](runtime::Signal) { progress.stop(); });
    const auto subscription = nats::Subscription::open(**connection, std::string{contract::kAllStates},
                                                       [&](const nats::Message& message) {
                                                           if (!print(message, options.json)) progress.stop();
                                                       });
    if (!subscription) {
        std::cerr << "pgpulse: " << subscription.error().text << '\n';
        return 3;
    }
    // Only what was flushed is known to the server; from then on no transition is missed.
    bool listening = false;
    while (!listening && progress.wait_for_connection()) {
        listening = (*connection)->flush(kFlushTimeout).has_value();
    }
    if (listening) {
        std::cerr << "pgpulse: listening on " << contract::kAllStates << std::endl;
        progress.wait_for_stop();
    }
    return 0;
}

}  // namespace pgpulse::ctl
