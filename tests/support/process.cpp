#include "tests/support/process.hpp"

#include "tests/support/spawn.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <system_error>

namespace pgpulse::support {
namespace {

FileDescriptor memory_file(const char* name, std::string_view content = {}) {
    FileDescriptor file{::memfd_create(name, MFD_CLOEXEC)};
    if (!file) {
        throw std::system_error(errno, std::generic_category(), "memfd_create");
    }
    while (!content.empty()) {
        const ssize_t written = ::write(file.get(), content.data(), content.size());
        if (written < 0) {
            throw std::system_error(errno, std::generic_category(), "write to a memory file");
        }
        content.remove_prefix(static_cast<std::size_t>(written));
    }
    ::lseek(file.get(), 0, SEEK_SET);
    return file;
}

FileDescriptor open_or_throw(const std::filesystem::path& path, int flags) {
    FileDescriptor file{::open(path.c_str(), flags | O_CLOEXEC, 0644)};
    if (!file) {
        throw std::system_error(errno, std::generic_category(), "open " + path.string());
    }
    return file;
}

std::string read_all(const FileDescriptor& file) {
    std::string text;
    std::array<char, 16384> buffer;
    // pread leaves the offset alone, which the child shares.
    for (;;) {
        const ssize_t got =
            ::pread(file.get(), buffer.data(), buffer.size(), static_cast<off_t>(text.size()));
        if (got <= 0) {
            return text;
        }
        text.append(buffer.data(), static_cast<std::size_t>(got));
    }
}

int exit_code_of(const siginfo_t& info) {
    return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

std::filesystem::path resolve(const std::string& program) {
    if (program.find('/') != std::string::npos) {
        return program;
    }
    if (auto found = find_program(program)) {
        return *found;
    }
    throw std::runtime_error("program not found on PATH: " + program);
}

}  // namespace

Process::Process(const std::vector<std::string>& argv, const ProcessOptions& options) : program_(argv.at(0)) {
    const FileDescriptor in =
        options.input.empty() ? open_or_throw("/dev/null", O_RDONLY) : memory_file("stdin", options.input);
    one_log_ = !options.log_file.empty();
    if (one_log_) {
        out_ = open_or_throw(options.log_file, O_RDWR | O_CREAT | O_APPEND);
    } else {
        out_ = memory_file("stdout");
        err_ = memory_file("stderr");
        ::fcntl(out_.get(), F_SETFL, O_APPEND);
        ::fcntl(err_.get(), F_SETFL, O_APPEND);
    }
    pid_ = spawn({.program = resolve(program_),
                  .argv = argv,
                  .environment = options.environment,
                  .working_directory = options.working_directory,
                  .user = options.user,
                  .open_files = options.open_files,
                  .in = in.get(),
                  .out = out_.get(),
                  .err = one_log_ ? out_.get() : err_.get()});
}

Process::~Process() {
    // The process stays unreaped until here, so neither its number nor its group's can have passed on to a
    // stranger.
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
}

void Process::signal(int number) const { ::kill(pid_, number); }

void Process::kill9() {
    signal(SIGKILL);
    if (!wait_exit()) {
        throw std::runtime_error(program_ + " survived SIGKILL");
    }
}

void Process::stop() {
    signal(SIGSTOP);
    const bool stopped = wait_until([this] {
        siginfo_t info{};
        return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 &&
               info.si_pid == pid_;
    });
    if (!stopped) {
        throw std::runtime_error(program_ + " did not stop on SIGSTOP");
    }
}

void Process::cont() const { signal(SIGCONT); }

std::optional<int> Process::terminate(std::chrono::milliseconds deadline) {
    signal(SIGTERM);
    return wait_exit(deadline);
}

std::optional<int> Process::wait_exit(std::chrono::milliseconds deadline) {
    (void)wait_until([this] { return exit_code().has_value(); }, deadline);
    return exit_code_;
}

std::optional<int> Process::exit_code() {
    if (!exit_code_) {
        siginfo_t info{};
        if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            info.si_pid == pid_) {
            exit_code_ = exit_code_of(info);
        }
    }
    return exit_code_;
}

std::string Process::out() const { return read_all(out_); }
std::string Process::err() const { return read_all(one_log_ ? out_ : err_); }
std::string Process::output() const { return one_log_ ? out() : out() + err(); }

void wait_ready(Process& process, std::string_view name, const std::function<bool()>& ready,
                std::chrono::milliseconds deadline) {
    bool is_ready = false;
    (void)wait_until(
        [&] {
            is_ready = ready();
            return is_ready || !process.running();
        },
        deadline);
    if (is_ready) {
        return;
    }
    const auto code = process.exit_code();
    throw std::runtime_error(std::string{name} +
                             (code ? " ended with exit code " + std::to_string(*code) + " before it was ready"
                                   : std::string{" was not ready in time"}) +
                             "; it wrote:\n" + process.output());
}

CommandResult run_to_end(const std::vector<std::string>& argv, const ProcessOptions& options,
                         std::chrono::milliseconds deadline) {
    Process process{argv, options};
    const auto code = process.wait_exit(deadline);
    if (!code) {
        throw std::runtime_error(argv.at(0) + " did not end in time; it wrote:\n" + process.output());
    }
    return {*code, process.out(), process.err()};
}

std::optional<char> process_state(pid_t pid) {
    std::ifstream stat{"/proc/" + std::to_string(pid) + "/stat"};
    std::string line;
    std::getline(stat, line);
    // The name before it, in brackets, may hold brackets and spaces of its own.
    const auto bracket = line.rfind(')');
    if (bracket == std::string::npos || bracket + 2 >= line.size()) {
        return std::nullopt;
    }
    return line[bracket + 2];
}

bool alive(pid_t pid) {
    const auto state = process_state(pid);
    return state && *state != 'Z' && *state != 'X';
}

std::optional<std::filesystem::path> find_program(std::string_view name) {
    const char* path = std::getenv("PATH");
    std::istringstream folders{std::string{path != nullptr ? path : "/usr/bin:/bin"} +
                               ":/usr/local/sbin:/usr/sbin:/sbin"};
    for (std::string folder; std::getline(folders, folder, ':');) {
        auto candidate = std::filesystem::path{folder.empty() ? "." : folder} / name;
        // Folders which this user may not enter are passed over, as a shell does.
        std::error_code ignored;
        if (std::filesystem::is_regular_file(candidate, ignored) && ::access(candidate.c_str(), X_OK) == 0) {
            return candidate;
        }
    }
    return std::nullopt;
}

}  // namespace pgpulse::support
