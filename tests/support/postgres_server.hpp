#pragma once

#include "tests/support/certificate_authority.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgpulse::support {

class PostgresServer;

enum class PostgresAuth { trust, scram };
enum class ShutdownMode { smart, fast, immediate };

struct PostgresServerOptions {
    PostgresAuth auth = PostgresAuth::trust;
    /// Of the superuser `postgres`; used with scram alone.
    std::string password = "a password of a test";
    /// 0: a free one.
    std::uint16_t port = 0;
    /// Server settings by name, their values as one writes them after `=` without quotes.
    std::map<std::string, std::string> settings = {};
    /// Lines of pg_hba.conf in place of those that `auth` stands for.
    std::vector<std::string> hba = {};
    /// Speaks TLS too, with a certificate for 127.0.0.1 and localhost by an authority of its own, and knows
    /// clients' certificates by that authority.
    bool tls = false;
    /// A streaming replica of this running server, which gives `auth` and `password`.
    const PostgresServer* replica_of = nullptr;
};

/// A real PostgreSQL server at 127.0.0.1, from the newest version below /usr/lib/postgresql. Where the test
/// runs as root, the server runs as the user `postgres`. Its port and its data stay the same over restarts.
class PostgresServer {
  public:
    /// Makes a data folder, starts the server and waits until it accepts connections.
    /// Throws std::runtime_error with the log when it does not get there.
    explicit PostgresServer(PostgresServerOptions options = {});
    /// Ends all of its processes, also stopped ones, and frees its shared memory.
    ~PostgresServer();
    PostgresServer(const PostgresServer&) = delete;
    PostgresServer& operator=(const PostgresServer&) = delete;

    /// launch(), then wait_accepting(). Nothing to do when it runs.
    void start();
    /// Starts it without waiting until it accepts, once all processes of its last life are gone.
    void launch();
    void wait_accepting();
    /// Shuts it down and waits for the end. Throws std::runtime_error when it has not ended at the deadline,
    /// as a smart shutdown does while a session lives.
    void stop(ShutdownMode mode = ShutdownMode::fast);
    /// SIGKILL to the postmaster, and waits until that process is gone. Its children notice by themselves.
    void kill9();
    /// stop() if it runs, then start().
    void restart(ShutdownMode mode = ShutdownMode::fast);
    /// SIGSTOP to the postmaster alone: the kernel still takes connections, nobody answers them.
    void sigstop() { process().stop(); }
    /// SIGCONT to the postmaster.
    void cont() { process().cont(); }
    /// Makes a primary of a replica, and waits until it is one.
    void promote() const;
    /// Takes effect at the next start.
    void set(const std::string& setting, const std::string& value) { settings_[setting] = value; }

    [[nodiscard]] std::uint16_t port() const { return port_; }
    [[nodiscard]] const std::filesystem::path& data_dir() const { return data_; }
    /// The postmaster's process id; throws std::logic_error when it is down.
    [[nodiscard]] pid_t pid() { return process().pid(); }
    /// The postmaster; throws std::logic_error when it is down.
    [[nodiscard]] Process& process();
    /// Its log over all its lives.
    [[nodiscard]] std::string log() const;
    /// Who signed its certificate; throws std::logic_error without TLS.
    [[nodiscard]] const CertificateAuthority& authority() const;
    /// A connection string for libpq as the superuser, with the password where one is needed.
    [[nodiscard]] std::string conninfo(std::string_view database = "postgres") const;

    /// Runs one or several statements in a session of their own; the rows of the last one, NULL as "".
    /// Throws std::runtime_error with the server's message.
    std::vector<std::vector<std::string>> exec_sql(const std::string& sql,
                                                   std::string_view database = "postgres") const;

  private:
    void make_data_folder();
    void init_data() const;
    void copy_data() const;
    void write_hba() const;
    void end_all();
    void write_settings() const;
    [[nodiscard]] std::vector<pid_t> processes() const;
    [[nodiscard]] std::optional<int> shared_memory() const;
    [[nodiscard]] bool shared_memory_in_use() const;
    void remove_shared_memory() const;

    TempDir folder_;
    const PostgresServerOptions options_;
    const std::filesystem::path programs_;
    const std::uint16_t port_;
    const std::filesystem::path data_;
    std::map<std::string, std::string> settings_;
    std::unique_ptr<CertificateAuthority> authority_;
    std::unique_ptr<Process> process_;
};

}  // namespace pgpulse::support
