// The fixtures for servers, folders and ports: what they promise is what every other test rests on.
#include "tests/support/consul_agent.hpp"
#include "tests/support/consul_watch.hpp"
#include "tests/support/distance.hpp"
#include "tests/support/free_port.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/network_namespace.hpp"
#include "tests/support/pgbouncer.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/process.hpp"
#include "tests/support/tcp_peer.hpp"
#include "tests/support/tcp_relay.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/wait_until.hpp"

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <gmock/gmock.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <future>
#include <set>

namespace pgpulse::support {
namespace {

TEST(TempDir, IsPassableAndRemovedWithItsContent) {
    std::filesystem::path path;
    {
        const TempDir folder;
        path = folder.path();
        std::filesystem::create_directories(folder / "a/b");
        std::ofstream{folder / "a/b/c"} << "text";
        struct stat status{};
        ASSERT_EQ(::stat(path.c_str(), &status), 0);
        EXPECT_EQ(status.st_mode & 07777, 0755U);
    }
    EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(FreePort, AreDistinctAndBelowTheEphemeralRange) {
    std::set<std::uint16_t> ports;
    for (int i = 0; i < 200; ++i) {
        const auto port = free_port();
        EXPECT_GE(port, 10000);
        EXPECT_LT(port, 32768);
        EXPECT_TRUE(ports.insert(port).second);
    }
}

TEST(WaitUntil, ReturnsWhetherTheConditionHeld) {
    int looks = 0;
    EXPECT_TRUE(wait_until([&] { return ++looks == 3; }));
    EXPECT_FALSE(wait_until([] { return false; }, std::chrono::milliseconds{20}));
    int reads = 0;
    const auto read = [&]() -> std::optional<int> {
        return ++reads < 3 ? std::nullopt : std::optional{reads};
    };
    EXPECT_EQ(eventually(read), 3);
    EXPECT_EQ(eventually([]() -> std::optional<int> { return {}; }, std::chrono::milliseconds{20}),
              std::nullopt);
}

PGPing ping(std::uint16_t port, const std::string& more = "") {
    return PQping(
        ("host=127.0.0.1 user=postgres sslmode=disable gssencmode=disable passfile=/nonexistent port=" +
         std::to_string(port) + " " + more)
            .c_str());
}

TEST(PgBouncer, AnswersAPing) {
    const PgBouncer pooler;
    EXPECT_EQ(ping(pooler.port()), PQPING_OK) << pooler.log();
}

TEST(Distance, DelaysWhatItCarriesEachWay) {
    const PgBouncer pooler;
    constexpr std::chrono::milliseconds one_way{300};
    const Distance distance{pooler.port(), one_way};
    const auto began = std::chrono::steady_clock::now();
    EXPECT_EQ(ping(distance.port()), PQPING_OK);
    EXPECT_GE(std::chrono::steady_clock::now() - began, 2 * one_way);
}

TEST(TcpRelay, CarriesUntilItIsCutAndAgainOnceItIsMended) {
    const PgBouncer pooler;
    TcpRelay relay{pooler.port()};
    EXPECT_EQ(ping(relay.port()), PQPING_OK) << pooler.log();
    NatsServer server;
    TcpRelay to_nats{server.port()};
    const FileDescriptor client{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(to_nats.port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    char greeting[4] = {};
    ASSERT_EQ(::recv(client.get(), greeting, sizeof greeting, MSG_WAITALL), 4);
    EXPECT_EQ((std::string_view{greeting, sizeof greeting}), "INFO");
    to_nats.cut();
    // What was on its way may still come, then the reset.
    char rest[4096];
    ssize_t got = 0;
    while ((got = ::recv(client.get(), rest, sizeof rest, 0)) > 0) {
    }
    EXPECT_EQ(got, -1);

    relay.cut();
    EXPECT_EQ(ping(relay.port()), PQPING_NO_RESPONSE);
    relay.mend();
    EXPECT_EQ(ping(relay.port()), PQPING_OK) << pooler.log();
}

TEST(NetworkNamespace, HoldsWhatIsStartedOnAVisitAndNothingElse) {
    const NetworkNamespace here;
    const NetworkNamespace there;
    here.connect(there, "cable", "10.231.0.1", "10.231.0.2");
    const auto interfaces = [] { return run_to_end({"ip", "-brief", "address"}).out; };
    {
        const NetworkNamespace::Visit visit{there};
        const TcpPeer peer{{.end = TcpScript::End::reset}};
        EXPECT_EQ(ping(peer.port()), PQPING_NO_RESPONSE);
        EXPECT_EQ(peer.accepted(), 1) << "a thread started on a visit is there";
        EXPECT_THAT(interfaces(), testing::HasSubstr("10.231.0.2/30"));
    }
    EXPECT_THAT(interfaces(), testing::Not(testing::HasSubstr("10.231.0.2/30"))) << "home again";
}

TEST(TcpPeer, SaysNothingHangsUpResetsOrTalksGarbage) {
    TcpPeer silent;
    EXPECT_EQ(ping(silent.port(), "connect_timeout=2"), PQPING_NO_RESPONSE);
    EXPECT_GE(silent.accepted(), 1);
    TcpPeer closing{{.end = TcpScript::End::close}};
    EXPECT_EQ(ping(closing.port()), PQPING_NO_RESPONSE);
    TcpPeer resetting{{.end = TcpScript::End::reset}};
    EXPECT_EQ(ping(resetting.port()), PQPING_NO_RESPONSE);
    TcpPeer http{{.reply = "HTTP/1.1 400 Bad Request\r\n\r\n", .end = TcpScript::End::close}};
    EXPECT_EQ(ping(http.port()), PQPING_NO_RESPONSE);
    // An authentication request (SASL, method 10, no mechanism) is all that a ping waits for.
    TcpPeer accepting{{.reply = std::string{"R\0\0\0\x08\0\0\0\x03", 9}}};
    EXPECT_EQ(ping(accepting.port()), PQPING_OK);
    EXPECT_EQ(accepting.accepted(), 1);
}

TEST(TcpPeer, IsNotHeldUpByAClientThatDoesNotRead) {
    TcpPeer peer{{.greeting = std::string(64 << 20, 'x')}};
    for (int client = 0; client < 2; ++client) {
        (void)ping(peer.port());
    }
    EXPECT_EQ(peer.accepted(), 2);
}

TEST(NatsServer, KeepsItsStoreAndPortOverKillAndRestart) {
    NatsServer server{{.extra_config = "server_name: \"one\""}};
    const auto port = server.port();
    EXPECT_EQ(server.url(), "nats://127.0.0.1:" + std::to_string(port));
    // The account folder appears with JetStream and proves nothing but that the store is there.
    EXPECT_TRUE(std::filesystem::exists(server.store_dir() / "jetstream"));
    std::ofstream{server.store_dir() / "jetstream/mark"} << "kept";
    server.kill9();
    EXPECT_THROW((void)server.process(), std::logic_error);
    server.start();
    EXPECT_EQ(server.port(), port);
    EXPECT_TRUE(std::filesystem::exists(server.store_dir() / "jetstream/mark"));
    server.restart();
    server.process().stop();
    server.process().cont();
    server.stop();
    server.wipe_store();
    EXPECT_FALSE(std::filesystem::exists(server.store_dir() / "jetstream/mark"));
    server.start();
}

TEST(NatsServer, SaysWhyItDidNotStart) {
    try {
        NatsServer server{{.extra_config = "no_such_key_at_all: {"}};
        FAIL() << "it started";
    } catch (const std::runtime_error& error) {
        EXPECT_NE(std::string{error.what()}.find("exit code 1"), std::string::npos) << error.what();
    }
}

TEST(ConsulAgent, KeepsItsDataOverKillAndRestart) {
    ConsulAgent consul;
    EXPECT_EQ(consul.kv_get_raw("health/db1"), std::nullopt);
    EXPECT_EQ(consul.put("/v1/kv/health/db1", "{\"state\":\"up\"}").status, 200);
    EXPECT_EQ(consul
                  .put("/v1/catalog/register",
                       R"({"Node":"db1","Address":"127.0.0.1","Check":{"CheckID":"db1-isready",
                             "Name":"PG is ready","Status":"critical"}})")
                  .status,
              200);
    for (const bool killed : {true, false}) {
        if (killed) {
            consul.kill9();
        } else {
            consul.stop();
        }
        EXPECT_EQ(consul.get("/v1/status/leader").status, 0);
        consul.start();
        EXPECT_EQ(consul.kv_get_raw("health/db1"), "{\"state\":\"up\"}");
        EXPECT_EQ(consul.check_status("db1-isready"), "critical");
        EXPECT_EQ(consul.check_status("db1-isready", "db1"), "critical");
        EXPECT_EQ(consul.check_status("db2-isready"), std::nullopt);
    }
}

TEST(ConsulAgent, SaysWhyItDidNotStart) {
    const ConsulAgentOptions options{.extra_config = "{\"no_such_key\": 1}"};
    EXPECT_THROW(ConsulAgent consul{options}, std::runtime_error);
}

TEST(ConsulWatch, RecordsEveryRunOfItsHandler) {
    ConsulAgent consul;
    ConsulWatch watch{consul.http_url(), {"-type=key", "-key=health/db1"}};
    const auto put_and_wait = [&](const std::string& value) {
        const auto before = std::chrono::system_clock::now();
        const auto count = watch.entries().size();
        EXPECT_EQ(consul.put("/v1/kv/health/db1", value).status, 200);
        EXPECT_TRUE(wait_until([&] { return watch.entries().size() > count; })) << watch.process().output();
        EXPECT_GE(watch.entries().back().at, before);
        EXPECT_NE(watch.entries().back().json.find("\"Key\":\"health/db1\""), std::string::npos);
    };
    put_and_wait("it's \"quoted\" \\n %s");
    put_and_wait("second");
}

TEST(PostgresServer, KeepsItsDataOverEveryKindOfEnd) {
    PostgresServer server;
    const auto port = server.port();
    server.exec_sql("CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)");
    int lives = 1;
    const auto check = [&] {
        server.start();
        ++lives;
        EXPECT_EQ(server.port(), port);
        EXPECT_EQ(server.exec_sql("SELECT n FROM kept"), (std::vector<std::vector<std::string>>{{"42"}}));
        EXPECT_EQ(server.exec_sql("SELECT count(*) FROM kept, pg_postmaster_start_time()").at(0).at(0), "1");
    };
    for (const auto mode : {ShutdownMode::smart, ShutdownMode::fast, ShutdownMode::immediate}) {
        server.stop(mode);
        EXPECT_EQ(ping(port), PQPING_NO_RESPONSE);
        check();
    }
    for (int round = 0; round < 3; ++round) {
        server.kill9();
        check();
    }
    EXPECT_EQ(lives, 7);
}

TEST(PostgresServer, StartsAgainAtOnceWithSessionsOpenAtTheKill) {
    PostgresServer server;
    std::vector<PGconn*> sessions;
    for (int i = 0; i < 10; ++i) {
        sessions.push_back(PQconnectdb(server.conninfo().c_str()));
        ASSERT_EQ(PQstatus(sessions.back()), CONNECTION_OK);
    }
    server.kill9();
    server.start();
    EXPECT_EQ(ping(server.port()), PQPING_OK);
    for (PGconn* session : sessions) {
        PQfinish(session);
    }
}

TEST(PostgresServer, StartsOnlyOnceTheLastBackendOfItsFormerLifeIsGone) {
    PostgresServer server;
    PGconn* session = PQconnectdb(server.conninfo().c_str());
    ASSERT_EQ(PQstatus(session), CONNECTION_OK);
    const pid_t backend = PQbackendPID(session);
    ASSERT_EQ(::kill(backend, SIGSTOP), 0);
    ASSERT_TRUE(wait_until([&] { return process_state(backend) == 'T'; }));
    server.kill9();
    auto started = std::async(std::launch::async, [&] { server.start(); });
    EXPECT_EQ(started.wait_for(std::chrono::milliseconds{300}), std::future_status::timeout);
    ASSERT_EQ(::kill(backend, SIGCONT), 0);
    EXPECT_NO_THROW(started.get());
    EXPECT_FALSE(alive(backend));
    PQfinish(session);
}

TEST(PostgresServer, ThePidIsThePostmasters) {
    PostgresServer server;
    std::ifstream pid_file{server.data_dir() / "postmaster.pid"};
    pid_t pid = 0;
    pid_file >> pid;
    EXPECT_EQ(server.pid(), pid);
}

TEST(PostgresServer, AStoppedPostmasterTakesConnectionsAndSaysNothing) {
    PostgresServer server;
    server.sigstop();
    EXPECT_EQ(ping(server.port(), "connect_timeout=2"), PQPING_NO_RESPONSE);
    server.cont();
    EXPECT_TRUE(wait_until([&] { return ping(server.port()) == PQPING_OK; }));
    server.sigstop();
    // Ends while it is stopped: the destructor must cope.
}

TEST(PostgresServer, ScramAsksForThePassword) {
    PostgresServer server{{.auth = PostgresAuth::scram, .password = "it's a \\ secret"}};
    EXPECT_EQ(ping(server.port()), PQPING_OK);
    EXPECT_EQ(server.exec_sql("SELECT current_user").at(0).at(0), "postgres");
    PGconn* without = PQconnectdb(
        ("host=127.0.0.1 user=postgres passfile=/nonexistent port=" + std::to_string(server.port())).c_str());
    EXPECT_EQ(PQstatus(without), CONNECTION_BAD);
    EXPECT_EQ(PQconnectionNeedsPassword(without), 1);
    PQfinish(without);
}

TEST(PostgresServer, AppliesSettingsAtTheStartAndAtARestart) {
    PostgresServer server{{.settings = {{"max_connections", "7"}, {"application_name", "it's"}}}};
    EXPECT_EQ(server.exec_sql("SHOW max_connections").at(0).at(0), "7");
    EXPECT_EQ(server.exec_sql("SHOW application_name").at(0).at(0), "it's");
    server.set("max_connections", "8");
    server.restart();
    EXPECT_EQ(server.exec_sql("SHOW max_connections").at(0).at(0), "8");
    EXPECT_THROW(server.exec_sql("SELECT no_such_column"), std::runtime_error);
}

TEST(PostgresServer, CanBeHeldInRecovery) {
    PostgresServer server;
    server.stop();
    // A standby that takes no queries and whose primary never comes: 57P03 for as long as it runs.
    std::ofstream{server.data_dir() / "standby.signal"}.close();
    server.set("hot_standby", "off");
    server.launch();
    EXPECT_TRUE(wait_until([&] { return ping(server.port()) == PQPING_REJECT; })) << server.log();
    server.stop(ShutdownMode::immediate);
}

TEST(PostgresServer, HasReplicasThatAreNoneOnceTheyArePromoted) {
    PostgresServer primary{{.auth = PostgresAuth::scram}};
    PostgresServer replica{{.replica_of = &primary}};
    EXPECT_EQ(replica.exec_sql("SELECT pg_is_in_recovery()").at(0).at(0), "t");
    primary.exec_sql("CREATE TABLE copied (n int); INSERT INTO copied VALUES (42)");
    EXPECT_TRUE(wait_until([&] {
        return replica.exec_sql("SELECT to_regclass('copied') IS NOT NULL").at(0).at(0) == "t" &&
               replica.exec_sql("SELECT count(*) FROM copied").at(0).at(0) == "1";
    })) << replica.log();
    replica.promote();
    EXPECT_EQ(replica.exec_sql("SELECT pg_is_in_recovery()").at(0).at(0), "f");
    replica.exec_sql("INSERT INTO copied VALUES (43)");
}

/// What becomes of a login by these words of a connection string.
std::string login(const PostgresServer& server, const std::string& more) {
    PGconn* connection =
        PQconnectdb(("host=127.0.0.1 dbname=postgres gssencmode=disable passfile=/nonexistent port=" +
                     std::to_string(server.port()) + " " + more)
                        .c_str());
    const std::string error = PQerrorMessage(connection);
    PQfinish(connection);
    return error;
}

TEST(PostgresServer, SpeaksTlsAndKnowsWhoItsAuthorityKnows) {
    PostgresServer server{
        {.hba = {"hostssl all postgres 127.0.0.1/32 trust", "hostssl all certified 127.0.0.1/32 cert"},
         .tls = true}};
    server.exec_sql("CREATE ROLE certified LOGIN");
    const std::string root = "sslrootcert=" + server.authority().root().string();
    EXPECT_EQ(login(server, "user=postgres sslmode=verify-full " + root), "");
    const CertificateAuthority another;
    EXPECT_NE(login(server, "user=postgres sslmode=verify-full sslrootcert=" + another.root().string()), "");
    EXPECT_NE(login(server, "user=postgres sslmode=disable"), "") << "hostssl alone";
    const auto certificate = [](const CertificateAuthority::Certificate& issued) {
        return " sslcert=" + issued.certificate.string() + " sslkey=" + issued.key.string();
    };
    EXPECT_EQ(login(server, "user=certified sslmode=verify-full " + root +
                                certificate(server.authority().issue("certified"))),
              "");
    EXPECT_NE(
        login(server, "user=certified sslmode=verify-full " + root + certificate(another.issue("certified"))),
        "");
}

TEST(PostgresServer, LeavesNoProcessFileOrSharedMemoryBehind) {
    std::filesystem::path data;
    pid_t postmaster = 0;
    std::string shared_memory;
    {
        PostgresServer server;
        data = server.data_dir();
        postmaster = server.pid();
        std::ifstream file{data / "postmaster.pid"};
        for (int line = 0; line < 7; ++line) {
            std::getline(file, shared_memory);
        }
        server.kill9();
    }
    EXPECT_FALSE(alive(postmaster));
    EXPECT_FALSE(std::filesystem::exists(data));
    std::istringstream fields{shared_memory};
    unsigned long key = 0;
    int id = -1;
    ASSERT_TRUE(fields >> key >> id);
    shmid_ds state{};
    EXPECT_EQ(::shmctl(id, IPC_STAT, &state), -1);
}

TEST(PostgresServer, SaysWhyItDidNotStart) {
    const PostgresServerOptions options{.settings = {{"no_such_setting", "1"}}};
    EXPECT_THROW(PostgresServer server{options}, std::runtime_error);
}

}  // namespace
}  // namespace pgpulse::support
