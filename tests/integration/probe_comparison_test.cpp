#include "probe/ping.hpp"
#include "tests/support/certificate_authority.hpp"
#include "tests/support/free_port.hpp"
#include "tests/support/pgbouncer.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/postgres_subject.hpp"
#include "tests/support/pq_ping.hpp"
#include "tests/support/tcp_peer.hpp"

#include <asio/io_context.hpp>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <vector>

// A random walk over the states a server can be in, and in each of them pings beside PQping. PGPULSE_TEST_COMPARISONS
// says how many comparisons; PGPULSE_TEST_SEED repeats a walk.
namespace pgpulse::probe {
namespace {

using namespace std::chrono_literals;
using contract::SslMode;
using contract::TargetDefinition;
using contract::Verdict;
using support::PgBouncer;
using support::PostgresAuth;
using support::PostgresServer;
using support::PostgresServerOptions;
using support::PostgresSubject;
using support::pq_ping;
using support::target_at_port;
using support::TcpPeer;
using support::TcpScript;
using Mono = std::chrono::steady_clock::time_point;

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
    const char* const text = std::getenv(variable);
    return text == nullptr ? otherwise : std::stoull(text);
}

/// One ping at a time, made when it is asked for: it lies between what happens before the call and after it.
class OnePing {
  public:
    PingResult make(const TargetDefinition& target, std::chrono::milliseconds timeout) {
        const ConnectionParameters parameters{target, {target.address}};
        const PingId ping{0, ++generation_};
        result_.reset();
        engine_.start(ping, parameters);
        const Mono deadline = Mono::clock::now() + timeout;
        while (!result_ && Mono::clock::now() < deadline) {
            loop_.restart();
            loop_.run_one_until(deadline);
        }
        // What has arrived by the deadline is read, however late this process woke up.
        loop_.restart();
        while (!result_ && loop_.poll() > 0) {
        }
        if (!result_) result_ = engine_.expire(ping);
        return result_.value_or(PingResult{});
    }

  private:
    asio::io_context loop_;
    std::optional<PingResult> result_;
    std::uint32_t generation_ = 0;
    PingEngine engine_{loop_, [this](PingId, const PingResult& result) { result_ = result; }};
};

/// One state of a server, and the ways to ask it.
struct Situation {
    std::string name;
    std::vector<TargetDefinition> targets;
    /// Brings it about, whatever the server did before.
    std::function<void()> enter = [] {};
    /// Nobody answers, so that each of PQping's attempts takes two seconds.
    bool silent = false;
    /// The server that moves on by itself meanwhile, if one does, and what moves it again.
    PostgresServer* moving = nullptr;
    std::function<void()> move_again = [] {};
};

class Situations {
  public:
    Situations() {
        add_life();
        add_scram();
        add_slots();
        add_recoveries();
        add_tls();
        add_pooler();
        add_peers();
    }

    [[nodiscard]] const std::vector<Situation>& all() const { return all_; }

  private:
    using Targets = std::vector<TargetDefinition>;

    PostgresSubject trust_;
    PostgresSubject scram_{PostgresServerOptions{.auth = PostgresAuth::scram}};
    PostgresSubject slots_{PostgresServerOptions{.settings = {{"max_connections", "4"},
                                                              {"superuser_reserved_connections", "1"},
                                                              {"max_wal_senders", "0"}}}};
    PostgresSubject recovering_;
    PostgresSubject cold_standby_;
    PostgresSubject tls_{PostgresServerOptions{
        .hba = {"hostssl all postgres 127.0.0.1/32 trust", "hostssl all certified 127.0.0.1/32 cert",
                "hostnossl all plain 127.0.0.1/32 trust"},
        .tls = true}};
    support::CertificateAuthority another_authority_;
    const std::uint16_t nobody_ = support::free_port();
    PgBouncer dead_end_{{.backend = nobody_}};
    PgBouncer open_dead_end_{{.backend = nobody_, .auth = PostgresAuth::trust}};
    PgBouncer pooler_{{.backend = scram_.server().port(), .auth = PostgresAuth::trust}};
    std::vector<std::unique_ptr<TcpPeer>> peers_;
    std::vector<Situation> all_;

    static TargetDefinition as(TargetDefinition target, const std::string& user,
                               const std::string& database = "postgres") {
        target.user = user;
        target.database = database;
        return target;
    }
    static TargetDefinition by(TargetDefinition target, SslMode mode) {
        target.sslmode = mode;
        return target;
    }

