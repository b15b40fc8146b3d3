#include "common/contract/names.hpp"
#include "common/contract/ping.hpp"
#include "common/contract/target.hpp"
#include "common/nats/bucket.hpp"
#include "probe/references.hpp"
#include "tests/support/daemons.hpp"
#include "tests/support/file_descriptor.hpp"
#include "tests/support/free_port.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/ping_ledger.hpp"
#include "tests/support/tcp_peer.hpp"
#include "tests/support/wait_until.hpp"

#include <asio/io_context.hpp>
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <optional>
#include <system_error>
#include <vector>

// References against real sockets, and what a pgpulse-probe makes of them.
namespace pgpulse {
namespace {

using namespace std::chrono_literals;
using probe::Reference;
using probe::References;
using testing::HasSubstr;

/// No connection goes to everybody: the kernel says so at once.
constexpr const char* kNoRoute = "255.255.255.255";

void check(int result, const char* what) {
    if (result < 0) throw std::system_error{errno, std::generic_category(), what};
}

support::FileDescriptor tcp_socket() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    check(fd, "socket");
    return support::FileDescriptor{fd};
}

/// A port of 127.0.0.1 at which connections are neither taken nor refused: it listens, nobody accepts, and its
/// queue is full, so that the kernel drops what asks for more.
class DeafPeer {
  public:
    DeafPeer() : listener_(tcp_socket()) {
        address_.sin_family = AF_INET;
        address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address_.sin_port = htons(support::free_port());
        check(::bind(listener_.get(), generic(), sizeof address_), "bind");
        check(::listen(listener_.get(), 0), "listen");
        // Far more than a queue of none takes.
        for (int i = 0; i < 8; ++i) {
            waiting_.push_back(tcp_socket());
            if (::connect(waiting_.back().get(), generic(), sizeof address_) != 0 && errno != EINPROGRESS)
                check(-1, "connect");
        }
    }

    /// From now on connections are taken.
    void hear() {
        waiting_.clear();
        check(::listen(listener_.get(), 128), "listen");
        for (int taken = 0; taken >= 0;) {
            taken = ::accept(listener_.get(), nullptr, nullptr);
            if (taken >= 0) ::close(taken);
        }
    }

    [[nodiscard]] std::uint16_t port() const { return ntohs(address_.sin_port); }

  private:
    sockaddr_in address_{};
    support::FileDescriptor listener_;
    std::vector<support::FileDescriptor> waiting_;

    [[nodiscard]] const sockaddr* generic() const { return reinterpret_cast<const sockaddr*>(&address_); }
};

class ReferencesTest : public testing::Test {
  protected:
    asio::io_context loop;
    std::vector<bool> answers;

    std::unique_ptr<References> references_at(std::vector<Reference> list) {
        return std::make_unique<References>(loop, std::move(list),
                                            [this](bool any) { answers.push_back(any); });
    }

    /// Asks and waits for the answer.
    std::optional<bool> answer_of(References& references) {
        const std::size_t before = answers.size();
        references.ask();
        EXPECT_EQ(answers.size(), before) << "the answer comes on the loop";
        const auto deadline = std::chrono::steady_clock::now() + support::default_deadline;
        while (answers.size() == before && std::chrono::steady_clock::now() < deadline) {
            loop.restart();
            loop.run_one_until(deadline);
        }
        if (answers.size() != before + 1) return std::nullopt;
        return answers.back();
    }
};

TEST_F(ReferencesTest, OneThatTakesTheConnectionIsThere) {
    const support::TcpPeer peer;
    const auto references = references_at({{"127.0.0.1", peer.port()}});
    EXPECT_EQ(answer_of(*references), true);
    EXPECT_EQ(answer_of(*references), true) << "and once more";
}

TEST_F(ReferencesTest, OneThatRefusesTheConnectionIsThere) {
    const auto references = references_at({{"127.0.0.1", support::free_port()}});
    EXPECT_EQ(answer_of(*references), true);
}

TEST_F(ReferencesTest, OneThatDoesNotAnswerIsNotThere) {
    const DeafPeer deaf;
    const auto references = references_at({{"127.0.0.1", deaf.port()}});
    const auto asked = std::chrono::steady_clock::now();
    EXPECT_EQ(answer_of(*references), false);
    EXPECT_GE(std::chrono::steady_clock::now() - asked, std::chrono::milliseconds{References::kPatienceMs})
        << "it is given time";
}

TEST_F(ReferencesTest, AnAddressWithoutARouteIsNotThere) {
    const auto references = references_at({{kNoRoute, 53}});
    EXPECT_EQ(answer_of(*references), false);
}

TEST_F(ReferencesTest, TheFirstThatIsThereAnswersForAll) {
    const DeafPeer deaf;
    const support::TcpPeer peer;
    const auto references =
        references_at({{"127.0.0.1", deaf.port()}, {kNoRoute, 53}, {"127.0.0.1", peer.port()}});
    EXPECT_EQ(answer_of(*references), true);
    EXPECT_EQ(answer_of(*references), true);
    EXPECT_EQ(answers.size(), 2U) << "one answer to a question, whatever the others do later";
}

TEST_F(ReferencesTest, NoneThatIsThereIsNone) {
    const DeafPeer one;
    const DeafPeer other;
    const auto references = references_at({{"127.0.0.1", one.port()}, {"127.0.0.1", other.port()}});
    EXPECT_EQ(answer_of(*references), false);
}

TEST_F(ReferencesTest, OneThatComesBackIsThereAgain) {
    DeafPeer peer;
    const auto references = references_at({{"127.0.0.1", peer.port()}});
    EXPECT_EQ(answer_of(*references), false);
    peer.hear();
    EXPECT_EQ(answer_of(*references), true);
}

TEST_F(ReferencesTest, ANameIsThereOnceItIsFound) {
    const support::TcpPeer peer;
    const auto references = references_at({{"localhost", peer.port()}});
    EXPECT_TRUE(support::wait_until([&] { return answer_of(*references) == true; }));
}

TEST_F(ReferencesTest, ANameThatIsNotFoundIsNotThere) {
    const auto references = references_at({{"no-such-host.invalid", 53}});
    EXPECT_EQ(answer_of(*references), false);
    const support::TcpPeer peer;
    const auto with_another = references_at({{"no-such-host.invalid", 53}, {"127.0.0.1", peer.port()}});
    EXPECT_EQ(answer_of(*with_another), true) << "it holds up no other";
}

TEST_F(ReferencesTest, NoAnswerComesOnceTheyAreGone) {
    const DeafPeer deaf;
    const support::TcpPeer peer;
    {
        const auto references = references_at(
            {{"127.0.0.1", deaf.port()}, {"127.0.0.1", peer.port()}, {"localhost", peer.port()}});
        references->ask();
    }
    loop.run();  // until nothing of them is left on it
    EXPECT_TRUE(answers.empty());
}

/// A worker and a target that does not answer at all.
class ProbeWithReference : public testing::Test {
  protected:
    support::NatsServer server;
    std::unique_ptr<nats::Connection> connection;
    std::unique_ptr<support::PingLedger> pings;
    DeafPeer silent;
    std::unique_ptr<support::Daemon> worker;

