#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace pgpulse::bench {

/// A PostgreSQL server that somebody else made: its data folder, and the program that starts it there. Ends the program
/// with one line where a step fails.
class DatabaseServer {
  public:
    using Clock = std::chrono::steady_clock;

    /// `start_program FOLDER` starts the server and returns when it accepts connections. The server's processes become
    /// children of this one, which so sees to it that nothing is left of a killed server.
    DatabaseServer(std::string start_program, std::string folder);

    /// Waits for the end of a killed one first.
    void start();
    /// SIGKILL to the postmaster; its children notice by themselves. When it was sent.
    Clock::time_point kill9();
    /// SIGSTOP to the postmaster and its children: connections are taken by the kernel and nobody answers. When it
    /// began.
    Clock::time_point hang();
    /// SIGCONT to all that were stopped.
    void resume();

  private:
    std::string start_program_;
    std::string folder_;
    std::vector<pid_t> killed_;
    std::vector<pid_t> stopped_;

    [[nodiscard]] pid_t postmaster() const;
};

/// Runs a program with its output thrown away and returns its exit code, or ends this one with one line.
int run_program(const std::vector<std::string>& command);

}  // namespace pgpulse::bench