    void add_life() {
        const TargetDefinition target = trust_.target();
        PostgresServer* const server = &trust_.server();
        all_.push_back({.name = "running, trust",
                        .targets = {target, as(target, "nobody-of-this-name"),
                                    as(target, "postgres", "none-of-this-name"), by(target, SslMode::allow),
                                    by(target, SslMode::prefer), by(target, SslMode::require)},
                        .enter = [this] { trust_.run(); }});
        all_.push_back({.name = "killed", .targets = {target, by(target, SslMode::prefer)}, .enter = [this] {
                            trust_.run();
                            trust_.kill();
                        }});
        all_.push_back({.name = "shut down", .targets = {target}, .enter = [this] { trust_.shut_down(); }});
        all_.push_back({.name = "shutting down, a session held",
                        .targets = {target, by(target, SslMode::prefer)},
                        .enter = [this] { trust_.shut_down_smartly(); }});
        all_.push_back({.name = "starting",
                        .targets = {target},
                        .enter =
                            [this] {
                                trust_.run();
                                trust_.start_up();
                            },
                        .moving = server,
                        .move_again = [this] { trust_.start_up(); }});
        all_.push_back({.name = "crash-restart",
                        .targets = {target},
                        .enter =
                            [this] {
                                trust_.run();
                                trust_.crash();
                            },
                        .moving = server,
                        .move_again = [this] { trust_.crash(); }});
        all_.push_back(
            {.name = "stopped", .targets = {target}, .enter = [this] { trust_.freeze(); }, .silent = true});
    }

    void add_scram() {
        const TargetDefinition target = scram_.target();
        all_.push_back({.name = "running, scram",
                        .targets = {target, as(target, "nobody-of-this-name"),
                                    as(target, "postgres", "none-of-this-name"), by(target, SslMode::prefer)},
                        .enter = [this] { scram_.run(); }});
        all_.push_back({.name = "crash-restart, scram",
                        .targets = {target},
                        .enter =
                            [this] {
                                scram_.run();
                                scram_.crash();
                            },
                        .moving = &scram_.server(),
                        .move_again = [this] { scram_.crash(); }});
    }

    void add_slots() {
        slots_.server().exec_sql("CREATE ROLE ordinary LOGIN");
        const Targets targets{slots_.target(), as(slots_.target(), "ordinary")};
        all_.push_back(
            {.name = "ordinary slots full", .targets = targets, .enter = [this] { slots_.take_slots(3); }});
        all_.push_back(
            {.name = "all slots full", .targets = targets, .enter = [this] { slots_.take_slots(4); }});
    }

    void add_recoveries() {
        // Ends with the server.
        recovering_.recover_for_ever("recovery.signal",
                                     {{"restore_command", "tail --pid=$PPID -f /dev/null"}});
        all_.push_back({.name = "recovering from an archive", .targets = {recovering_.target()}});
        cold_standby_.recover_for_ever("standby.signal", {{"hot_standby", "off"}});
        all_.push_back({.name = "standby that is not hot", .targets = {cold_standby_.target()}});
    }

    void add_tls() {
        Targets targets;
        for (const SslMode mode : {SslMode::disable, SslMode::allow, SslMode::prefer, SslMode::require,
                                   SslMode::verify_ca, SslMode::verify_full}) {
            for (const std::string user : {"postgres", "certified", "plain"}) {
                TargetDefinition target = as(by(tls_.target(), mode), user);
                targets.push_back(target);
                target.sslrootcert = tls_.server().authority().root();
                targets.push_back(target);
                target.sslrootcert = another_authority_.root();
                targets.push_back(target);
            }
        }
        all_.push_back({.name = "running, tls", .targets = targets});
    }

    void add_pooler() {
        const TargetDefinition target = target_at_port(pooler_.port());
        all_.push_back({.name = "pooler of a dead server", .targets = {target_at_port(dead_end_.port())}});
        all_.push_back({.name = "pooler of a dead server, trust",
                        .targets = {target_at_port(open_dead_end_.port())},
                        .silent = true});
        all_.push_back({.name = "pooler of a running server",
                        .targets = {target, as(target, "nobody-of-this-name")},
                        .enter = [this] {
                            scram_.run();
                            pooler_.start();
                        }});
        all_.push_back({.name = "pooler killed", .targets = {target}, .enter = [this] {
                            pooler_.start();
                            pooler_.kill9();
                        }});
    }

    void add_peer(const std::string& name, TcpScript script, bool silent = false) {
        peers_.push_back(std::make_unique<TcpPeer>(std::move(script)));
        all_.push_back({.name = name, .targets = {target_at_port(peers_.back()->port())}, .silent = silent});
    }

