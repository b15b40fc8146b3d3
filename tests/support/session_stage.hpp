#pragma once

#include "tests/support/observer.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/temp_dir.hpp"

#include <gtest/gtest.h>

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace pgpulse::support {

/// The password of the role `pgpulse`, under which the observers log in.
inline const std::string kObserverPassword = "a secret of a test";

/// A server with a role for observers, the observers that hold sessions of it, and what a test asks of both.
class SessionStage : public testing::Test {
  protected:
    TempDir folder;
    std::string secret = file_of("secret", kObserverPassword + "\n");
    Calls calls;

    std::string file_of(const std::string& name, const std::string& text, mode_t mode = 0600) const {
        const std::string file = folder / name;
        std::ofstream{file} << text;
        EXPECT_EQ(::chmod(file.c_str(), mode), 0);
        return file;
    }

    /// A server with the role of the observers, who log in by scram: no fresh ping gets as far as that.
    static std::unique_ptr<PostgresServer> start(PostgresServerOptions options = {}) {
        options.auth = PostgresAuth::scram;
        auto server = std::make_unique<PostgresServer>(std::move(options));
        server->exec_sql("CREATE ROLE pgpulse LOGIN PASSWORD '" + kObserverPassword + "'");
        return server;
    }

    [[nodiscard]] contract::TargetDefinition target_at(const PostgresServer& server) const {
        contract::TargetDefinition target;
        target.name = target.service = "db1";
        target.address = "127.0.0.1";
        target.port = server.port();
        target.mode = contract::Mode::session;
        target.user = "pgpulse";
        target.credentials = secret;
        target.interval = std::chrono::milliseconds{100};
        target.fast_interval = std::chrono::milliseconds{50};
        target.timeout = std::chrono::seconds{10};  // a loaded machine does not reach it
        return target;
    }

    std::unique_ptr<Observer> observer(const contract::TargetDefinition& target,
                                       const std::string& id = "w1") {
        auto one = std::make_unique<Observer>(calls, id);
        one->observe(target);
        return one;
    }

    std::vector<std::unique_ptr<Observer>> three_observers(const contract::TargetDefinition& target) {
        std::vector<std::unique_ptr<Observer>> three;
        for (const char* id : {"w1", "w2", "w3"}) {
            three.push_back(observer(target, id));
            three.back()->set_probes({"w1", "w2", "w3"});
        }
        for (const auto& each : three) each->wait_for(0, held_up_by_session);
        return three;
    }

    /// The backends of the observers' sessions.
    static std::set<std::string> backends(const PostgresServer& server) {
        std::set<std::string> pids;
        for (const auto& row : server.exec_sql("SELECT pid FROM pg_stat_activity WHERE usename = 'pgpulse'"))
            pids.insert(row.at(0));
        return pids;
    }

    static std::string backend(const PostgresServer& server) {
        const auto all = backends(server);
        EXPECT_THAT(all, testing::SizeIs(1));
        return all.empty() ? std::string{} : *all.begin();
    }

    static std::size_t lines_with(const PostgresServer& server, const std::string& words) {
        std::istringstream log{server.log()};
        std::size_t lines = 0;
        for (std::string line; std::getline(log, line);) lines += line.find(words) != std::string::npos;
        return lines;
    }
};

}  // namespace pgpulse::support
