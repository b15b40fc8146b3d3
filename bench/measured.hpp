#pragma once

#include <sys/resource.h>
#include <sys/time.h>

#include <chrono>
#include <cstdint>
#include <cstdio>

namespace pgpulse::bench {

/// CPU seconds, of user and system, that this process (RUSAGE_SELF) or its ended children (RUSAGE_CHILDREN)
/// have used.
inline double cpu_seconds(int who) {
    rusage usage{};
    getrusage(who, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Times one stretch of work of this process and its children.
class Stretch {
  public:
    [[nodiscard]] double seconds() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
    }

    /// Prints "<count> <seconds> <CPU seconds>", which is what the scripts read.
    void print(std::uint64_t count) const {
        std::printf("%llu %.6f %.6f\n", static_cast<unsigned long long>(count), seconds(), cpu() - cpu_);
    }

  private:
    static double cpu() { return cpu_seconds(RUSAGE_SELF) + cpu_seconds(RUSAGE_CHILDREN); }

    std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
    double cpu_ = cpu();
};

}  // namespace pgpulse::bench
