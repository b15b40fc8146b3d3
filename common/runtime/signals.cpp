#include "common/runtime/signals.hpp"

#include <pthread.h>

#include <csignal>

namespace pgpulse::runtime {
namespace {

sigset_t handled() {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR2}) sigaddset(&set, number);
    return set;
}

}  // namespace

Signals::Signals() {
    const sigset_t set = handled();
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
}

Signals::~Signals() {
    if (!thread_.joinable()) return;
    pthread_kill(thread_.native_handle(), SIGUSR2);  // ends the thread's wait
    thread_.join();
}

void Signals::listen(OnSignal on_signal) {
    thread_ = std::thread{[on_signal = std::move(on_signal)] {
        const sigset_t set = handled();
        for (;;) {
            int number = 0;
            if (sigwait(&set, &number) != 0 || number == SIGUSR2) return;
            on_signal(number == SIGHUP ? Signal::reload : Signal::stop);
        }
    }};
}

}  // namespace pgpulse::runtime
