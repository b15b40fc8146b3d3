#include "tests/support/pgbouncer.hpp"

#include "tests/support/free_port.hpp"

#include <unistd.h>

#include <fstream>

namespace pgpulse::support {

PgBouncer::PgBouncer(std::uint16_t backend, PostgresAuth auth, const std::string& password)
    : port_(free_port()) {
    std::ofstream{folder_ / "users.txt"} << "\"postgres\" \"" << password << "\"\n";
    std::ofstream{folder_ / "pgbouncer.ini"}
        << "[databases]\n"
        << "* = host=127.0.0.1 port=" << backend << '\n'
        << "[pgbouncer]\n"
        << "listen_addr = 127.0.0.1\n"
        << "listen_port = " << port_ << '\n'
        << "unix_socket_dir =\n"
        << "auth_type = " << (auth == PostgresAuth::scram ? "scram-sha-256" : "trust") << '\n'
        << "auth_file = " << (folder_ / "users.txt").string() << '\n';
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
