#include "bench/arguments.hpp"
#include "bench/measured.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

// What a script check does: one fork and exec of pg_isready after the other.
namespace pgpulse::bench {
namespace {

void ping(const char* program, const char* port) {
    const pid_t child = fork();
    if (child < 0) give_up("pg_isready_loop: fork failed");
    if (child == 0) {
        const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (nowhere >= 0) dup2(nowhere, STDOUT_FILENO);
        execl(program, program, "-h", "127.0.0.1", "-p", port, "-U", "postgres", static_cast<char*>(nullptr));
        _exit(127);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        give_up(std::string{"pg_isready_loop: "} + program + " did not say that port " + port +
                " accepts connections");
    }
}

}  // namespace
}  // namespace pgpulse::bench

int main(int argc, char** argv) {
    using namespace pgpulse::bench;
    if (argc != 4) usage("pg_isready_loop", "PROGRAM PORT SECONDS");
    whole_number("PORT", argv[2], 1, 65535);
    const auto seconds = static_cast<double>(whole_number("SECONDS", argv[3], 1, 3600));
    const Stretch stretch;
    std::uint64_t pings = 0;
    for (; stretch.seconds() < seconds; ++pings) ping(argv[1], argv[2]);
    stretch.print(pings);
}