    void SetUp() override {
        nats::ConnectOptions options;
        options.url = server.url();
        connection = std::move(nats::Connection::open(options).value());
        pings = std::make_unique<support::PingLedger>(*connection);
    }

    void start(const std::vector<std::string>& references) {
        std::vector<std::string> arguments{"--nats", server.url()};
        for (const std::string& reference : references)
            arguments.insert(arguments.end(), {"--reference", reference});
        worker = std::make_unique<support::Daemon>("pgpulse-probe", "w1", arguments);
        ASSERT_TRUE(support::wait_until([&] { return worker->readiness() == 200; })) << worker->log();
        contract::StoredDefinition stored;
        stored.definition.name = stored.definition.service = "db1";
        stored.definition.address = "127.0.0.1";
        stored.definition.port = silent.port();
        stored.definition.interval = 200ms;
        stored.definition.timeout = 200ms;
        ASSERT_TRUE(connection->publish("$KV.health_targets.db1", encode(stored)));
    }

    static std::string local(std::uint16_t port) { return "127.0.0.1:" + std::to_string(port); }

    bool becomes_down() {
        return support::wait_until([&] {
            const auto all = pings->of("db1");
            return !all.empty() && all.back().opinion == contract::Opinion::down;
        });
    }
};

TEST_F(ProbeWithReference, BelievesASilentTargetToBeDownWhereOneAnswers) {
    const DeafPeer deaf;
    start({local(deaf.port()), local(support::free_port())});
    EXPECT_TRUE(becomes_down()) << worker->log();
    for (const contract::Ping& ping : pings->of("db1")) EXPECT_FALSE(ping.suspect);
}

TEST_F(ProbeWithReference, DoubtsItselfAsLongAsNoneAnswers) {
    DeafPeer deaf;
    start({local(deaf.port())});
    const auto suspected = [&] {
        const auto all = pings->of("db1");
        return std::ranges::count_if(all, &contract::Ping::suspect);
    };
    // Many times what `fall` asks for.
    ASSERT_TRUE(support::wait_until([&] { return suspected() >= 30; })) << worker->log();
    for (const contract::Ping& ping : pings->of("db1")) EXPECT_NE(ping.opinion, contract::Opinion::down);
    EXPECT_EQ(worker->metric("pgpulse_probe_suspect"), 1.0);
    EXPECT_THAT(worker->log(), HasSubstr("this worker doubts itself"));
    deaf.hear();
    EXPECT_TRUE(becomes_down()) << worker->log();
    EXPECT_FALSE(pings->of("db1").back().suspect);
    EXPECT_THAT(worker->log(), HasSubstr("this worker trusts itself again"));
}

TEST(ProbeReferenceOption, ABadValueIsOneLineAndExitCodeTwo) {
    for (const std::string value :
         {"gateway", "gateway:", "gateway:0", "gateway:65536", "gateway:5x", ":53", "[]:53", "::", ""}) {
        const auto result = support::run_to_end(
            {support::built_program("pgpulse-probe"), "--reference", "127.0.0.1:53", "--reference", value});
        EXPECT_EQ(result.exit_code, 2) << value;
        EXPECT_EQ(result.out, "") << value;
        EXPECT_THAT(result.err, HasSubstr("--reference: expected HOST:PORT")) << value;
        EXPECT_THAT(result.err, HasSubstr("found '" + value + "'"));
        EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
    }
}

}  // namespace
}  // namespace pgpulse
