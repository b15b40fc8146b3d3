#pragma once

#include "tests/support/postgres_server.hpp"
#include "tests/support/postgres_session.hpp"
#include "tests/support/pq_ping.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>

#include <signal.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace pgpulse::support {

/// A server that can be brought into each of its states from each other one.
class PostgresSubject {
  public:
    explicit PostgresSubject(PostgresServerOptions options = {}) : server_(std::move(options)) {}

    [[nodiscard]] PostgresServer& server() { return server_; }
    [[nodiscard]] contract::TargetDefinition target() const { return target_at_port(server_.port()); }

    void run() {
        if (runs_) return;
        kill();
        server_.start();
        lives_ = runs_ = true;
    }
    void kill() {
        sessions_.clear();
        if (lives_) server_.kill9();
        lives_ = runs_ = false;
    }
    /// A fast shutdown to its end: until then a server hangs up on a client that it has just met, tells the next one
    /// that it shuts down and the third one nothing, so that what agrees before and after says nothing of the time between.
    void shut_down() {
        run();
        server_.stop();
        lives_ = runs_ = false;
    }
    /// A smart shutdown that a session holds up.
    void shut_down_smartly() {
        run();
        sessions_.emplace_back(server_);
        server_.process().signal(SIGTERM);
        runs_ = false;
    }
    void freeze() {
        run();
        server_.sigstop();
        runs_ = false;
    }
    /// Kills it with a log to replay, starts it and waits until it listens, which is before it accepts. Nothing happens
    /// while it still starts.
    void start_up() {
        if (pq_ping(target()) != contract::Verdict::accepting) return;
        server_.exec_sql(
            "SET client_min_messages = warning; DROP TABLE IF EXISTS written;"
            "CREATE TABLE written AS SELECT generate_series(1, 300000)");
        kill();
        server_.launch();
        lives_ = true;
        EXPECT_TRUE(wait_until([&] { return pq_ping(target()) != contract::Verdict::no_response; }));
    }
    /// A backend is killed, upon which the server ends all of them and recovers. Nothing happens where it has no room for
    /// the victim, since it still recovers from the last crash.
    void crash() {
        if (!lives_) run();
        runs_ = false;
        try {
            const PostgresSession victim{server_};
            ::kill(victim.backend(), SIGKILL);
        } catch (const std::runtime_error&) {
            return;
        }
    }
    /// Sessions of its superuser hold so many slots.
    void take_slots(std::size_t slots) {
        run();
        sessions_.clear();
        // A session that ended may hold its slot a moment longer.
        EXPECT_TRUE(wait_until([&] {
            try {
                sessions_.emplace_back(server_);
            } catch (const std::runtime_error&) {
                return false;
            }
            return sessions_.size() == slots;
        }));
    }
    /// Starts it for good as one that waits for something which never comes.
    void recover_for_ever(const std::string& signal_file,
                          const std::map<std::string, std::string>& settings) {
        server_.stop();
        const std::filesystem::path file = server_.data_dir() / signal_file;
        std::ofstream{file}.close();
        std::filesystem::permissions(file, std::filesystem::perms{0666});
        for (const auto& [name, value] : settings) server_.set(name, value);
        server_.launch();
    }

  private:
    PostgresServer server_;
    bool lives_ = true;  // its postmaster
    bool runs_ = true;   // and everything is as it is after a start
    std::vector<PostgresSession> sessions_;
};

}  // namespace pgpulse::support
