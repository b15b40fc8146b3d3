#include "probe/resolver.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <queue>
#include <thread>
#include <unordered_map>

namespace pgpulse::probe {
namespace {

using Clock = std::chrono::steady_clock;

// A lookup can hang for seconds. Names that took long the last time are left to some of the threads, so that dead name
// servers hold no other name up.
constexpr int kThreadsForAll = 6;
constexpr int kThreadsForQuick = 10;
constexpr std::chrono::milliseconds kLong{500};
constexpr std::chrono::seconds kRefresh{30};
constexpr std::chrono::seconds kRetryUnknown{1};
constexpr std::chrono::seconds kDoubtAfter{1};

/// The C library calls a lookup that could not open a file or a socket by the names of other failures.
bool exhausted() {
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) close(fd);
    return fd < 0;
}

Resolver::Answer look_up(const std::string& name) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    if (const int error = getaddrinfo(name.c_str(), nullptr, &hints, &list); error != 0)
        return {{}, error == EAI_MEMORY || exhausted()};
    std::vector<std::string> addresses;
    for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
        char text[NI_MAXHOST];  // NOLINT(cppcoreguidelines-avoid-c-arrays)
        if (getnameinfo(entry->ai_addr, entry->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) !=
            0)
            continue;
        if (std::ranges::find(addresses, text) == addresses.end()) addresses.emplace_back(text);
    }
    freeaddrinfo(list);
    return {std::move(addresses), false};
}

}  // namespace

/// Shared by the owner and the threads, because a thread may sit in getaddrinfo when the owner goes.
struct Resolver::State {
    struct Due {
        Clock::time_point at;
        std::uint64_t number;  // of those due at one time the first one comes first
        std::string name;

        bool operator>(const Due& other) const {
            return at != other.at ? at > other.at : number > other.number;
        }
    };
    using Line = std::priority_queue<Due, std::vector<Due>, std::greater<>>;
    struct Name {
        std::uint64_t due = 0;  // the number of its one valid entry, in whichever line
        bool found = false;
        bool asking = false;
        bool takes_long = false;
        Clock::time_point answered{};
    };

    std::mutex mutex;
    std::condition_variable wake;
    bool stop = false;
    std::unordered_map<std::string, Name> names;
    Line quick;  // names of which nothing is known among them
    Line slow;
    std::uint64_t dues = 0;
    std::mutex answer_mutex;  // held during `on_answer`, so that the owner can end the calls
    OnAnswer on_answer;

    /// Waits for a name that is due. Empty: the end.
    std::optional<Due> next(bool takes_slow) {
        std::unique_lock lock{mutex};
        for (;;) {
            if (stop) return std::nullopt;
            const auto now = Clock::now();
            Clock::time_point wake_at = Clock::time_point::max();
            for (Line* const line : {&quick, &slow}) {
                if (line == &slow && !takes_slow) continue;
                drop_stale(*line);
                if (line->empty()) continue;
                if (line->top().at > now) {
                    wake_at = std::min(wake_at, line->top().at);
                    continue;
                }
                Due next = line->top();
                line->pop();
                names.at(next.name).asking = true;
                return next;
            }
            if (wake_at == Clock::time_point::max()) {
                wake.wait(lock);
            } else {
                wake.wait_until(lock, wake_at);
            }
        }
    }

    /// Entries of names that are forgotten or due at another time. The mutex is held.
    void drop_stale(Line& line) {
        const auto stale = [this](const Due& due) {
            const auto name = names.find(due.name);
            return name == names.end() || name->second.due != due.number || name->second.asking;
        };
        while (!line.empty() && stale(line.top())) line.pop();
    }

    /// The mutex is held.
    void set_due(const std::string& text, Name& name, Clock::time_point at) {
        name.due = ++dues;
        (name.takes_long ? slow : quick).push({at, name.due, text});
    }

    void answered(const Due& asked, Clock::duration took, Answer answer) {
        {
            const std::lock_guard lock{mutex};
            const auto it = names.find(asked.name);
            // Another number: the name was forgotten and followed again meanwhile.
            if (stop || it == names.end() || it->second.due != asked.number) return;
            Name& name = it->second;
            name.asking = false;
            name.found |= !answer.addresses.empty();
            name.answered = Clock::now();
            name.takes_long = took > kLong;
            set_due(asked.name, name, name.answered + (name.found ? kRefresh : kRetryUnknown));
        }
        wake.notify_all();
        const std::lock_guard lock{answer_mutex};
        if (on_answer) on_answer(asked.name, std::move(answer));
    }
};

Resolver::Resolver(OnAnswer on_answer) : state_(std::make_shared<State>()) {
    state_->on_answer = std::move(on_answer);
    for (int i = 0; i < kThreadsForAll + kThreadsForQuick; ++i) {
        std::thread{[state = state_, takes_slow = i < kThreadsForAll] {
            while (const auto due = state->next(takes_slow)) {
                const auto began = Clock::now();
                Answer answer = look_up(due->name);
                state->answered(*due, Clock::now() - began, std::move(answer));
            }
        }}.detach();
    }
}

Resolver::~Resolver() {
    {
        const std::lock_guard lock{state_->mutex};
        state_->stop = true;
    }
    state_->wake.notify_all();
    const std::lock_guard lock{state_->answer_mutex};
    state_->on_answer = nullptr;
}

void Resolver::follow(const std::string& name) {
    {
        const std::lock_guard lock{state_->mutex};
        const auto [it, fresh] = state_->names.try_emplace(name);
        if (!fresh) return;
        // Before everything that was looked up before.
        state_->set_due(name, it->second, Clock::time_point::min());
    }
    state_->wake.notify_all();
}

void Resolver::forget(const std::string& name) {
    const std::lock_guard lock{state_->mutex};
    state_->names.erase(name);
}

void Resolver::doubt(const std::string& name) {
    {
        const std::lock_guard lock{state_->mutex};
        const auto it = state_->names.find(name);
        const auto now = Clock::now();
        if (it == state_->names.end() || it->second.asking || now - it->second.answered < kDoubtAfter) return;
        // The first lookup of it is to come yet.
        if (it->second.answered == Clock::time_point{}) return;
        state_->set_due(name, it->second, now);
        it->second.answered = now;  // once a second, however long the lookup waits for its turn
    }
    state_->wake.notify_all();
}

bool is_numeric_address(const std::string& text) {
    in6_addr address{};
    if (inet_pton(AF_INET, text.c_str(), &address) == 1) return true;
    // An IPv6 address may name its zone: fe80::1%eth0.
    return inet_pton(AF_INET6, text.substr(0, text.find('%')).c_str(), &address) == 1;
}

}  // namespace pgpulse::probe
