#include "common/runtime/stop_limit.hpp"

#include <spdlog/spdlog.h>

#include <cstdlib>
#include <vector>

namespace pgpulse::runtime {

StopLimit::~StopLimit() {
    done_.post(0);
    if (thread_.joinable()) thread_.join();
}

void StopLimit::begin() {
    if (!thread_.joinable()) thread_ = std::thread{[this] { run(); }};
}

void StopLimit::run() {
    std::vector<int> batch;
    done_.take_until(batch, std::chrono::steady_clock::now() + kWithin);
    if (!batch.empty()) return;
    spdlog::warn("not stopped within {} ms: ending as it is", kWithin.count());
    spdlog::default_logger()->flush();
    std::_Exit(0);
}

}  // namespace pgpulse::runtime
