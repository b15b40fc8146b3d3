#include "tests/support/installed.hpp"

#include "tests/support/folders.hpp"
#include "tests/support/process.hpp"

#include <chrono>
#include <stdexcept>

namespace pgpulse::support {

Installed::Installed() { again(); }

void Installed::again() const {
    // Copying programs with all their debug information takes its time on a loaded machine.
    const CommandResult result = run_to_end(
        {"cmake", "--install", program_folder().parent_path().string(), "--prefix", prefix().string()},
        {.environment = {{"DESTDIR", ""}}}, std::chrono::minutes{3});
    if (result.exit_code != 0) throw std::runtime_error{"cmake --install: " + result.out + result.err};
}

std::filesystem::path Installed::program(const std::string& daemon) const {
    return prefix() / "bin" / ("pgpulse-" + daemon);
}

std::filesystem::path Installed::unit(const std::string& daemon) const {
    return prefix() / "lib/systemd/system" / ("pgpulse-" + daemon + ".service");
}

std::filesystem::path Installed::configuration(const std::string& daemon) const {
    return prefix() / "etc/pgpulse" / (daemon + ".toml");
}

std::filesystem::path Installed::environment(const std::string& daemon) const {
    return prefix() / "etc/default" / ("pgpulse-" + daemon);
}

}  // namespace pgpulse::support