    void add_peers() {
        using End = TcpScript::End;
        const std::string authentication_ok{"R\0\0\0\x08\0\0\0\0", 9};
        all_.push_back({.name = "nobody listens", .targets = {target_at_port(nobody_)}});
        add_peer("silent peer", {}, true);
        add_peer("peer silent after the authentication", {.reply = authentication_ok}, true);
        add_peer("peer gone after the authentication", {.reply = authentication_ok, .end = End::close});
        add_peer("garbage at once", {.greeting = "\x16\x03\x01garbage\n"});
        add_peer("garbage as reply", {.reply = std::string(100'000, '\xff')});
        add_peer("peer hangs up", {.end = End::close});
        add_peer("peer hangs up on its first byte", {.reply = "E", .end = End::close});
        add_peer("peer resets", {.end = End::reset});
    }
};

/// What came of the comparisons in one situation.
struct Tally {
    std::uint64_t asked = 0;
    std::uint64_t moved = 0;       // PQping before and after differ
    std::uint64_t went_round = 0;  // they agree, and the server was in another state between
    std::uint64_t unvouched = 0;   // this process was held up
    std::map<Verdict, std::uint64_t> agreed;
};

class Comparison {
  public:
    explicit Comparison(std::uint64_t seed) : random_(seed) {}

    /// Goes on until so many comparisons counted, or one of them failed.
    void walk(const std::vector<Situation>& situations, std::uint64_t comparisons) {
        std::vector<const Situation*> deck;
        while (counted_ < comparisons && !testing::Test::HasFailure()) {
            if (deck.empty()) {
                for (const Situation& situation : situations) deck.push_back(&situation);
                std::ranges::shuffle(deck, random_);
            }
            visit(*deck.back(), comparisons);
            deck.pop_back();
            ASSERT_LT(asked_, 3 * comparisons + 1000) << "most comparisons do not count\n" << told();
        }
    }

    [[nodiscard]] std::uint64_t agreed_on(Verdict verdict) const {
        std::uint64_t sum = 0;
        for (const auto& [name, tally] : tallies_) {
            const auto it = tally.agreed.find(verdict);
            if (it != tally.agreed.end()) sum += it->second;
        }
        return sum;
    }

    [[nodiscard]] std::string told() const {
        std::ostringstream text;
        for (const auto& [name, tally] : tallies_) {
            text << name << ": asked " << tally.asked << ", moved " << tally.moved << ", went round "
                 << tally.went_round << ", unvouched " << tally.unvouched;
            for (const auto& [verdict, count] : tally.agreed)
                text << ", " << to_string(verdict) << ' ' << count;
            text << '\n';
        }
        text << "counted " << counted_ << " of " << asked_ << '\n';
        return text.str();
    }

  private:
    /// Comparisons in a visit, on average: bringing a situation about takes as long as some ten.
    static constexpr std::uint64_t kVisit = 24;
    /// A server in motion is moved again after so many, on average.
    static constexpr std::uint64_t kMotion = 8;

    std::mt19937_64 random_;
    OnePing ours_;
    std::uint64_t asked_ = 0;
    std::uint64_t counted_ = 0;
    std::map<std::string, Tally> tallies_;

    std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

    void visit(const Situation& situation, std::uint64_t comparisons) {
        situation.enter();
        std::uint64_t left = situation.silent ? 1 : 1 + below(2 * kVisit);
        for (; left > 0 && counted_ < comparisons && !testing::Test::HasFailure(); --left) {
            if (situation.moving != nullptr && below(kMotion) == 0) situation.move_again();
            compare(situation, situation.targets[below(situation.targets.size())]);
        }
    }

    /// A server tells each change of its state in its log: so many changes were there.
    static std::size_t changes(PostgresServer* server) {
        if (server == nullptr) return 0;
        const std::string log = server->log();
        std::size_t lines = 0;
        for (auto at = log.find(" LOG:  "); at != std::string::npos; at = log.find(" LOG:  ", at + 1))
            ++lines;
        return lines;
    }

    void compare(const Situation& situation, const TargetDefinition& target) {
        // Both wait longer than a loaded machine makes them, and no longer than it takes where nobody answers.
        const auto patience = situation.silent ? 2s : 10s;
        const std::size_t changes_before = changes(situation.moving);
        const Verdict before = pq_ping(target, patience);
        const PingResult ping = ours_.make(target, situation.silent ? 500ms : 10s);
        const Verdict after = pq_ping(target, patience);

        Tally& tally = tallies_[situation.name];
        ++asked_;
        ++tally.asked;
        if (ping.verdict == Verdict::inconclusive) {
            ++tally.unvouched;
            return;
        }
        if (before != after) {
            ++tally.moved;
            return;
        }
        // Where this process is held up for longer than a restart takes, what agrees before and after it did not last. The
        // server's log tells.
        if (ping.verdict != before && changes(situation.moving) != changes_before) {
            ++tally.went_round;
            return;
        }
        ++counted_;
        ++tally.agreed[ping.verdict];
        EXPECT_EQ(to_string(ping.verdict), to_string(before))
            << situation.name << ", user " << target.user << ", database " << target.database << ", sslmode "
            << to_string(target.sslmode) << ", sslrootcert '" << target.sslrootcert << "': reason "
            << to_string(ping.reason) << ", SQLSTATE '" << ping.sqlstate_text() << "'";
    }
};

TEST(ProbeComparison, NoPingDiffersFromPqPingBeforeAndAfterIt) {
    const std::uint64_t seed = number_from("PGPULSE_TEST_SEED", std::random_device{}());
    const std::uint64_t comparisons = number_from("PGPULSE_TEST_COMPARISONS", 500);
    SCOPED_TRACE("PGPULSE_TEST_SEED=" + std::to_string(seed));
    const Situations situations;
    Comparison comparison{seed};
    comparison.walk(situations.all(), comparisons);
    std::cout << comparison.told();
    for (const Verdict verdict : {Verdict::accepting, Verdict::rejecting, Verdict::no_response})
        EXPECT_GT(comparison.agreed_on(verdict), 0U) << to_string(verdict);
}

}  // namespace
}  // namespace pgpulse::probe
