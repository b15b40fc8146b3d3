#pragma once

#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

#include <chrono>
#include <string>
#include <vector>

namespace pgpulse::support {

/// One run of the handler.
struct WatchEntry {
    /// Wall clock when the handler had read its input.
    std::chrono::sys_time<std::chrono::nanoseconds> at;
    /// The whole current result as Consul gave it: one line of JSON.
    std::string json;
};

/// A real `consul watch` with a shell script as its handler, as users write them.
class ConsulWatch {
  public:
    /// `arguments` say what is watched: {"-type=keyprefix", "-prefix=health/"}, {"-type=checks",
    /// "-service=orders"}.
    ConsulWatch(const std::string& http_url, const std::vector<std::string>& arguments);

    /// The runs of the handler so far, oldest first.
    [[nodiscard]] std::vector<WatchEntry> entries() const;
    [[nodiscard]] Process& process() { return process_; }

  private:
    TempDir folder_;
    Process process_;
};

}  // namespace pgpulse::support
