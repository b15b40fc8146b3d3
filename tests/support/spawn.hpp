#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace pgpulse::support {

/// What a child process is made of. The descriptors stay the caller's.
struct SpawnRequest {
    std::filesystem::path program;
    std::vector<std::string> argv;
    std::vector<std::pair<std::string, std::string>> environment;
    std::filesystem::path working_directory;
    std::string user;
    unsigned open_files;  // 0: this process's limit
    int in;
    int out;
    int err;
};

/// Starts a process in a group of its own which the kernel kills when this process dies, with no descriptor
/// open but the three named, in the caller's network namespace. Returns its process id once the program runs; throws std::system_error naming it
/// otherwise. May be called from any thread, also from one that ends before the child does.
pid_t spawn(const SpawnRequest& request);

}  // namespace pgpulse::support
