#include "tests/support/postgres_server.hpp"

#include "tests/support/free_port.hpp"
#include "tests/support/new_cluster.hpp"

#include <libpq-fe.h>

#include <pwd.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace pgpulse::support {
namespace {

namespace fs = std::filesystem;

/// The folder of the newest server version. Debian puts no server program on the PATH.
fs::path server_programs() {
    int newest = 0;
    fs::path programs;
    if (fs::is_directory("/usr/lib/postgresql")) {
        for (const auto& version : fs::directory_iterator{"/usr/lib/postgresql"}) {
            const int number = std::atoi(version.path().filename().c_str());
            if (number > newest && fs::exists(version.path() / "bin/postgres")) {
                newest = number;
                programs = version.path() / "bin";
            }
        }
    }
    if (programs.empty()) {
        throw std::runtime_error("no PostgreSQL server programs in /usr/lib/postgresql/*/bin");
    }
    return programs;
}

/// PostgreSQL's programs refuse to run as root.
std::string server_user() { return ::geteuid() == 0 ? "postgres" : ""; }

void give_to_server_user(const fs::path& path) {
    if (::geteuid() != 0) {
        return;
    }
    const passwd* user = ::getpwnam("postgres");
    if (user == nullptr || ::chown(path.c_str(), user->pw_uid, user->pw_gid) != 0) {
        throw std::runtime_error("cannot give " + path.string() + " to the user postgres");
    }
}

/// Quoted for a libpq connection string and for postgresql.conf, which double a quote in different ways.
std::string quoted(std::string_view text, std::string_view quote_escape) {
    std::string result{"'"};
    for (const char c : text) {
        if (c == '\\') {
            result += "\\\\";
        } else if (c == '\'') {
            result += quote_escape;
        } else {
            result += c;
        }
    }
    return result + "'";
}

struct ConnectionDeleter {
    void operator()(PGconn* connection) const { PQfinish(connection); }
};
struct ResultDeleter {
    void operator()(PGresult* result) const { PQclear(result); }
};

PostgresServerOptions complete(PostgresServerOptions options, const PostgresServerOptions* of_primary) {
    if (of_primary != nullptr) {
        options.auth = of_primary->auth;
        options.password = of_primary->password;
    }
    return options;
}

std::string cluster_name(std::uint16_t port) {
    return "pgpulse-test-" + std::to_string(::getpid()) + "-" + std::to_string(port);
}

}  // namespace

PostgresServer::PostgresServer(PostgresServerOptions options)
    : options_(complete(options, options.replica_of != nullptr ? &options.replica_of->options_ : nullptr)),
      programs_(server_programs()),
      port_(options_.port != 0 ? options_.port : free_port()),
      data_(folder_ / "data"),
      settings_(options_.settings) {
    make_data_folder();
    try {
        start();
    } catch (...) {
        end_all();
        throw;
    }
}

PostgresServer::~PostgresServer() { end_all(); }

void PostgresServer::end_all() {
    if (process_) {
        process_->cont();
        process_->signal(SIGQUIT);
        process_->wait_exit(std::chrono::seconds{10});
        process_.reset();
    }
    (void)wait_until([this] {
        const auto left = processes();
        for (const pid_t pid : left) {
            ::kill(pid, SIGKILL);
        }
        return left.empty();
    });
    remove_shared_memory();
}

void PostgresServer::make_data_folder() {
    fs::create_directory(data_);
    fs::permissions(data_, fs::perms{0700});
    give_to_server_user(data_);
    if (options_.replica_of != nullptr) {
        copy_data();
    } else {
        init_data();
    }
    if (!options_.hba.empty()) write_hba();
    if (options_.tls) {
        authority_ = std::make_unique<CertificateAuthority>();
        const auto issued = authority_->issue("localhost", "IP:127.0.0.1,DNS:localhost");
        const auto key = data_ / "server.key";
        fs::copy_file(issued.certificate, data_ / "server.crt");
        fs::copy_file(issued.key, key);
        give_to_server_user(key);
        settings_.insert({{"ssl", "on"}, {"ssl_ca_file", authority_->root().string()}});
    }
}

void PostgresServer::write_hba() const {
    std::ofstream file{data_ / "pg_hba.conf"};
    for (const auto& line : options_.hba) {
        file << line << '\n';
    }
}

/// The primary's files, and in postgresql.auto.conf how the primary is found.
void PostgresServer::copy_data() const {
    const auto result = run_to_end({(programs_ / "pg_basebackup").string(), "--pgdata=" + data_.string(),
                                    "--dbname=" + options_.replica_of->conninfo(), "--write-recovery-conf",
                                    "--checkpoint=fast", "--no-sync"},
                                   {.working_directory = folder_.path(), .user = server_user()});
    if (result.exit_code != 0) {
        throw std::runtime_error("pg_basebackup failed:\n" + result.out + result.err);
    }
}

void PostgresServer::init_data() const {
    make_cluster({programs_, options_.auth == PostgresAuth::scram ? "scram-sha-256" : "trust",
                  options_.password, server_user()},
                 data_);
}

void PostgresServer::write_settings() const {
    std::map<std::string, std::string> settings{
        {"listen_addresses", "127.0.0.1"},
        {"port", std::to_string(port_)},
        {"unix_socket_directories", data_.string()},
        {"fsync", "off"},
        {"full_page_writes", "off"},
        {"shared_buffers", "8MB"},
        {"max_wal_size", "64MB"},
        {"autovacuum", "off"},
        // Files below the data folder, gone with it; POSIX shared memory would outlive a killed server.
        {"dynamic_shared_memory_type", "mmap"},
    };
    for (const auto& [name, value] : settings_) {
        settings[name] = value;
    }
    std::ofstream file{data_ / "postgresql.conf"};
    for (const auto& [name, value] : settings) {
        file << name << " = " << quoted(value, "''") << '\n';
    }
}

