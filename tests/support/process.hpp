#pragma once

#include "tests/support/file_descriptor.hpp"
#include "tests/support/wait_until.hpp"

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgpulse::support {

struct ProcessOptions {
    /// Added to this process's environment; a name that is there already is replaced.
    std::vector<std::pair<std::string, std::string>> environment = {};
    /// Empty: this process's own.
    std::filesystem::path working_directory = {};
    /// Where stdout and stderr are appended together; empty: held in memory, each for itself.
    std::filesystem::path log_file = {};
    /// What the program reads on stdin, then end of file.
    std::string input = {};
    /// Run as this user (only root may name one); empty: as this process's own.
    std::string user = {};
    /// How many files it may open, and its children; 0: as many as this process.
    unsigned open_files = 0;
};

/// One child process in a process group of its own.
/// It is killed with its whole group by the destructor, and by the kernel when this process dies.
/// One object is used by one thread at a time; several may be started from several threads.
class Process {
  public:
    /// Starts `argv`; a program name without a slash is looked up by find_program().
    /// Throws std::runtime_error or std::system_error naming the program when it cannot be run.
    explicit Process(const std::vector<std::string>& argv, const ProcessOptions& options = {});
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    [[nodiscard]] pid_t pid() const { return pid_; }
    /// Sends `number` to the process alone, not to its group. No effect once it has ended.
    void signal(int number) const;
    /// SIGKILL, and waits until it is gone.
    void kill9();
    /// SIGSTOP, and waits until the kernel says that it is stopped.
    void stop();
    /// SIGCONT.
    void cont() const;
    /// SIGTERM, then wait_exit().
    std::optional<int> terminate(std::chrono::milliseconds deadline = default_deadline);
    /// Waits for the end: the exit code, or 128 + the signal that ended it; nullopt at the deadline.
    std::optional<int> wait_exit(std::chrono::milliseconds deadline = default_deadline);
    /// The exit code if it has ended, without waiting.
    std::optional<int> exit_code();
    [[nodiscard]] bool running() { return !exit_code(); }

    /// What it wrote so far. With a log_file both return that file's text.
    [[nodiscard]] std::string out() const;
    [[nodiscard]] std::string err() const;
    /// All it wrote, for messages: stdout, then stderr.
    [[nodiscard]] std::string output() const;

  private:
    pid_t pid_ = -1;
    bool one_log_ = false;
    std::string program_;
    FileDescriptor out_;
    FileDescriptor err_;
    std::optional<int> exit_code_;
};

/// Waits until `ready` holds. Throws std::runtime_error with what the process wrote when it ends before, or
/// is not ready at the deadline.
void wait_ready(Process& process, std::string_view name, const std::function<bool()>& ready,
                std::chrono::milliseconds deadline = default_deadline);

struct CommandResult {
    int exit_code;
    std::string out;
    std::string err;
};

/// Runs a program to its end. Throws std::runtime_error when it has not ended at the deadline.
CommandResult run_to_end(const std::vector<std::string>& argv, const ProcessOptions& options = {},
                         std::chrono::milliseconds deadline = default_deadline);

/// The letter the kernel gives a process's state: R running, S sleeping, T stopped, Z ended but not yet
/// reaped; nullopt when there is no such process.
std::optional<char> process_state(pid_t pid);

/// Whether a process is there and has not ended. A zombie has ended: when it is reaped is its parent's
/// business.
bool alive(pid_t pid);

/// Looks a program up in $PATH, then in the sbin folders, which are not in the PATH of ordinary users.
std::optional<std::filesystem::path> find_program(std::string_view name);

}  // namespace pgpulse::support
