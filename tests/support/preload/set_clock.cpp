// Preloaded into a program: its wall clock is ahead of the machine's by what a file says, from one moment to the next
// when the file is written, as when somebody sets the machine's clock. The monotonic clock stays as it is.
//
// PGPULSE_TEST_CLOCK names the file: eight bytes, microseconds, negative where the clock is behind.

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>

namespace {

constexpr std::int64_t kNsASecond = 1'000'000'000;
/// How long a wait for an hour of the wall clock goes on before it looks whether the clock was set.
constexpr std::int64_t kLookNs = 20'000'000;

const std::atomic<std::int64_t>* ahead_us = nullptr;

__attribute__((constructor)) void map_file() {
    const char* const file = std::getenv("PGPULSE_TEST_CLOCK");
    if (file == nullptr) return;
    const int descriptor = ::open(file, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) std::abort();
    void* const mapped =
        ::mmap(nullptr, sizeof(std::atomic<std::int64_t>), PROT_READ, MAP_SHARED, descriptor, 0);
    if (mapped == MAP_FAILED) std::abort();
    ::close(descriptor);
    ahead_us = static_cast<const std::atomic<std::int64_t>*>(mapped);
}

std::int64_t machine_ns() {
    timespec time{};
    ::syscall(SYS_clock_gettime, CLOCK_REALTIME, &time);
    return time.tv_sec * kNsASecond + time.tv_nsec;
}

std::int64_t set_ns() { return machine_ns() + (ahead_us != nullptr ? ahead_us->load() * 1000 : 0); }

timespec to_timespec(std::int64_t ns) { return {.tv_sec = ns / kNsASecond, .tv_nsec = ns % kNsASecond}; }

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* time) noexcept {
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
        *time = to_timespec(set_ns());
        return 0;
    }
    return static_cast<int>(::syscall(SYS_clock_gettime, clock, time));
}

int gettimeofday(timeval* time, void*) noexcept {
    const std::int64_t ns = set_ns();
    *time = {.tv_sec = ns / kNsASecond, .tv_usec = ns % kNsASecond / 1000};
    return 0;
}

time_t time(time_t* time) noexcept {
    const time_t seconds = set_ns() / kNsASecond;
    if (time != nullptr) *time = seconds;
    return seconds;
}

/// The kernel waits until the machine's clock says so; here the wait ends by the clock that was set. Whoever waits for a
/// condition looks at it again after a wake-up that nobody asked for.
int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, const timespec* until) {
    using Wait = int (*)(pthread_cond_t*, pthread_mutex_t*, const timespec*);
    static const auto wait = reinterpret_cast<Wait>(::dlsym(RTLD_NEXT, "pthread_cond_timedwait"));
    const std::int64_t left = until->tv_sec * kNsASecond + until->tv_nsec - set_ns();
    if (left > kLookNs) {
        const timespec look = to_timespec(machine_ns() + kLookNs);
        const int result = wait(condition, mutex, &look);
        return result == ETIMEDOUT ? 0 : result;
    }
    const timespec end = to_timespec(machine_ns() + (left > 0 ? left : 0));
    return wait(condition, mutex, &end);
}
}
