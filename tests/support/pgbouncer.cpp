#include "tests/support/pgbouncer.hpp"

#include "tests/support/free_port.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace pgpulse::support {

PgBouncer::PgBouncer(const PgBouncerOptions& options) : port_(free_port()) {
    namespace fs = std::filesystem;
    const fs::path users = folder_ / "users.txt";
    const fs::path config = folder_ / "pgbouncer.ini";
    std::ofstream{users} << "\"postgres\" \"" << options.password << "\"\n";
    std::ofstream{config}
        << "[databases]\n"
        << "* = host=127.0.0.1 port=" << options.backend << '\n'
        << "[pgbouncer]\n"
        << "listen_addr = " << options.listen_address << '\n'
        << "listen_port = " << port_ << '\n'
        << "unix_socket_dir =\n"
        << "auth_type = " << (options.auth == PostgresAuth::scram ? "scram-sha-256" : "trust") << '\n'
        << "auth_file = " << users.string() << '\n'
        << "max_client_conn = 4000\n"
        // Of more clients at once than this the kernel drops some, who come again a second later.
        << "listen_backlog = 4096\n"
        << "log_connections = 0\n"
        << "log_disconnections = 0\n"
        << "log_pooler_errors = 0\n";
    // It reads them as another user.
    fs::permissions(folder_.path(), fs::perms{0755});
    for (const fs::path& file : {users, config}) fs::permissions(file, fs::perms{0644});
    start();
}

void PgBouncer::start() {
    if (process_) return;
    // As root it refuses to run.
    process_ = std::make_unique<Process>(
        std::vector<std::string>{"pgbouncer", (folder_ / "pgbouncer.ini").string()},
        ProcessOptions{.working_directory = folder_.path(), .user = ::geteuid() == 0 ? "postgres" : ""});
    wait_ready(*process_, "pgbouncer",
               [this] { return process_->output().find("process up") != std::string::npos; });
}

void PgBouncer::kill9() {
    process_->kill9();
    process_.reset();
}

}  // namespace pgpulse::support
