#include "common/runtime/service_manager.hpp"

#include "common/runtime/clock.hpp"
#include "common/runtime/mailbox.hpp"
#include "common/runtime/service_report.hpp"

#include <spdlog/spdlog.h>

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace pgpulse::runtime {
namespace {

/// A manager that reads nothing for so long is given up until the next look.
constexpr timeval kSendAtMost{1, 0};

std::string take_from_environment(const char* name) {
    const char* const value = std::getenv(name);
    std::string text = value == nullptr ? std::string{} : std::string{value};
    unsetenv(name);
    return text;
}

}  // namespace

struct ServiceManager::Impl {
    enum class Told { look, reloading, reloaded, stopping, end };

    std::string path;
    std::optional<std::chrono::microseconds> watchdog;
    sockaddr_un address{};
    socklen_t length = 0;
    int socket = -1;
    bool fault_said = false;
    std::mutex mutex;
    Health health;         // under the mutex, also while it is asked
    bool stopped = false;  // under the mutex
    Mailbox<Told> mailbox;
    std::thread thread;

    Impl() = default;
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    ~Impl() {
        if (thread.joinable()) {
            mailbox.post(Told::end);
            thread.join();
        }
        if (socket >= 0) close(socket);
    }

    /// What is wrong, once.
    void fault(const std::string& what) {
        if (!std::exchange(fault_said, true))
            spdlog::warn("NOTIFY_SOCKET: the service manager cannot be told how this program is: {}", what);
    }

    void open() {
        // An '@' at its beginning stands for the zero of an abstract address.
        const bool abstract = path.starts_with('@');
        if (!abstract && !path.starts_with('/'))
            return fault("expected /PATH or @NAME, found '" + path + "'");
        if (path.size() >= sizeof address.sun_path)
            return fault("expected at most " + std::to_string(sizeof address.sun_path - 1) + " characters");
        address.sun_family = AF_UNIX;
        std::memcpy(static_cast<char*>(address.sun_path), path.data(), path.size());
        if (abstract) address.sun_path[0] = '\0';
        length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1));
        socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (socket < 0) return fault(std::strerror(errno));
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &kSendAtMost, sizeof kSendAtMost);
    }

    bool send(const std::string& text) {
        if (socket < 0) return false;
        const auto* const to = reinterpret_cast<const sockaddr*>(&address);
        if (sendto(socket, text.data(), text.size(), MSG_NOSIGNAL, to, length) >= 0) return true;
        fault(std::strerror(errno));
        return false;
    }

    std::optional<ServiceReport::Facts> facts() {
        const std::lock_guard lock{mutex};
        if (!health.healthy) return std::nullopt;
        return ServiceReport::Facts{health.healthy(), health.not_ready_because()};
    }

    void run() {
        open();
        ServiceReport report{watchdog, mono_now()};
        std::vector<Told> batch;
        Mono next = mono_now();
        for (;;) {
            mailbox.take_until(batch, next);
            for (const Told told : batch) {
                switch (told) {
                    case Told::look:
                        next = mono_now();
                        break;
                    case Told::reloading:
                        send(ServiceReport::reloading(mono_now()));
                        break;
                    case Told::reloaded:
                        send(ServiceReport::reloaded());
                        break;
                    case Told::stopping:
                        send(ServiceReport::stopping());
                        return;
                    case Told::end:
                        return;
                }
            }
            const Mono now = mono_now();
            if (now < next) continue;
            const std::string text = report.look(facts(), now);
            if (!text.empty() && !send(text)) report.lost();
            next = now + report.pause();
        }
    }
};

ServiceManager::ServiceManager() {
    std::string path = take_from_environment("NOTIFY_SOCKET");
    const std::string microseconds = take_from_environment("WATCHDOG_USEC");
    const std::string pid = take_from_environment("WATCHDOG_PID");
    if (path.empty()) return;
    impl_ = std::make_unique<Impl>();
    impl_->path = std::move(path);
    impl_->watchdog = parse_watchdog(microseconds, pid, getpid());
}

ServiceManager::~ServiceManager() = default;

void ServiceManager::start() {
    if (impl_) impl_->thread = std::thread{[impl = impl_.get()] { impl->run(); }};
}

ServiceManager::Watch ServiceManager::watch(Health health) {
    if (impl_) {
        {
            const std::lock_guard lock{impl_->mutex};
            if (!impl_->stopped) impl_->health = std::move(health);
        }
        impl_->mailbox.post(Impl::Told::look);
    }
    return Watch{*this};
}

void ServiceManager::reloading() {
    if (impl_) impl_->mailbox.post(Impl::Told::reloading);
}

void ServiceManager::reloaded() {
    if (impl_) impl_->mailbox.post(Impl::Told::reloaded);
}

void ServiceManager::stopping() {
    if (!impl_) return;
    {
        const std::lock_guard lock{impl_->mutex};
        impl_->health = {};
        if (std::exchange(impl_->stopped, true)) return;
    }
    impl_->mailbox.post(Impl::Told::stopping);
}

}  // namespace pgpulse::runtime