void PostgresServer::launch() {
    if (process_) {
        return;
    }
    // A process that ends is out of /proc's sight before the kernel has detached its shared memory.
    if (!wait_until([this] { return processes().empty() && !shared_memory_in_use(); })) {
        throw std::runtime_error("processes of the killed PostgreSQL server are still there");
    }
    write_settings();
    process_ = std::make_unique<Process>(
        std::vector<std::string>{(programs_ / "postgres").string(), "-D", data_.string(), "-c",
                                 "cluster_name=" + cluster_name(port_)},
        ProcessOptions{.working_directory = folder_.path(),
                       .log_file = folder_ / "postgres.log",
                       .user = server_user()});
}

void PostgresServer::wait_accepting() {
    wait_ready(process(), "postgres", [this] { return PQping(conninfo().c_str()) == PQPING_OK; });
}

void PostgresServer::start() {
    if (!process_) {
        launch();
        wait_accepting();
    }
}

void PostgresServer::stop(ShutdownMode mode) {
    if (!process_) {
        return;
    }
    const int number = mode == ShutdownMode::smart ? SIGTERM : mode == ShutdownMode::fast ? SIGINT : SIGQUIT;
    process_->signal(number);
    if (!process_->wait_exit()) {
        throw std::runtime_error("postgres did not shut down; it wrote:\n" + log());
    }
    process_.reset();
}

void PostgresServer::promote() const {
    if (exec_sql("SELECT pg_promote()") != std::vector<std::vector<std::string>>{{"t"}}) {
        throw std::runtime_error("the replica was not promoted; it wrote:\n" + log());
    }
}

void PostgresServer::kill9() {
    process().kill9();
    process_.reset();
}

void PostgresServer::restart(ShutdownMode mode) {
    stop(mode);
    start();
}

Process& PostgresServer::process() {
    if (!process_) {
        throw std::logic_error("postgres is down");
    }
    return *process_;
}

std::string PostgresServer::log() const {
    std::ostringstream text;
    text << std::ifstream{folder_ / "postgres.log"}.rdbuf();
    return text.str();
}

const CertificateAuthority& PostgresServer::authority() const {
    if (!authority_) {
        throw std::logic_error("postgres does not speak TLS");
    }
    return *authority_;
}

std::string PostgresServer::conninfo(std::string_view database) const {
    std::string text =
        "host=127.0.0.1 port=" + std::to_string(port_) + " user=postgres dbname=" + quoted(database, "\\'") +
        " sslmode=" + (options_.tls ? "prefer" : "disable") + " gssencmode=disable connect_timeout=10";
    if (options_.auth == PostgresAuth::scram) {
        text += " password=" + quoted(options_.password, "\\'");
    }
    return text;
}

std::vector<std::vector<std::string>> PostgresServer::exec_sql(const std::string& sql,
                                                               std::string_view database) const {
    const std::unique_ptr<PGconn, ConnectionDeleter> connection{PQconnectdb(conninfo(database).c_str())};
    if (PQstatus(connection.get()) != CONNECTION_OK) {
        throw std::runtime_error(PQerrorMessage(connection.get()));
    }
    const std::unique_ptr<PGresult, ResultDeleter> result{PQexec(connection.get(), sql.c_str())};
    const auto status = PQresultStatus(result.get());
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        throw std::runtime_error(PQerrorMessage(connection.get()));
    }
    std::vector<std::vector<std::string>> rows;
    for (int row = 0; row < PQntuples(result.get()); ++row) {
        auto& values = rows.emplace_back();
        for (int column = 0; column < PQnfields(result.get()); ++column) {
            values.emplace_back(PQgetvalue(result.get(), row, column));
        }
    }
    return rows;
}

/// The postmaster's and its children's: each shows the cluster's name in its command line, which all users
/// may read. The children leave the postmaster's process group, so that says nothing.
std::vector<pid_t> PostgresServer::processes() const {
    std::vector<pid_t> found;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator{"/proc", ignored}) {
        const pid_t pid = std::atoi(entry.path().filename().c_str());
        if (pid <= 0 || pid == ::getpid()) {
            continue;
        }
        std::ostringstream command;
        command << std::ifstream{entry.path() / "cmdline"}.rdbuf();
        if (command.str().find(cluster_name(port_)) != std::string::npos) {
            found.push_back(pid);
        }
    }
    return found;
}

/// postmaster.pid names the System V segment in line 7: its key and its id.
std::optional<int> PostgresServer::shared_memory() const {
    std::ifstream file{data_ / "postmaster.pid"};
    std::string line;
    for (int number = 0; number < 7; ++number) {
        if (!std::getline(file, line)) {
            return std::nullopt;
        }
    }
    std::istringstream fields{line};
    unsigned long key = 0;
    int id = -1;
    if (!(fields >> key >> id)) {
        return std::nullopt;
    }
    return id;
}

bool PostgresServer::shared_memory_in_use() const {
    const auto id = shared_memory();
    shmid_ds segment{};
    return id && ::shmctl(*id, IPC_STAT, &segment) == 0 && segment.shm_nattch > 0;
}

/// A killed postmaster leaves its segment behind.
void PostgresServer::remove_shared_memory() const {
    if (const auto id = shared_memory()) {
        ::shmctl(*id, IPC_RMID, nullptr);
    }
}

}  // namespace pgpulse::support
