#pragma once

#include "tests/support/process.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace pgpulse::support {

/// The path of a program of this build: "pgpulse-probe".
std::string built_program(const std::string& name);

/// A daemon of this build with its HTTP endpoint on a free port.
class Daemon {
  public:
    /// Starts it; `arguments` follow `--id ID --http 127.0.0.1:PORT`.
    Daemon(std::string program, std::string id, std::vector<std::string> arguments,
           ProcessOptions options = {});

    /// Nothing to do when it runs.
    void start();
    /// SIGTERM; the exit code, or nullopt where it did not end.
    std::optional<int> stop();
    void kill9();

    [[nodiscard]] Process& process() { return *process_; }
    /// What `/readyz` answers: 200, 503, or 0 where nobody answers.
    [[nodiscard]] long readiness() const;
    /// The value of a sample of `/metrics`, by its whole name with labels; nullopt where there is none.
    [[nodiscard]] std::optional<double> metric(const std::string& sample) const;
    /// All of `/metrics`.
    [[nodiscard]] std::string metrics() const;
    /// Its log over all its lives.
    [[nodiscard]] std::string log() const;

  private:
    std::string program_;
    std::vector<std::string> arguments_;
    ProcessOptions options_;
    std::string address_;
    std::string past_log_;
    std::unique_ptr<Process> process_;
};

/// The body of an HTTP GET, and its status (0: no answer).
struct HttpAnswer {
    long status = 0;
    std::string body;
};
HttpAnswer http_get(const std::string& url);

}  // namespace pgpulse::support
