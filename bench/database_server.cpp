#include "bench/database_server.hpp"

#include "bench/arguments.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace pgpulse::bench {
namespace {

void send(pid_t pid, int signal) {
    if (::kill(pid, signal) != 0)
        give_up("process " + std::to_string(pid) + " of a server cannot be signalled");
}

/// The parent of a process; 0 where it has ended.
pid_t parent_of(const std::string& pid) {
    std::string line;
    std::getline(std::ifstream{"/proc/" + pid + "/stat"}, line);
    // "<pid> (<name>) <state> <parent> ...", where the name may hold anything.
    const auto name_end = line.rfind(')');
    if (name_end == std::string::npos || name_end + 4 > line.size()) return 0;
    return static_cast<pid_t>(std::strtol(line.c_str() + name_end + 4, nullptr, 10));
}

std::vector<pid_t> children_of(pid_t parent) {
    std::vector<pid_t> children;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc"}) {
        const std::string name = entry.path().filename();
        if (name.find_first_not_of("0123456789") != std::string::npos) continue;
        if (parent_of(name) == parent) children.push_back(static_cast<pid_t>(std::stol(name)));
    }
    return children;
}

}  // namespace

DatabaseServer::DatabaseServer(std::string start_program, std::string folder)
    : start_program_(std::move(start_program)), folder_(std::move(folder)) {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
}

void DatabaseServer::start() {
    // As long as a killed one's process id is not free, the next one does not start. Whose parent is another is not waited for here.
    for (const pid_t pid : killed_) waitpid(pid, nullptr, 0);
    killed_.clear();
    if (run_program({start_program_, folder_}) != 0) give_up(start_program_ + " " + folder_ + " failed");
}

DatabaseServer::Clock::time_point DatabaseServer::kill9() {
    const pid_t pid = postmaster();
    killed_ = children_of(pid);
    killed_.push_back(pid);
    const auto now = Clock::now();
    send(pid, SIGKILL);
    return now;
}

DatabaseServer::Clock::time_point DatabaseServer::hang() {
    const pid_t pid = postmaster();
    const auto now = Clock::now();
    // The postmaster first: from then on there are no new children.
    send(pid, SIGSTOP);
    stopped_ = children_of(pid);
    stopped_.push_back(pid);
    // A backend that ends by itself just then is no matter.
    for (const pid_t stopped : stopped_) ::kill(stopped, SIGSTOP);
    return now;
}

void DatabaseServer::resume() {
    for (const pid_t pid : stopped_) ::kill(pid, SIGCONT);
    stopped_.clear();
}

pid_t DatabaseServer::postmaster() const {
    const std::string file = folder_ + "/postmaster.pid";
    pid_t pid = 0;
    if (!(std::ifstream{file} >> pid) || pid <= 1) give_up(file + ": no process id");
    return pid;
}

int run_program(const std::vector<std::string>& command) {
    std::vector<char*> arguments;
    arguments.reserve(command.size() + 1);
    for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    pid_t pid = 0;
    int status = 0;
    const bool ran = posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environ) == 0 &&
                     waitpid(pid, &status, 0) == pid && WIFEXITED(status);
    posix_spawn_file_actions_destroy(&actions);
    if (!ran) give_up(command[0] + " did not run");
    return WEXITSTATUS(status);
}

}  // namespace pgpulse::bench
