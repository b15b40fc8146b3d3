#include "tests/support/spawn.hpp"

#include "tests/support/file_descriptor.hpp"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace pgpulse::support {
namespace {

/// The kernel sends the parent-death signal when the *thread* that forked ends. So one thread, which lives as
/// long as this process, forks for everybody.
class SpawningThread {
  public:
    static SpawningThread& instance() {
        // Never destroyed: a fixture may outlive the statics.
        static auto* const thread = new SpawningThread;
        return *thread;
    }

    pid_t run(std::packaged_task<pid_t()> task) {
        auto result = task.get_future();
        {
            const std::scoped_lock lock{mutex_};
            tasks_.push_back(std::move(task));
        }
        wake_.notify_one();
        return result.get();
    }

  private:
    SpawningThread() {
        std::thread{[this] { serve(); }}.detach();
    }

    [[noreturn]] void serve() {
        for (;;) {
            std::unique_lock lock{mutex_};
            wake_.wait(lock, [this] { return !tasks_.empty(); });
            auto task = std::move(tasks_.front());
            tasks_.pop_front();
            lock.unlock();
            task();
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::packaged_task<pid_t()>> tasks_;
};

struct Identity {
    uid_t uid;
    gid_t gid;
    std::vector<gid_t> groups;
};

Identity look_up(const std::string& user) {
    std::array<char, 16384> buffer;
    passwd entry{};
    passwd* found = nullptr;
    ::getpwnam_r(user.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (found == nullptr) {
        throw std::runtime_error("no such user: " + user);
    }
    int count = 64;
    std::vector<gid_t> groups(static_cast<std::size_t>(count));
    ::getgrouplist(user.c_str(), entry.pw_gid, groups.data(), &count);
    groups.resize(static_cast<std::size_t>(count));
    return {entry.pw_uid, entry.pw_gid, std::move(groups)};
}

/// Everything the child needs, made before the fork: between fork and exec it may not allocate.
struct Prepared {
    const char* program;
    char* const* argv;
    char* const* envp;
    const char* working_directory;
    const Identity* identity;
    unsigned open_files;
    int in;
    int out;
    int err;
    int report;
    int network;
    pid_t parent;
};

constexpr int report_fd = 3;

/// Runs in the child: system calls alone. Reports errno through the pipe when the program cannot be run.
[[noreturn]] void become(const Prepared& prepared) {
    const auto fail = [](int fd) {
        const int error = errno;
        (void)!::write(fd, &error, sizeof error);
        ::_exit(127);
    };
    ::setpgid(0, 0);
    if (prepared.network >= 0 && ::setns(prepared.network, CLONE_NEWNET) != 0) {
        fail(prepared.report);
    }
    // Copies above the range that is written next, so that no source is overwritten before it is read.
    const int in = ::fcntl(prepared.in, F_DUPFD, 10);
    const int out = ::fcntl(prepared.out, F_DUPFD, 10);
    const int err = ::fcntl(prepared.err, F_DUPFD, 10);
    const int report = ::fcntl(prepared.report, F_DUPFD, 10);
    if (::dup2(in, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(err, 2) < 0 ||
        ::dup3(report, report_fd, O_CLOEXEC) < 0) {
        fail(prepared.report);
    }
    // A server that inherits a listening socket or a lock of the test would hold it beyond the test's own
    // hands.
    ::syscall(SYS_close_range, report_fd + 1, ~0U, 0);
    if (prepared.working_directory != nullptr && ::chdir(prepared.working_directory) != 0) {
        fail(report_fd);
    }
    if (prepared.open_files != 0) {
        const rlimit limit{prepared.open_files, prepared.open_files};
        if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            fail(report_fd);
        }
    }
    if (prepared.identity != nullptr) {
        // The bare system calls: glibc's functions look for other threads, which a fork does not have.
        const Identity& identity = *prepared.identity;
        if (::syscall(SYS_setgroups, identity.groups.size(), identity.groups.data()) != 0 ||
            ::syscall(SYS_setresgid, identity.gid, identity.gid, identity.gid) != 0 ||
            ::syscall(SYS_setresuid, identity.uid, identity.uid, identity.uid) != 0) {
            fail(report_fd);
        }
    }
    // After the change of user, which clears it.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != prepared.parent) {
        ::_exit(127);
    }
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::signal(SIGPIPE, SIG_DFL);
    ::execve(prepared.program, prepared.argv, prepared.envp);
    fail(report_fd);
    ::_exit(127);
}

/// This thread's network namespace; closed where the system shows none.
FileDescriptor own_network() {
    return FileDescriptor{::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)};
}

bool same_file(const FileDescriptor& a, const FileDescriptor& b) {
    struct stat of_a{};
    struct stat of_b{};
    return ::fstat(a.get(), &of_a) == 0 && ::fstat(b.get(), &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
           of_a.st_ino == of_b.st_ino;
}

std::vector<std::string> merged_environment(
    const std::vector<std::pair<std::string, std::string>>& additions) {
    std::vector<std::string> merged;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text{*entry};
        const auto name = text.substr(0, text.find('='));
        bool replaced = false;
        for (const auto& [added, value] : additions) {
            replaced = replaced || added == name;
        }
        if (!replaced) {
            merged.emplace_back(text);
        }
    }
    for (const auto& [name, value] : additions) {
        merged.emplace_back(name).append("=").append(value);
    }
    return merged;
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
    std::vector<char*> result;
    result.reserve(strings.size() + 1);
    for (const auto& text : strings) {
        result.push_back(const_cast<char*>(text.c_str()));
    }
    result.push_back(nullptr);
    return result;
}

}  // namespace

pid_t spawn(const SpawnRequest& request) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        throw std::system_error(errno, std::generic_category(), "pipe2");
    }
    const FileDescriptor report_out{ends[0]};
    FileDescriptor report_in{ends[1]};
    const auto environment = merged_environment(request.environment);
    const auto argv = pointers(request.argv);
    const auto envp = pointers(environment);
    const auto identity = request.user.empty() ? Identity{} : look_up(request.user);
    const FileDescriptor network = own_network();
    Prepared prepared{
        .program = request.program.c_str(),
        .argv = argv.data(),
        .envp = envp.data(),
        .working_directory = request.working_directory.empty() ? nullptr : request.working_directory.c_str(),
        .identity = request.user.empty() ? nullptr : &identity,
        .open_files = request.open_files,
        .in = request.in,
        .out = request.out,
        .err = request.err,
        .report = report_in.get(),
        .network = -1,
        .parent = ::getpid()};
    const pid_t pid = SpawningThread::instance().run(std::packaged_task<pid_t()>{[&prepared, &network] {
        // Only who has the right to may enter a namespace, be it the one that it is in.
        const FileDescriptor here = own_network();
        if (network && here && !same_file(network, here)) prepared.network = network.get();
        const pid_t child = ::fork();
        if (child == 0) {
            become(prepared);
        }
        if (child < 0) {
            throw std::system_error(errno, std::generic_category(), "fork");
        }
        return child;
    }});
    ::setpgid(pid, pid);
    report_in.reset();
    int error = 0;
    ssize_t got = 0;
    do {
        got = ::read(report_out.get(), &error, sizeof error);
    } while (got < 0 && errno == EINTR);
    if (got == sizeof error) {
        ::waitpid(pid, nullptr, 0);
        throw std::system_error(error, std::generic_category(), "run " + request.program.string());
    }
    return pid;
}

}  // namespace pgpulse::support
